"""What a step makes smaller: the losses that the settings name, weighted and summed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.losses import class_imbalance_loss, class_weights, emotion_similarity
from affectlens.training.settings import Loss, Settings


class Outcome(NamedTuple):
    """What an objective says of a batch.

    Attributes:
        loss: scalar, to be made smaller
        logits: float32 (B, E), without gradient
        parts: each loss before its weight, where there are several, and `without_pairs`: 1 where the
            similarity loss found none
    """

    loss: Tensor
    logits: Tensor
    parts: Mapping[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """The losses of the settings, for networks that give logits, and embeddings or branches where asked.

    Attributes:
        loss: which losses, how much each
        smoothing: of the targets of cross-entropy
        weights: float32 (E,), of cross-entropy, mean 1 over the training pictures
        log_prior: float32 (E,), log of each emotion's frequency, times the adjustment
        alpha: float32 (E,), of the class-imbalance loss, mean 1 over the training pictures
    """

    loss: Loss
    smoothing: float
    weights: Tensor
    log_prior: Tensor
    alpha: Tensor

    def __call__(self, network: nn.Module, images: Tensor, targets: Tensor) -> Outcome:
        """Judge images (B, 3, H, W) against targets (B, E)."""
        answers, embedding = self._ask(network, images)
        parts: dict[str, Tensor] = {}
        if self.loss.cross_entropy:
            parts["cross_entropy"] = _mean([self._cross_entropy(logits, targets) for logits in answers])
        if self.loss.class_imbalance:
            parts["class_imbalance"] = _mean([self._class_imbalance(logits, targets) for logits in answers])
        found = {}
        if self.loss.similarity:
            similarity = emotion_similarity(
                embedding, targets.argmax(dim=1), self.loss.margin, self.loss.scale
            )
            parts["similarity"] = similarity.loss
            found["without_pairs"] = torch.tensor(float(not similarity.has_pairs))
        total = torch.stack([getattr(self.loss, name) * part for name, part in parts.items()]).sum()
        logits = torch.stack([answer.detach().float() for answer in answers]).mean(dim=0)
        shown = {name: part.detach() for name, part in parts.items()} if len(parts) > 1 else {}
        return Outcome(total, logits, {**shown, **found})

    def _ask(self, network: nn.Module, images: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Logits of the network, or of each of its branches, and what the similarity loss compares.

        A network of several branches is trained as so many classifiers: the mean of their losses.
        """
        branches: Callable[[Tensor], Sequence[Tensor]] | None = getattr(network, "branches", None)
        if branches is not None:
            answers = branches(images)
            return answers, torch.stack(list(answers)).mean(dim=0)
        if self.loss.similarity and self.loss.similarity_of == "embedding":
            logits, embedding = network.embed(images)  # type: ignore[operator]
            return [logits], embedding
        logits = network(images)
        return [logits], logits

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        smooth = targets * (1 - self.smoothing) + self.smoothing / targets.shape[1]
        return -(smooth * F.log_softmax(logits.float() + self.log_prior, dim=1) * self.weights).sum(dim=1)

    def _class_imbalance(self, logits: Tensor, targets: Tensor) -> Tensor:
        return class_imbalance_loss(logits, targets, self.alpha, self.loss.focus, self.loss.double_softmax)


def _mean(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(losses)).mean()


def check_network(settings: Settings, network: nn.Module) -> None:
    """Raise `SettingsError` where a network cannot give what the losses of the settings need."""
    wanted = settings.loss.similarity and settings.loss.similarity_of == "embedding"
    if wanted and not hasattr(network, "embed"):
        raise SettingsError(
            f"The network {settings.network} gives no embedding for the similarity loss. "
            "Set loss.similarity_of=logits, or choose mlm_paper or mam_paper."
        )


def make_objective(settings: Settings, targets: Tensor, device: torch.device) -> Objective:
    """Measure the frequencies of the training targets (N, E) and build the objective."""
    frequency = targets.mean(dim=0)
    floor = 0.5 / len(targets)  # an emotion without pictures stays finite
    return Objective(
        loss=settings.loss,
        smoothing=settings.label_smoothing,
        weights=class_weights(frequency, settings.class_weight, floor).to(device),
        log_prior=(settings.prior_adjustment * frequency.clamp_min(floor).log()).to(device),
        alpha=class_weights(frequency, floor=floor).to(device),
    )


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
