"""The loss of a plain classifier: cross-entropy with what settings ask for around it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affectlens.training.settings import Settings


@dataclass(frozen=True)
class CrossEntropy:
    """Soft cross-entropy with smoothing, weights by emotion and adjustment for their frequency.

    Attributes:
        weights: float32 (E,), mean 1 over the training pictures
        log_prior: float32 (E,), log of each emotion's frequency, times the adjustment
    """

    smoothing: float
    weights: Tensor
    log_prior: Tensor

    def __call__(self, network: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the logits (B, E) of images (B, 3, H, W), targets (B, E).

        A network of several branches is trained as so many classifiers: the mean of their losses.
        """
        split: Callable[[Tensor], Sequence[Tensor]] | None = getattr(network, "branches", None)
        branches = split(images) if split else [network(images)]
        smooth = targets * (1 - self.smoothing) + self.smoothing / targets.shape[1]
        losses = [
            -(smooth * F.log_softmax(branch.float() + self.log_prior, dim=1) * self.weights).sum(dim=1)
            for branch in branches
        ]
        return torch.stack(losses).mean(), torch.stack([b.detach().float() for b in branches]).mean(dim=0)


def make_objective(settings: Settings, targets: Tensor, device: torch.device) -> CrossEntropy:
    """Measure the frequencies of the training targets (N, E) and build the loss."""
    frequency = targets.mean(dim=0)
    floored = frequency.clamp_min(0.5 / len(targets))  # an emotion without pictures stays finite
    raw = floored**-settings.class_weight
    weights = raw / (raw * frequency).sum()
    log_prior = settings.prior_adjustment * floored.log()
    return CrossEntropy(settings.label_smoothing, weights.to(device), log_prior.to(device))


def mix(images: Tensor, targets: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Mix up or cut-and-mix a share of the batches; draws from torch's global generator.

    images float (B, 3, H, W), targets (B, E) -> the same shapes.
    """
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(settings, kind) > 0]
    if not kinds or float(torch.rand(())) >= settings.mix_share or len(images) < 2:
        return images, targets
    from torchvision.transforms import v2  # here: it takes a second to import

    kind = kinds[int(torch.randint(len(kinds), ()))]
    transforms = {"mixup": v2.MixUp, "cutmix": v2.CutMix}
    mixer = transforms[kind](alpha=getattr(settings, kind), num_classes=targets.shape[1])
    mixed: tuple[Tensor, Tensor] = mixer(images, targets)
    return mixed
