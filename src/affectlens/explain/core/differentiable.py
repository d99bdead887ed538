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
from affectlens.explain.core.attribution import Map
from affectlens.explain.core.question import Question
from affectlens.images import Pixels
from affectlens.inference.attribute_evidence import evidence_of
from affectlens.inference.engine import TORCH
from affectlens.inference.labelled import as_arrays
from affectlens.inference.output.rows import made_by
from affectlens.machine import pick_device
from affectlens.metrics import Doubles, softmax
from affectlens.models.capabilities import HasAttributes
from affectlens.models.maps import frozen
from affectlens.models.saved import Model
from affectlens.preprocess import Images, Preprocessing

_AT_ONCE = 32  # pictures: of more the maps fill the memory


@dataclass(frozen=True)
class DifferentiableModel:
    """An `ExplainedModel` with its network: in evaluation mode and float32, no weight requiring a gradient.

    Attributes:
        network: normalised images (B, 3, h, w) -> logits (B, E), before the temperature
        attributes: those that the network answers
        weights_id: `Card.weights_id`; empty where it was not saved
    """

    network: nn.Module
    vocabulary: Vocabulary
    preprocessing: Preprocessing
    temperature: float
    device: torch.device
    name: str
    attributes: tuple[Attribute, ...] = ()
    weights_id: str = ""

    @classmethod
    def of(cls, model: Model, device: str = "auto") -> "DifferentiableModel":
        """Take a loaded model. Its network is moved to the device and stays the caller's."""
        card, picked = model.card, pick_device(device)
        network = model.network.eval().requires_grad_(False).to(picked)
        of_card = (card.vocabulary, card.preprocessing, card.temperature, picked, card.name, card.attributes)
        return cls(network, *of_card, weights_id=card.weights_id)

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
            # A quarter faster on CPUs with channels last.
            parts = [
                self.logits(part.contiguous(memory_format=torch.channels_last)).cpu()
                for part in self.tensor(images).split(_AT_ONCE)
            ]
        return softmax(torch.cat(parts).numpy())

    def tensor(self, images: Images) -> Tensor:
        """Images on the device, in memory of their own."""
        # Contiguous, since torch takes no views such as mirror images.
        return torch.tensor(np.ascontiguousarray(images), dtype=torch.float32, device=self.device)

    def logits(self, images: Tensor) -> Tensor:
        """Calibrated logits, whose softmax is what `predict` returns: (B, 3, h, w) -> (B, E)."""
        logits: Tensor = self.network(images).float() / self.temperature
        return logits

    def score(self, images: Tensor, question: Question) -> Tensor:
        """Log-odds that the question is about, differentiable by the images: (B, 3, h, w) -> (B,)."""
        return question.score(self.logits(images))


def to_map(values: Tensor) -> Map:
    """Bring a map from its device, (h, w)."""
    return np.asarray(values.detach().float().cpu().numpy(), dtype=np.float32)
