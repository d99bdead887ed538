"""MAM, the multi-attribute model: texture from the early stages, concepts from the later ones.

Paper: Zhang et al., "Affective image recognition with multi-attribute knowledge in deep neural networks",
    Multimedia Tools and Applications, 2023, doi 10.1007/s11042-023-16081-7. Reports 71.44 % on FI, eight
    classes.
Code: the authors' script, MXNet, read for what it computes. It does not run as released, and its last line
    trains by plain cross-entropy, so it is not the run behind that figure.

    low level    early map -> Gram matrix -> norm -> Dense 64 -> ReLU -> norm           (Gram encoder)
    high level   later map -> norm over channels -> L tokens of width T -> flatten
                 -> norm -> Dense 64 -> ReLU -> norm                                    (semantic tokenizer)
    attributes   concat of all -> norm -> Dense 512 -> ReLU
    fusion       concat(attributes, deep), or their product or sum -> dropout 0.4 -> Dense E

Two variants:
    paper     Gram encoders on the first two maps and tokenizers on the others, after the paper's figures
              and text ("early", "later"). Where exactly they sit in the authors' own network is not known.
    release   Tokenizers on all five maps: the script defines a Gram encoder and never calls it.
In both the tokenizer's weights are shared by all pictures and its norm is over channels
(`blocks.SemanticTokenizer` describes what the script does). Both depart from the authors in the backbone:
timm's ResNet-50 instead of MXNet's resnet50_v2, and in the running variance of batch norms (`mlm`).

The loss is cross-entropy + weight * `losses.emotion_similarity` of the logits: the paper's figure has it as a
loop of the output vector, and the script passes it there. `loss.similarity_of=embedding` takes the fused
features.

Letters: B images, C channels, H x W cells of a map, L tokens, T width of a token, D features, E emotions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from affectlens.models import backbones
from affectlens.models.blocks import (
    CONCATENATE,
    NORM_EPSILON,
    RESNET50,
    GramValues,
    SemanticTokenizer,
    check_fusion,
    fuse,
    pyramid,
    start_new_layers,
)
from affectlens.models.capabilities import CONCEPTS, MEANING, TEXTURE, Division, Embedded

EARLY = 2  # maps that the paper's variant reads by Gram encoders


@dataclass(frozen=True, kw_only=True)
class MAMConfig:
    """What MAM is made of; the numbers are those of the authors' script.

    Attributes:
        release: tokenizers everywhere, as in the script
        triangle: take the upper triangle of a Gram matrix, which holds all and halves the weights
        relation: let the tokens of a map attend to one another
        branch_width, attributes_width: of each branch's answer, and of all together
        fusion: concatenate, multiply or add; the last two need attributes_width = D
    """

    num_emotions: int
    release: bool = False
    backbone: str = RESNET50
    weights: str = backbones.NONE
    triangle: bool = True
    relation: bool = False
    num_tokens: int = 16
    token_width: int = 32
    branch_width: int = 64
    attributes_width: int = 512
    dropout: float = 0.4
    fusion: str = CONCATENATE


class MAM(nn.Module):
    """Images to logits: (B, 3, H, W) -> (B, E)."""

    def __init__(self, config: MAMConfig) -> None:
        super().__init__()
        self.pyramid = pyramid(config.backbone, config.weights)
        early = 0 if config.release else EARLY
        self.encoders = nn.ModuleList(
            GramEncoder(channels, config) if index < early else TokenEncoder(channels, config)
            for index, channels in enumerate(self.pyramid.channels)
        )
        width = config.branch_width * len(self.encoders)
        self.attributes = nn.Sequential(
            nn.BatchNorm1d(width, eps=NORM_EPSILON), nn.Linear(width, config.attributes_width), nn.ReLU()
        )
        self.fusion = config.fusion
        deep = self.pyramid.num_features
        fused = check_fusion(
            config.fusion, attributes=config.attributes_width, deep=deep, remedy=f"attributes_width={deep}"
        )
        self.classifier = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(fused, config.num_emotions))
        for new in (self.attributes, self.classifier):
            start_new_layers(new)

    def forward(self, images: Tensor) -> Tensor:
        return self.embed(images).logits

    def embed(self, images: Tensor) -> Embedded:
        """Logits (B, E) and what they are read from, (B, attributes_width + D) or (B, D) by `fusion`."""
        maps, deep = self.pyramid(images)
        return self._fuse(self.encode(maps), deep)

    def encode(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """What each branch makes of its map, (B, branch_width) each, from shallow to deep."""
        return [encoder(level) for encoder, level in zip(self.encoders, maps, strict=True)]

    def _fuse(self, encoded: Sequence[Tensor], deep: Tensor) -> Embedded:
        fused = fuse(self.fusion, self.attributes(torch.cat(list(encoded), dim=1)), deep)
        return Embedded(self.classifier(fused), fused)

    def token_maps(self, images: Tensor) -> list[Tensor]:
        """Where each token looks, for each map with a tokenizer, from shallow to deep.

        (B, 3, H, W) -> (B, L, H_i, W_i) each, 0..1; a token's map sums to 1.
        """
        pairs = zip(self.encoders, self.pyramid(images).maps, strict=True)
        return [each.tokens.attention(level) for each, level in pairs if isinstance(each, TokenEncoder)]

    def divisions(self) -> tuple[Division]:
        """One: before the branches are joined."""
        kinds = {
            f"{'texture' if kind == TEXTURE else 'tokens'} {number}": kind
            for number, kind in enumerate(self._kinds(), start=1)
        }

        def describe(images: Tensor) -> dict[str, Tensor]:
            maps, deep = self.pyramid(images)
            return {**dict(zip(kinds, self.encode(maps), strict=True)), "deep": deep}

        def answer(parts: Mapping[str, Tensor]) -> Tensor:
            return self._fuse([parts[name] for name in kinds], parts["deep"]).logits

        return (Division({**kinds, "deep": MEANING}, describe, answer),)

    def token_division(self) -> Division:
        """Before the head of each branch: Gram values (B, values), or tokens (B, L, T)."""
        encoders: list[GramEncoder | TokenEncoder] = list(self.encoders)  # type: ignore[arg-type]
        names = [str(index) for index in range(len(encoders))]

        def describe(images: Tensor) -> dict[str, Tensor]:
            maps, deep = self.pyramid(images)
            read = [encoder.read(level) for encoder, level in zip(encoders, maps, strict=True)]
            return {**dict(zip(names, read, strict=True)), "deep": deep}

        def answer(parts: Mapping[str, Tensor]) -> Tensor:
            pairs = zip(encoders, names, strict=True)
            encoded = [encoder.head(parts[name].flatten(1)) for encoder, name in pairs]
            return self._fuse(encoded, parts["deep"]).logits

        kinds = dict(zip(names, self._kinds(), strict=True))
        return Division({**kinds, "deep": MEANING}, describe, answer)

    def _kinds(self) -> list[str]:
        return [CONCEPTS if isinstance(encoder, TokenEncoder) else TEXTURE for encoder in self.encoders]


class GramEncoder(nn.Module):
    """Describe texture by which channels fire together: (B, C, H, W) -> (B, branch_width)."""

    def __init__(self, channels: int, config: MAMConfig) -> None:
        super().__init__()
        self.gram = GramValues(channels, config.triangle)
        self.head = branch_head(self.gram.count, config.branch_width)

    def forward(self, features: Tensor) -> Tensor:
        answer: Tensor = self.head(self.read(features))
        return answer

    def read(self, features: Tensor) -> Tensor:
        """What the head reads: (B, C, H, W) -> (B, values)."""
        values: Tensor = self.gram(features)
        return values


class TokenEncoder(nn.Module):
    """Describe a map by the tokens that gather it: (B, C, H, W) -> (B, branch_width)."""

    def __init__(self, channels: int, config: MAMConfig) -> None:
        super().__init__()
        self.tokens = SemanticTokenizer(channels, config.num_tokens, config.token_width, config.relation)
        self.head = branch_head(config.num_tokens * config.token_width, config.branch_width)

    def forward(self, features: Tensor) -> Tensor:
        answer: Tensor = self.head(self.read(features).flatten(1))
        return answer

    def read(self, features: Tensor) -> Tensor:
        """What the head reads, in a row: (B, C, H, W) -> (B, L, T)."""
        tokens: Tensor = self.tokens(features)
        return tokens


def branch_head(values: int, width: int) -> nn.Sequential:
    """Norm, Dense, ReLU, norm, which end every branch: (B, values) -> (B, width)."""
    head = nn.Sequential(
        nn.BatchNorm1d(values, eps=NORM_EPSILON), nn.Linear(values, width), nn.ReLU(),
        nn.BatchNorm1d(width, eps=NORM_EPSILON),
    )  # fmt: skip
    start_new_layers(head)
    return head
