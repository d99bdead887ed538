"""Semantic tokens, as MAM has them: the regions that each attends to, and what it adds to the answer.

A token gathers the cells of a map with weights that sum to 1 (`blocks.SemanticTokenizer`); these weights
are a map of their own (`HasTokens.token_maps`). The contribution of a token is computed by `aumann_shapley`:
the difference between the log-odds of the picture and a baseline, divided among all values that the branches
read, tokens, Gram matrices and deep features. A token's contribution, for or against, is laid out where the
token attends.

The contributions of Gram matrices and deep features are not on these maps: `details` has their amount. And a
token attends by weights that were not learnt to show anything: it may gather from cells that hold nothing.

Letters: B pictures, L tokens, T width of a token, h x w pixels of the network's input.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import Attribution, Map
from affectlens.explain.core.aumann_shapley import divide
from affectlens.explain.core.baselines import BaselineOptions
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.question import AnyQuestion, emotions_only
from affectlens.explain.core.upsampling import upsample_all
from affectlens.models.capabilities import CONCEPTS, HasTokens
from affectlens.models.maps import frozen
from affectlens.preprocess import Images


@dataclass(frozen=True, kw_only=True)
class TokenMaps(BaselineOptions):
    """What the answer owes each token, in log-odds, laid out where it attends. Of networks with tokens.

    Raises `UnknownName` for an unknown baseline.
    """

    def __call__(self, model: DifferentiableModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w).

        Raises `SettingsError` for a network without tokens, and for a rating.
        """
        emotional = emotions_only(question, "token_maps")
        started = time.perf_counter()
        network = model.network
        if not isinstance(network, HasTokens):
            raise SettingsError(
                "This network has no semantic tokens. Networks with tokens: mam_paper and mam_release."
            )
        division = network.token_division()
        with frozen(model.network), torch.no_grad():
            begin = division.describe(model.tensor(self.make_baseline(model, image)))
            end = division.describe(model.tensor(image))

            def score(parts: dict[str, Tensor]) -> Tensor:
                return emotional.score(division.answer(parts).float() / model.temperature)

            contributions = divide(score, begin, end)
            total = sum(float(each.sum()) for each in contributions.values())
            error = total - float(score(end) - score(begin))
            maps = network.token_maps(model.tensor(image))
        tokens = [
            contributions[name][0].sum(dim=1).float()  # (L,)
            for name, kind in division.kinds.items()
            if kind == CONCEPTS
        ]
        values = _arrange(tokens, maps, image.shape[2], image.shape[3])
        on_maps = sum(float(each.sum()) for each in tokens)
        details = {
            "baselines": [self.baseline],
            "tokens": [each.tolist() for each in tokens],
            "on_maps": on_maps,
            "elsewhere": total - on_maps,
            "completeness_error": error,
            "seconds": time.perf_counter() - started,
        }
        return Attribution(values, details=details)


def has_tokens(network: nn.Module) -> bool:
    """Whether a network has semantic tokens."""
    return isinstance(network, HasTokens)


def _arrange(tokens: Sequence[Tensor], maps: Sequence[Tensor], height: int, width: int) -> Map:
    """Add the maps (1, L, rows, columns) of all tokens, weighted by contributions: -> (height, width)."""
    cells = [torch.tensordot(each, weights[0], dims=1) for each, weights in zip(tokens, maps, strict=True)]
    return upsample_all(map(to_map, cells), height, width)
