"""Parts that several papers share: Gram encoding, semantic tokens, a pyramid of maps.

Letters: B images, C channels, H x W cells of a map, D features, L tokens, T width of a token, E emotions.
"""

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import backbones

RESNET50 = "resnet50.tv_in1k"  # the backbone of both papers

CONCATENATE = "concatenate"
FUSIONS = (CONCATENATE, "multiply", "add")  # of two descriptions of a picture

# Of every norm that the authors' scripts add; that of the backbone is its own.
NORM_EPSILON = 2e-5
FEWEST_STRIDES = 3


def pyramid(name: str, weights: str) -> backbones.Pyramid:
    """Build a backbone whose maps shrink on the way up. Raises `SettingsError` for one whose maps do not."""
    built = backbones.Pyramid(name, weights=weights)
    if len(set(built.strides)) < FEWEST_STRIDES:
        raise SettingsError(
            f"The backbone {name} gives no pyramid: its maps have strides {built.strides}. "
            "Choose one with stages, as resnet50, mobilenetv2_100 or convnext_tiny."
        )
    return built


def check_fusion(fusion: str, *, remedy: str, **widths: int) -> int:
    """Return the width of two descriptions, named with their widths, once they are joined by `fuse`.

    Raises `SettingsError` for an unknown fusion, and where a product or a sum has two widths; `remedy` is
    what makes them one.
    """
    if fusion not in FUSIONS:
        raise SettingsError(f"fusion must be one of {', '.join(FUSIONS)}, not {fusion!r}.")
    if fusion == CONCATENATE:
        return sum(widths.values())
    (first, width), (second, other) = widths.items()
    if width != other:
        raise SettingsError(
            f"fusion={fusion} needs {first} and {second} features of one width, but they have {width} and "
            f"{other}. Set {remedy}."
        )
    return width


def fuse(fusion: str, first: Tensor, second: Tensor) -> Tensor:
    """Join two descriptions of pictures, (B, D) and (B, S): (B, D + S), or (B, D) where D = S."""
    if fusion == CONCATENATE:
        return torch.cat([first, second], dim=1)
    return first * second if fusion == "multiply" else first + second


def gram_matrix(features: Tensor) -> Tensor:
    """Correlate every two channels over all cells: (B, C, H, W) -> float32 (B, C, C).

    G = F F^T / (C H W), F the map with its cells in a row (both papers' scripts; Gatys et al., CVPR 2016).
    Always in float32: the sum over 112 x 112 cells would overflow float16 and lose digits in bfloat16.

    >>> gram_matrix(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]))
    tensor([[[1.2500, 2.7500],
             [2.7500, 6.2500]]])
    """
    if torch.is_autocast_enabled(features.device.type):
        with torch.autocast(features.device.type, enabled=False):
            return gram_matrix(features)
    cells = features.float().flatten(2)  # (B, C, H*W)
    return cells @ cells.transpose(1, 2) / (cells.shape[1] * cells.shape[2])


class GramValues(nn.Module):
    """The values of a map's Gram matrix in a row: (B, C, H, W) -> (B, `count`).

    A Gram matrix is symmetric, so its upper triangle holds all: C (C + 1) / 2 values, not C².
    """

    def __init__(self, channels: int, triangle: bool) -> None:
        super().__init__()
        self.triangle = triangle
        row, column = torch.triu_indices(channels, channels)
        self.indices: Tensor
        self.register_buffer("indices", row * channels + column, persistent=False)
        self.count = channels * (channels + 1) // 2 if triangle else channels * channels

    def forward(self, features: Tensor) -> Tensor:
        values = gram_matrix(features).flatten(1)
        return values[:, self.indices] if self.triangle else values


class SemanticTokenizer(nn.Module):
    """Gather the cells of a map into tokens: (B, C, H, W) -> (B, L, T).

    With x the cells (H W, C), each normalised over its channels: A = softmax over the cells of x W_A is
    where each token looks, V = x W_V what is there, and the tokens are A^T V. Both W are 1 x 1 convolutions
    without bias (MAM's figure; Wu et al., "Visual Transformers", 2020). The script has a W for each index
    in the batch, so that an answer depends on a picture's index in it, and normalises over the width
    of the map; here they are shared and the norm is over channels.

    With `relation` the tokens attend to one another before they are read (the small arrows of the paper's
    figure; the script has nothing there).
    """

    def __init__(self, channels: int, num_tokens: int, token_width: int, relation: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.where = nn.Linear(channels, num_tokens, bias=False)
        self.what = nn.Linear(channels, token_width, bias=False)
        self.relation = TokenRelation(token_width) if relation else nn.Identity()
        for weights in (self.where.weight, self.what.weight):
            nn.init.xavier_uniform_(weights)

    def forward(self, features: Tensor) -> Tensor:
        cells = self._cells(features)
        attention = self._attend(cells)
        tokens: Tensor = self.relation(attention @ self.what(cells).to(attention.dtype))
        return tokens

    def attention(self, features: Tensor) -> Tensor:
        """Where each token looks: (B, C, H, W) -> (B, L, H, W), 0..1, each map sums to 1."""
        where: Tensor = self._attend(self._cells(features)).unflatten(2, features.shape[2:])
        return where

    def _cells(self, features: Tensor) -> Tensor:
        cells: Tensor = self.norm(features.flatten(2).transpose(1, 2))  # (B, H*W, C)
        return cells

    def _attend(self, cells: Tensor) -> Tensor:
        scores: Tensor = self.where(cells)
        return scores.float().softmax(dim=1).transpose(1, 2)  # (B, L, H*W)


class TokenRelation(nn.Module):
    """One layer of self-attention over tokens, added to them: (B, L, T) -> (B, L, T)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm(tokens)
        attended: Tensor = self.attend(normed, normed, normed, need_weights=False)[0]
        return tokens + attended


def start_new_layers(module: nn.Module) -> None:
    """Start linear layers and convolutions as the authors' scripts do: Xavier uniform, biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
