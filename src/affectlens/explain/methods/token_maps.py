"""MAM's semantic tokens: where each looks, and what it does for the answer.

A token gathers the cells of a map with weights that sum to 1 (`blocks.SemanticTokenizer`); these weights
are a map of their own (`MAM.token_maps`). What a token adds to the answer is taken from `shares`: the
difference between the log-odds of the picture and a baseline, divided among all values that the branches
read, tokens, Gram matrices and deep features. A token's share, for or against, is laid out where the token
looks.

What Gram matrices and deep features say has no place on these maps: `details` tells how much it is. And a
token looks with weights that were not learnt to show anything: it may gather from cells that hold nothing.

Letters: B pictures, L tokens, T width of a token, h x w pixels of the network's input.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from affectlens.errors import SettingsError
from affectlens.explain.core.activations import frozen
from affectlens.explain.core.attribution import Attribution, ExplainedModel
from affectlens.explain.core.aumann_shapley import divide
from affectlens.explain.core.baselines import baselines, check
from affectlens.explain.core.question import Question
from affectlens.explain.core.upsampling import upsample
from affectlens.models.mam import MAM, GramEncoder, TokenEncoder

_DEEP = "deep"


@dataclass(frozen=True, kw_only=True)
class TokenMaps:
    """What the answer owes each token, in log-odds, laid out where it looks. Of MAM alone.

    Raises `UnknownName` for a baseline that is none.
    """

    baseline: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        check([self.baseline])

    def __call__(self, subject: ExplainedModel, image: Tensor, question: Question) -> Attribution:
        """Explain one picture, (1, 3, h, w). Raises `SettingsError` for a network that is no MAM."""
        started = time.perf_counter()
        network = subject.network
        if not isinstance(network, MAM):
            raise SettingsError("Only MAM has semantic tokens: mam_paper or mam_release.")
        with frozen(network), torch.no_grad():
            begin = _read(network, baselines(subject, image, [self.baseline], self.seed))
            end = _read(network, image)

            def score(parts: dict[str, Tensor]) -> Tensor:
                return question.score(_answer(network, parts).float() / subject.temperature)

            shares = divide(score, begin, end)
            error = sum(float(each.sum()) for each in shares.values()) - float(score(end) - score(begin))
            maps = network.token_maps(image)
        tokens = _token_shares(network, shares)
        values = _lay_out(tokens, maps, image.shape[2], image.shape[3])
        on_maps = sum(float(each.sum()) for each in tokens)
        details = {
            "baselines": [self.baseline],
            "tokens": [each.tolist() for each in tokens],
            "on_maps": on_maps,
            "elsewhere": sum(float(each.sum()) for each in shares.values()) - on_maps,
            "completeness_error": error,
            "seconds": time.perf_counter() - started,
        }
        return Attribution(values.cpu(), details=details)


def _read(network: MAM, images: Tensor) -> dict[str, Tensor]:
    """What the branches' heads and the classifier read: by place of the map, and `deep`."""
    maps, deep = network.pyramid(images)
    parts = {
        str(place): (encoder.gram if isinstance(encoder, GramEncoder) else encoder.tokens)(level)
        for place, (encoder, level) in enumerate(zip(_encoders(network), maps, strict=True))
    }
    return {**parts, _DEEP: deep}


def _answer(network: MAM, parts: dict[str, Tensor]) -> Tensor:
    """What the network makes of them: logits (B, E), before the temperature."""
    answers = [encoder.head(parts[str(place)].flatten(1)) for place, encoder in enumerate(_encoders(network))]
    attributes = network.attributes(torch.cat(answers, dim=1))
    logits: Tensor = network.classifier(torch.cat([attributes, parts[_DEEP]], dim=1))
    return logits


def _encoders(network: MAM) -> list[GramEncoder | TokenEncoder]:
    return list(network.encoders)  # type: ignore[arg-type]  # a list of modules does not tell which


def _token_shares(network: MAM, shares: dict[str, Tensor]) -> list[Tensor]:
    """(L,) for each map with a tokenizer, from shallow to deep."""
    return [
        shares[str(place)][0].sum(dim=1).float()
        for place, encoder in enumerate(network.encoders)
        if isinstance(encoder, TokenEncoder)
    ]


def _lay_out(tokens: Sequence[Tensor], maps: Sequence[Tensor], height: int, width: int) -> Tensor:
    """Add the maps (1, L, rows, columns) of all tokens, each as heavy as its share: -> (height, width)."""
    cells = [torch.tensordot(each, looks[0], dims=1) for each, looks in zip(tokens, maps, strict=True)]
    return torch.stack([upsample(each, height, width) for each in cells]).sum(dim=0)
