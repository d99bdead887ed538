"""How much of an answer each part of a network makes: colour and texture, concepts, or meaning.

MLM and MAM describe a picture several times, from shallow maps (Gram matrices: which colours and textures
come together) to deep ones, and read all descriptions together; `pair` has a transformer and a convolutional
network. The difference between the log-odds of a picture and those of a reference is divided among these
descriptions as in `aumann_shapley`. Where they are read linearly, as MLM's, that is the plain product of
weights and differences; otherwise what stands between them and the logits, a layer or two, is averaged over
on the way.

The reference:
    usual       what the network's norm remembers of the pictures that it learnt from: the mean description.
                Only MLM with fusion=concatenate has one, of its complete style
    a baseline  what the network makes of a picture without content (`baselines`). MAM reads its deep
                features without a norm, so what they usually are is not known; against `mean` all that a
                picture has and a flat one has not counts. Against `blurred`, colours count for nothing
By default `usual` where it is known, else `mean`.

`ablated_logits` answers many pictures without a part, for scores (`explain.story.ablation`).

Letters: B pictures of a batch, N of all, E emotions, D values of a part, h x w pixels of the network's input.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.explain.core.aumann_shapley import divide
from affectlens.explain.core.baselines import baselines
from affectlens.explain.core.differentiable import DifferentiableModel
from affectlens.explain.core.question import Question
from affectlens.explain.core.reference import USUAL
from affectlens.explain.story.contributions import BranchPart, Contributions
from affectlens.models.capabilities import Division, HasParts
from affectlens.models.maps import frozen
from affectlens.models.network_input import normalise
from affectlens.preprocess import Images


def has_parts(network: nn.Module) -> bool:
    """Whether an answer of a network can be divided among its parts."""
    return isinstance(network, HasParts)


def contributions(
    model: DifferentiableModel, image: Images, question: Question, reference: str | None = None, seed: int = 0
) -> Contributions:
    """Divide the answer to one picture, (1, 3, h, w), among the parts of its network.

    `reference` is `usual` or a baseline. Raises `SettingsError` for a network without parts, or one that does
    not know what is usual, and `UnknownName` for what is not a baseline.
    """
    network = _with_parts(model)
    with frozen(model.network), torch.no_grad():
        division = _division(network, reference)
        reference = reference or (USUAL if division.usual else "mean")
        begin = _begin(model, division, image, reference, seed)
        end = division.describe(model.tensor(image))

        def score(parts: Mapping[str, Tensor]) -> Tensor:
            return question.score(division.answer(parts).float() / model.temperature)

        log_odds = {name: float(values.sum()) for name, values in divide(score, begin, end).items()}
        before, after = float(score(begin)), float(score(end))
    parts = tuple(BranchPart(name, kind, log_odds[name]) for name, kind in division.kinds.items())
    error = sum(log_odds.values()) - (after - before)
    return Contributions(str(question), after, reference, before, parts, error)


def ablated_logits(
    model: DifferentiableModel, batches: Iterable[Tensor]
) -> dict[tuple[str, ...], NDArray[np.float32]]:
    """Answer pictures with parts of a network replaced by their mean over these pictures: logits (N, E).

    Keys are the parts that are replaced: none, each, and all of a kind where there are several. `batches` are
    fitted pixels, uint8 (B, 3, h, w); all parts of all pictures are kept in memory. Raises `SettingsError`
    for a network without parts, and where there are no pictures.
    """
    network = _with_parts(model)
    division = network.divisions()[-1]
    with frozen(model.network), torch.no_grad():
        described = [
            {
                name: part.float().cpu()
                for name, part in division.describe(
                    normalise(pixels.to(model.device), model.preprocessing)
                ).items()
            }
            for pixels in batches
        ]
        if not described:
            raise SettingsError("Without a picture there is nothing to answer.")
        count = sum(len(next(iter(parts.values()))) for parts in described)
        means = {
            name: torch.stack([parts[name].sum(dim=0) for parts in described]).sum(dim=0) / count
            for name in division.kinds
        }

        def answer(replaced: tuple[str, ...]) -> NDArray[np.float32]:
            logits = []
            for parts in described:
                shown = {
                    name: (means[name].expand_as(part) if name in replaced else part).to(model.device)
                    for name, part in parts.items()
                }
                logits.append(division.answer(shown).float().cpu())
            return np.asarray(torch.cat(logits).numpy(), dtype=np.float32)

        return {replaced: answer(replaced) for replaced in _replaced(division.kinds)}


def _replaced(kinds: Mapping[str, str]) -> list[tuple[str, ...]]:
    """List what is replaced together: nothing, each part, and all parts of a kind that has several."""
    by_kind = [tuple(name for name in kinds if kinds[name] == kind) for kind in dict.fromkeys(kinds.values())]
    return [(), *((name,) for name in kinds), *(names for names in by_kind if len(names) > 1)]


def _with_parts(model: DifferentiableModel) -> HasParts:
    if not isinstance(model.network, HasParts):
        raise SettingsError("This network has no parts to compare. Networks with parts: MLM, MAM and pair.")
    return model.network


def _division(network: HasParts, reference: str | None) -> Division:
    """Choose the division that knows the usual picture where that is the reference, else the finest."""
    divisions = network.divisions()
    if reference in (None, USUAL) and divisions[0].usual:
        return divisions[0]
    if reference == USUAL:
        raise SettingsError(
            "What this network usually sees is not known: none of its norms covers all parts. "
            "Take a baseline as the reference, as mean."
        )
    return divisions[-1]


def _begin(
    model: DifferentiableModel, division: Division, image: Images, reference: str, seed: int
) -> Mapping[str, Tensor]:
    """The parts of the reference."""
    if reference == USUAL and division.usual:
        return division.usual
    return division.describe(model.tensor(baselines(model, image, [reference], seed)))
