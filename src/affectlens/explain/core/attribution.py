"""What an explanation method takes and returns: a model, a picture as its network sees it, a map.

Letters: B pictures, h x w pixels of the network's input, E emotions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from affectlens.emotions import Vocabulary
from affectlens.explain.core.question import Question
from affectlens.images import Pixels
from affectlens.machine import pick_device
from affectlens.metrics import Doubles, softmax
from affectlens.models.network_input import normalise, to_tensor
from affectlens.models.saved import Model
from affectlens.preprocess import Preprocessing


@dataclass(frozen=True)
class ExplainedModel:
    """A model ready to be explained: in evaluation mode and float32, no weight requiring a gradient.

    Attributes:
        network: normalised images (B, 3, h, w) -> logits (B, E), before the temperature
    """

    network: nn.Module
    vocabulary: Vocabulary
    preprocessing: Preprocessing
    temperature: float
    device: torch.device
    name: str

    @classmethod
    def of(cls, model: Model, device: str = "auto") -> "ExplainedModel":
        """Take a loaded model. Its network is moved to the device and stays the caller's."""
        card, picked = model.card, pick_device(device)
        network = model.network.eval().requires_grad_(False).to(picked)
        return cls(network, card.vocabulary, card.preprocessing, card.temperature, picked, card.name)

    def to_input(self, pixels: Pixels) -> Tensor:
        """Normalise fitted pixels: uint8 (h, w, 3) or (B, h, w, 3) -> float32 (B, 3, h, w) on the device."""
        batch = pixels if pixels.ndim == 4 else pixels[None]
        return normalise(to_tensor(batch).to(self.device), self.preprocessing)

    def logits(self, images: Tensor) -> Tensor:
        """Calibrated logits, whose softmax is what `predict` returns: (B, 3, h, w) -> (B, E)."""
        logits: Tensor = self.network(images).float() / self.temperature
        return logits

    def probabilities(self, pixels: Pixels) -> Doubles:
        """Predict fitted pixels: uint8 (B, h, w, 3) -> (B, E)."""
        with torch.no_grad():
            logits = self.logits(self.to_input(pixels)).cpu()
        return softmax(logits.numpy())

    def score(self, images: Tensor, question: Question) -> Tensor:
        """Log-odds that the question is about, differentiable by the images: (B, 3, h, w) -> (B,)."""
        return question.score(self.logits(images))


@dataclass(frozen=True)
class Attribution:
    """How much each pixel of the network's input speaks for the answer, or against it.

    Attributes:
        values: float32 (h, w) on the CPU, in units of the question's log-odds where the method divides
            them up exactly (`sums_up`), else of the method's own
        details: what it took and how exact it is, as JSON: steps, baseline, completeness error, seconds
    """

    values: Tensor
    sums_up: bool = False
    details: dict[str, Any] = field(default_factory=dict)


# A method takes a model, one image (1, 3, h, w) as `ExplainedModel.to_input` returns it, and a question.
Method = Callable[[ExplainedModel, Tensor, Question], Attribution]
