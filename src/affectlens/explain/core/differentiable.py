"""A network in torch, for methods that take gradients of its answers or look into it.

Letters: B pictures, h x w pixels of the network's input, E emotions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from affectlens.attributes import Attribute
from affectlens.emotions import Vocabulary
from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import Map
from affectlens.explain.core.question import AnyQuestion, ImageAnswers, RatingQuestion
from affectlens.images import Pixels
from affectlens.inference.attribute_evidence import evidence_of
from affectlens.inference.engine import TORCH
from affectlens.inference.labelled import as_arrays
from affectlens.inference.output.rows import made_by
from affectlens.inference.unusual import UsualPictures
from affectlens.machine import pick_device
from affectlens.metrics import Doubles, softmax
from affectlens.models.capabilities import HasAttributes
from affectlens.models.features import FeatureNetwork
from affectlens.models.graph_outputs import last_layers
from affectlens.models.maps import frozen
from affectlens.models.saved import Model
from affectlens.preprocess import Images, Preprocessing
from affectlens.ratings import MOST_PERCENT, RatingHead, RatingScale

_AT_ONCE = 32  # pictures: of more the maps fill the memory


@dataclass(frozen=True)
class DifferentiableModel:
    """An `ExplainedModel` with its network: in evaluation mode and float32, no weight requiring a gradient.

    Attributes:
        network: normalised images (B, 3, h, w) -> logits (B, E), before the temperature
        attributes: those that the network answers
        weights_id: `Card.weights_id`; empty where it was not saved
        ratings: scales of the model's ratings, which `head` reads of what enters the last linear layers,
            `readers`, and of the pooled `feature_layers`
        usual: scores by what enters the readers how unusual a picture is; None where that is not known
    """

    network: nn.Module
    vocabulary: Vocabulary
    preprocessing: Preprocessing
    temperature: float
    device: torch.device
    name: str
    attributes: tuple[Attribute, ...] = ()
    weights_id: str = ""
    ratings: tuple[RatingScale, ...] = ()
    head: RatingHead | None = None
    readers: tuple[str, ...] = ()
    feature_layers: tuple[str, ...] = ()
    usual: UsualPictures | None = None

    @classmethod
    def of(cls, model: Model, device: str = "auto") -> "DifferentiableModel":
        """Take a loaded model. Its network is moved to the device and stays the caller's."""
        card, picked = model.card, pick_device(device)
        network = model.network.eval().requires_grad_(False).to(picked)
        of_card = (card.vocabulary, card.preprocessing, card.temperature, picked, card.name, card.attributes)
        if not card.ratings and not card.unusual:
            return cls(network, *of_card, weights_id=card.weights_id)
        size = card.preprocessing
        return cls(
            network,
            *of_card,
            weights_id=card.weights_id,
            ratings=card.ratings,
            head=RatingHead.from_tensors(model.heads) if card.ratings else None,
            readers=last_layers(network, size.height, size.width, len(card.vocabulary)),
            feature_layers=card.feature_layers,
            usual=UsualPictures.from_tensors(model.heads) if card.unusual else None,
        )

    @property
    def marks_unusual(self) -> bool:
        """Whether its card has a score of unusual pictures."""
        return self.usual is not None

    def is_unusual(self, image: Images) -> bool | None:
        """Whether a normalised image is unusual; see the protocol."""
        if self.usual is None or not self.readers:
            return None
        reader = FeatureNetwork(self.network, self.readers)
        try:
            with frozen(self.network), torch.no_grad():
                embedding = reader(self.tensor(image)).embedding.float().cpu().numpy()
        finally:
            reader.remove_hooks()
        return bool(self.usual.is_unusual(embedding)[0])

    def attribute_evidence(self, pixels: Pixels) -> dict[str, Any] | None:
        """Attributes of one picture, and which of them speak for its first emotion; see the protocol."""
        if not self.attributes or not isinstance(self.network, HasAttributes):
            return None
        with frozen(self.network), torch.no_grad():
            found = self.network.explain(self.tensor(self.preprocessing.normalise(pixels)))
        return evidence_of(as_arrays(found), self.attributes, self.vocabulary)[0]

    def made_by(self) -> dict[str, str | None]:
        """What answers; see the protocol."""
        return made_by(self.name, self.weights_id, TORCH, "float32")

    def predict_images(self, images: Images) -> Doubles:
        """Calibrated probabilities: (B, 3, h, w) -> (B, E)."""
        with frozen(self.network), torch.no_grad():
            parts = [self.logits(part).cpu() for part in self._batches(images)]
        return softmax(torch.cat(parts).numpy())

    def answer_images(self, images: Images) -> ImageAnswers:
        """Probabilities and ratings in one run: (B, 3, h, w) -> B answers."""
        with frozen(self.network), torch.no_grad():
            read = [self._logits_and_ratings(part) for part in self._batches(images)]
        logits, ratings = (torch.cat(each).cpu().numpy() for each in zip(*read, strict=True))
        return ImageAnswers(softmax(logits), ratings.astype(np.float64))

    def _batches(self, images: Images) -> list[Tensor]:
        # A quarter faster on CPUs with channels last.
        return [
            part.contiguous(memory_format=torch.channels_last) for part in self.tensor(images).split(_AT_ONCE)
        ]

    def tensor(self, images: Images) -> Tensor:
        """Images on the device, in memory of their own."""
        # Contiguous, since torch takes no views such as mirror images.
        return torch.tensor(np.ascontiguousarray(images), dtype=torch.float32, device=self.device)

    def logits(self, images: Tensor) -> Tensor:
        """Calibrated logits, whose softmax is what `predict` returns: (B, 3, h, w) -> (B, E)."""
        logits: Tensor = self.network(images).float() / self.temperature
        return logits

    def score(self, images: Tensor, question: AnyQuestion) -> Tensor:
        """Log-odds, or ratings, of the question, differentiable by the images: (B, 3, h, w) -> (B,)."""
        if isinstance(question, RatingQuestion):
            return self._logits_and_ratings(images)[1][:, question.index]
        return question.score(self.logits(images))

    def _logits_and_ratings(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Calibrated logits (B, E), and ratings before they are cut off at the ends of their scales (B, R).

        Raises `SettingsError` for a model without ratings.
        """
        if self.head is None:
            raise SettingsError(f"{self.name} has no ratings.")
        # Hooks of its own each time: the last that were hung see what a method puts instead of a map.
        reader = FeatureNetwork(self.network, self.readers, self.feature_layers)
        try:
            found = reader(images)
        finally:
            reader.remove_hooks()
        weights, offsets = (
            torch.from_numpy(each).to(self.device) for each in (self.head.weights, self.head.offsets)
        )
        ratings = torch.nn.functional.linear(found.features.float(), weights, offsets)
        if self.head.percents is not None:
            in_percent = torch.from_numpy(self.head.percents).to(self.device)
            ratings = torch.where(in_percent, MOST_PERCENT * ratings.sigmoid(), ratings)
        return found.logits.float() / self.temperature, ratings


def to_map(values: Tensor) -> Map:
    """Bring a map from its device, (h, w)."""
    return np.asarray(values.detach().float().cpu().numpy(), dtype=np.float32)
