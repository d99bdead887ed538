"""What a step minimises: the losses that the settings name, weighted and summed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affectlens.emotions import Vocabulary, polarity_signs
from affectlens.errors import SettingsError
from affectlens.losses import (
    attribute_loss,
    class_imbalance_loss,
    class_imbalance_weights,
    class_weights,
    emotion_similarity,
    of_other_polarity,
    positive_weights,
    rating_loss,
    uncertainty_weighted,
)
from affectlens.models.capabilities import HasAttributes, HasAuxiliary, HasBranches, HasEmbedding
from affectlens.models.rated import reading_ratings
from affectlens.training.settings import Loss, Settings

LOSSES = ("cross_entropy", "class_imbalance", "similarity", "attributes", "ratings")


class Outcome(NamedTuple):
    """What an objective returns for a batch.

    Attributes:
        loss: scalar, to be minimised
        logits: float32 (B, E), without gradient
        parts: each loss before its weight in the settings, where there are several; `ratings.NAME`: of each
            rating that any picture had; `without_pairs`: 1
            where the similarity loss found none; `attributes.NAME`: of each attribute that any picture had;
            `class_imbalance_weight.EMOTION`: what the class-imbalance loss weighed its pictures by, on
            average, where there were any
    """

    loss: Tensor
    logits: Tensor
    parts: Mapping[str, Tensor]


class _Answers(NamedTuple):
    """What a network returns for the losses.

    Attributes:
        logits: of the network, of each of its branches, or of it and then its auxiliary classifiers
        compared: what the similarity loss compares
        attributes: logits of attributes, by name
    """

    logits: Sequence[Tensor]
    compared: Tensor
    attributes: Mapping[str, Tensor]


def _unchanged(rows: Tensor) -> Tensor:
    return rows


@dataclass(frozen=True)
class Objective:
    """The losses of the settings, for networks that give logits, and what else a loss needs.

    Attributes:
        loss: which losses, how much each
        smoothing: of the targets of cross-entropy
        weights: float32 (E,), of cross-entropy, mean 1 over the training pictures
        log_prior: float32 (E,), log of each emotion's frequency, times the adjustment
        alpha: float32 (E,), of the class-imbalance loss, mean 1 over the training pictures
        positive_weights: float32 (W,), of attributes with several words, by name
        signs: float32 (E,), 1 for positive emotions, -1 for negative ones, 0 for others; None where no loss
            needs them
        words: the emotions, where they are known
        gather: makes rows of the complete batch of those of one process (`training.gather`)
        rated: names of the ratings that are learned
    """

    loss: Loss
    smoothing: float
    weights: Tensor
    log_prior: Tensor
    alpha: Tensor
    positive_weights: Mapping[str, Tensor] = field(default_factory=dict)
    signs: Tensor | None = None
    words: tuple[str, ...] = ()
    gather: Callable[[Tensor], Tensor] = _unchanged
    rated: tuple[str, ...] = ()

    def __call__(
        self,
        network: nn.Module,
        images: Tensor,
        targets: Tensor,
        attributes: Mapping[str, Tensor] = MappingProxyType({}),
        ratings: Tensor | None = None,
    ) -> Outcome:
        """Compare answers for images (B, 3, H, W) with targets (B, E), and attributes, where any are known.

        `ratings` (B, R) are shares of their scales, NaN where a picture has none; None where none are
        learned from. Where `gather` gathers, the images are those of one process, and all else is of the
        complete batch.
        """
        wanted = attributes if self.loss.attributes else {}
        with reading_ratings(network) as read:
            found = self._answers(network, images, bool(wanted))
            shares = None if ratings is None else read()
        answers = [self.gather(logits) for logits in found.logits]
        attribute_logits = {name: self.gather(logits) for name, logits in found.attributes.items()}
        parts: dict[str, Tensor] = {}
        if self.loss.cross_entropy:
            parts["cross_entropy"] = _mean([self._cross_entropy(logits, targets) for logits in answers])
        if self.loss.class_imbalance:
            parts["class_imbalance"] = _mean([self._class_imbalance(logits, targets) for logits in answers])
        notes = self._imbalance_notes(answers, targets) if self.loss.class_imbalance else {}
        if self.loss.similarity:
            similarity = emotion_similarity(
                self.gather(found.compared), targets.argmax(dim=1), self.loss.margin, self.loss.scale
            )
            parts["similarity"] = similarity.loss
            notes["without_pairs"] = torch.tensor(float(not similarity.has_pairs))
        if wanted:
            parts["attributes"], each = self._attributes(network, attribute_logits, wanted)
            notes |= {f"attributes.{name}": loss.detach() for name, loss in each.items()}
        if ratings is not None and shares is not None:
            parts["ratings"], each = self._ratings(self.gather(shares), ratings)
            notes |= each
        total = torch.stack([getattr(self.loss, name) * part for name, part in parts.items()]).sum()
        answering = answers[:1] if isinstance(network, HasAuxiliary) else answers
        logits = torch.stack([answer.detach().float() for answer in answering]).mean(dim=0)
        several = sum(map(self._counts, LOSSES)) > 1
        shown = {name: part.detach() for name, part in parts.items()} if several else {}
        return Outcome(total, logits, {**shown, **notes})

    def _counts(self, name: str) -> bool:
        """Whether a loss is part of the sum, in batches that have what it is of."""
        return getattr(self.loss, name) > 0 and (name != "ratings" or bool(self.rated))

    def _ratings(self, shares: Tensor, rated: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of all ratings, a scalar, and of each that any picture had, for the log."""
        lam = self.loss.rating_polarity
        each = {
            f"ratings.{name}": rating_loss(shares[:, [index]].detach(), rated[:, [index]], lam)
            for index, name in enumerate(self.rated)
            if rated[:, index].isfinite().any()
        }
        return rating_loss(shares, rated, lam), each

    def _answers(self, network: nn.Module, images: Tensor, attributes: bool) -> _Answers:
        """Run the network forward, for all that the losses need.

        A network of several branches is trained as so many classifiers: the mean of their losses.
        """
        if isinstance(network, HasBranches):
            branches = network.branches(images)
            return _Answers(branches, torch.stack(list(branches)).mean(dim=0), {})
        if isinstance(network, HasAuxiliary):
            every = network.with_auxiliary(images)
            return _Answers(every, every[0], {})
        if self.loss.similarity and self.loss.similarity_of == "embedding":
            assert isinstance(network, HasEmbedding)  # `check_network`
            logits, embedding = network.embed(images)
            return _Answers([logits], embedding, {})
        if attributes:
            assert isinstance(network, HasAttributes)  # `check_network`
            logits, words = network.with_attributes(images)
            return _Answers([logits], logits, words)
        logits = network(images)
        return _Answers([logits], logits, {})

    def _attributes(
        self, network: nn.Module, words: Mapping[str, Tensor], attributes: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of all attributes, a scalar, and of each that any picture had, before its weight.

        A mean over all, known or not: what is seldom known does not count more when it is.
        """
        log_variances: Mapping[str, Tensor] = {}
        if self.loss.attribute_weights == "learned":
            assert isinstance(network, HasAttributes)  # `check_network`
            log_variances = network.attribute_log_variances()
        terms, each = [], {}
        for name, labels in attributes.items():
            loss, known = attribute_loss(words[name], labels, self.positive_weights.get(name))
            variance = log_variances.get(name)
            term = loss if variance is None else uncertainty_weighted(loss, variance)
            # A variance learns nothing where there is no loss.
            terms.append(term * (known > 0))
            if known:
                each[name] = loss
        return torch.stack(terms).mean(), each

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        smooth = targets * (1 - self.smoothing) + self.smoothing / targets.shape[1]
        rows = -(smooth * F.log_softmax(logits.float() + self.log_prior, dim=1) * self.weights).sum(dim=1)
        if self.signs is None:
            return rows
        return rows * (1 + self.loss.polarity * of_other_polarity(logits, targets, self.signs))

    def _class_imbalance(self, logits: Tensor, targets: Tensor) -> Tensor:
        return class_imbalance_loss(
            logits, targets, self.alpha, self.loss.focal_gamma, self.loss.double_softmax
        )

    def _imbalance_notes(self, answers: Sequence[Tensor], targets: Tensor) -> dict[str, Tensor]:
        """What the class-imbalance loss weighed each emotion's pictures by, of those that the batch has."""
        each = [
            class_imbalance_weights(logits.detach(), targets, self.alpha, self.loss.focal_gamma)
            for logits in answers
        ]
        means = torch.stack(each).mean(dim=0).cpu()  # all at once: to read a number is to wait for the device
        pairs = zip(self.words, means, strict=False)
        return {f"class_imbalance_weight.{word}": mean for word, mean in pairs if torch.isfinite(mean)}


def _mean(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(losses)).mean()


def check_network(settings: Settings, network: nn.Module) -> None:
    """Raise `SettingsError` where a network cannot give what the losses of the settings need."""
    if isinstance(network, HasAuxiliary) and (settings.loss.similarity or settings.loss.attributes):
        raise SettingsError(
            f"The network {settings.network} has auxiliary classifiers, which go with losses over emotions "
            "alone. Set loss.similarity=0 and loss.attributes=0."
        )
    wanted = settings.loss.similarity and settings.loss.similarity_of == "embedding"
    if wanted and not isinstance(network, HasEmbedding):
        raise SettingsError(
            f"The network {settings.network} gives no embedding for the similarity loss. "
            "Set loss.similarity_of=logits, or choose mlm_paper or mam_paper."
        )
    if settings.loss.attributes and not isinstance(network, HasAttributes):
        raise SettingsError(
            f"The network {settings.network} answers no attributes. Set loss.attributes=0, or choose "
            "vit_attributes."
        )
    learned = settings.loss.attributes and settings.loss.attribute_weights == "learned"
    if learned and isinstance(network, HasAttributes) and not network.attribute_log_variances():
        raise SettingsError(
            f"The network {settings.network} was built without weights of attributes to learn. "
            "Set network_options.weigh_tasks=true or loss.attribute_weights=fixed."
        )


def make_objective(
    settings: Settings,
    targets: Tensor,
    device: torch.device,
    word_frequencies: Mapping[str, Tensor] = MappingProxyType({}),
    gather: Callable[[Tensor], Tensor] = _unchanged,
    vocabulary: Vocabulary | None = None,
    rated: tuple[str, ...] = (),
) -> Objective:
    """Measure the frequencies of the training targets (N, E) and build the objective.

    `vocabulary` is that of the targets: `loss.polarity` needs it, and notes name emotions by it.
    `word_frequencies` holds, for attributes with several words, the fraction of pictures with each (W,).
    `gather` and `rated` are those of `Objective`. Raises `SettingsError` for `loss.polarity` without emotions
    that have a polarity.
    """
    frequency = targets.mean(dim=0)
    floor = 0.5 / len(targets)  # an emotion without pictures stays finite
    return Objective(
        loss=settings.loss,
        smoothing=settings.label_smoothing,
        weights=class_weights(frequency, settings.class_weight, floor).to(device),
        log_prior=(settings.logit_adjustment * frequency.clamp_min(floor).log()).to(device),
        alpha=class_weights(frequency, floor=floor).to(device),
        positive_weights={
            name: positive_weights(frequency, settings.loss.attribute_balance).to(device)
            for name, frequency in word_frequencies.items()
        },
        signs=_signs(vocabulary).to(device) if settings.loss.polarity else None,
        words=vocabulary.words if vocabulary else (),
        gather=gather,
        rated=rated,
    )


def _signs(vocabulary: Vocabulary | None) -> Tensor:
    signs = {} if vocabulary is None else polarity_signs(vocabulary)
    if not any(signs.values()):
        raise SettingsError("These emotions have no polarity: set loss.polarity=0.")
    return torch.tensor([float(sign) for sign in signs.values()])


def mix(images: Tensor, targets: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Mix a part of the batches by mixup or CutMix, sampled from torch's global generator.

    images float (B, 3, H, W), targets (B, E) -> the same shapes.
    """
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(settings, kind) > 0]
    if not kinds or float(torch.rand(())) >= settings.mix_prob or len(images) < 2:
        return images, targets
    from torchvision.transforms import v2  # here: it takes a second to import

    kind = kinds[int(torch.randint(len(kinds), ()))]
    transforms = {"mixup": v2.MixUp, "cutmix": v2.CutMix}
    mixer = transforms[kind](alpha=getattr(settings, kind), num_classes=targets.shape[1])
    mixed: tuple[Tensor, Tensor] = mixer(images, targets)
    return mixed
