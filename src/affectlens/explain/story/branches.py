"""How much of an answer each part of a network makes: colour and texture, concepts, or meaning.

MLM and MAM describe a picture several times, from shallow maps (Gram matrices: which colours and textures
come together) to deep ones, and read all descriptions together; `pair` has a transformer and a convolutional
network. The difference between the log-odds of a picture and those of a reference is divided among these
descriptions as in `aumann_shapley`. Where they are read linearly, as MLM's, that is the plain product of weights and
differences; otherwise what stands between them and the logits, a layer or two, is averaged over on the way.

The reference:
    usual       what the network's norm remembers of the pictures that it learnt from: the mean description.
                Only MLM with fusion=concatenate has one, of its style as a whole
    a baseline  what the network makes of a picture that says nothing (`baselines`). MAM reads its deep
                features without a norm, so nothing tells what they usually are; against `mean` all that a
                picture has and a flat one has not counts. Against `blurred`, colours count for nothing
By default `usual` where it is known, else `mean`.

Letters: B pictures, E emotions, D values of a part, h x w pixels of the network's input.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.explain.core.activations import frozen
from affectlens.explain.core.attribution import ExplainedModel
from affectlens.explain.core.aumann_shapley import divide
from affectlens.explain.core.baselines import baselines
from affectlens.explain.core.question import Question
from affectlens.models.mam import MAM, GramEncoder
from affectlens.models.mlm import MLM
from affectlens.models.pair import Pair

USUAL = "usual"
TEXTURE, CONCEPTS, MEANING = "colour and texture", "concepts", "meaning"


@dataclass(frozen=True)
class Part:
    """What one part of a network adds to an answer.

    Attributes:
        name: of the part; kind: what it describes
        log_odds: for the answer, or against it
    """

    name: str
    kind: str
    log_odds: float


@dataclass(frozen=True)
class Contributions:
    """An answer divided among the parts of a network.

    Attributes:
        question: in words
        log_odds: of the picture
        reference: what the picture is compared with, and `reference_log_odds` its answer
        error: by which the sum of all parts is off the difference of the two
    """

    question: str
    log_odds: float
    reference: str
    reference_log_odds: float
    parts: tuple[Part, ...]
    error: float

    def by_kind(self) -> dict[str, float]:
        """Log-odds of each kind of parts together."""
        kinds = dict.fromkeys(part.kind for part in self.parts)
        return {kind: sum(part.log_odds for part in self.parts if part.kind == kind) for kind in kinds}

    def weight(self) -> dict[str, float]:
        """Share of each kind in all that was said for and against: 0..1, together 1, or all 0."""
        said = {kind: abs(log_odds) for kind, log_odds in self.by_kind().items()}
        total = sum(said.values())
        return {kind: amount / total if total else 0.0 for kind, amount in said.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "by_kind": self.by_kind(), "weight": self.weight()}


@dataclass(frozen=True)
class _Cut:
    """A network cut in two.

    Attributes:
        kinds: of each part, by its name
        describe: pictures (B, 3, h, w) -> each part (B, D)
        answer: parts -> logits (B, E), before the temperature
        usual: each part (1, D), where it is known
    """

    kinds: Mapping[str, str]
    describe: Callable[[Tensor], dict[str, Tensor]]
    answer: Callable[[dict[str, Tensor]], Tensor]
    usual: Mapping[str, Tensor] | None = None


def has_parts(network: nn.Module) -> bool:
    """Whether a network has parts that can be told apart."""
    return isinstance(network, MLM | MAM | Pair)


def contributions(
    subject: ExplainedModel, image: Tensor, question: Question, reference: str | None = None, seed: int = 0
) -> Contributions:
    """Divide the answer to one picture, (1, 3, h, w), among the parts of its network.

    `reference` is `usual` or a baseline. Raises `SettingsError` for a network without parts, or one that does
    not know what is usual, and `UnknownName` for what is no baseline.
    """
    if not has_parts(subject.network):
        raise SettingsError("This network has no parts to compare. Networks with parts: MLM, MAM and pair.")
    with frozen(subject.network), torch.no_grad():
        cut = _cut(subject.network, reference)
        if cut.usual is None:
            reference = reference or "mean"
            begin = cut.describe(baselines(subject, image, [reference], seed))
        else:
            reference, begin = USUAL, dict(cut.usual)
        end = cut.describe(image)

        def score(parts: dict[str, Tensor]) -> Tensor:
            return question.score(cut.answer(parts).float() / subject.temperature)

        shares = {name: float(values.sum()) for name, values in divide(score, begin, end).items()}
        before, after = float(score(begin)), float(score(end))
    parts = tuple(Part(name, cut.kinds[name], shares[name]) for name in cut.kinds)
    error = sum(shares.values()) - (after - before)
    return Contributions(str(question), after, reference, before, parts, error)


def _cut(network: nn.Module, reference: str | None) -> _Cut:
    if isinstance(network, MLM):
        if network.fusion == "concatenate" and reference in (None, USUAL):
            return _cut_mlm_in_two(network)
        cut = _cut_mlm(network)
    else:
        cut = _cut_mam(network) if isinstance(network, MAM) else _cut_pair(network)  # type: ignore[arg-type]
    if reference == USUAL:
        raise SettingsError(
            "What this network usually sees is not known: none of its norms covers all parts. "
            "Take a baseline as the reference, as mean."
        )
    return cut


def _cut_mlm_in_two(network: MLM) -> _Cut:
    """Before the last norm, which remembers the mean of both."""

    def describe(images: Tensor) -> dict[str, Tensor]:
        shallow, deep = network.taps(images)
        return {"style": network.style(torch.cat(network.texture(shallow), dim=1)), "deep": deep}

    def answer(parts: dict[str, Tensor]) -> Tensor:
        logits: Tensor = network.classifier(network.fuse(parts["deep"], parts["style"]))
        return logits

    remembered: Tensor = network.classifier[0].running_mean[None]  # type: ignore[index]
    width = network.pyramid.num_features
    usual = {"style": remembered[:, width:], "deep": remembered[:, :width]}
    return _Cut({"style": TEXTURE, "deep": MEANING}, describe, answer, usual)


def _cut_mlm(network: MLM) -> _Cut:
    """Before the three branches are joined."""
    names = [f"texture {number + 1}" for number in range(len(network.encoders))]

    def describe(images: Tensor) -> dict[str, Tensor]:
        shallow, deep = network.taps(images)
        return {**dict(zip(names, network.texture(shallow), strict=True)), "deep": deep}

    def answer(parts: dict[str, Tensor]) -> Tensor:
        style = network.style(torch.cat([parts[name] for name in names], dim=1))
        logits: Tensor = network.classifier(network.fuse(parts["deep"], style))
        return logits

    return _Cut({**dict.fromkeys(names, TEXTURE), "deep": MEANING}, describe, answer)


def _cut_mam(network: MAM) -> _Cut:
    """Before the branches are joined."""
    kinds = {
        (f"texture {place + 1}" if isinstance(encoder, GramEncoder) else f"tokens {place + 1}"): (
            TEXTURE if isinstance(encoder, GramEncoder) else CONCEPTS
        )
        for place, encoder in enumerate(network.encoders)
    }

    def describe(images: Tensor) -> dict[str, Tensor]:
        maps, deep = network.pyramid(images)
        return {**dict(zip(kinds, network.encode(maps), strict=True)), "deep": deep}

    def answer(parts: dict[str, Tensor]) -> Tensor:
        attributes = network.attributes(torch.cat([parts[name] for name in kinds], dim=1))
        logits: Tensor = network.classifier(torch.cat([attributes, parts["deep"]], dim=1))
        return logits

    return _Cut({**kinds, "deep": MEANING}, describe, answer)


def _cut_pair(network: Pair) -> _Cut:
    names = ("transformer", "convolutional")

    def describe(images: Tensor) -> dict[str, Tensor]:
        return dict(zip(names, network.answers(images), strict=True))

    def answer(parts: dict[str, Tensor]) -> Tensor:
        return torch.stack([parts[name] for name in names]).mean(dim=0)

    return _Cut({name: name for name in names}, describe, answer)
