"""What a layer detects: where its channels are active in a picture, and which picture activates each most.

Two questions, answered for every block from shallow to deep:

`respond`     which channels are more active for this picture than is usual, and where
`visualise`   a picture that a channel is very active for, made from noise by gradient ascent

The visualisations follow Olah et al., "Feature Visualization", Distill, 2017 (activation maximisation): a
picture is described by its frequencies, weighted as in photographs (1 / f), and by colours that are
uncorrelated in photographs; and it is moved, turned and resized a little before each step, so that only what
survives this remains. It is moved cyclically, which a description by frequencies allows: it has no border.

Letters: B pictures, C channels, H x W pixels of the picture, h x w cells of a map or pixels of a
visualisation.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.explain.core import activations
from affectlens.explain.core.activations import Block
from affectlens.images import Pixels, resize
from affectlens.models.maps import frozen
from affectlens.models.network_input import to_tensor
from affectlens.preprocess import Preprocessing

VISUALISATIONS = 9  # of a block, in three rows of three
MAPS = 5  # of one network; of deeper ones the blocks between are left out

# Principal axes of the colours of photographs, as columns, and how far colours spread along them: dark to
# light, blue to yellow, green to magenta. Measured on ImageNet, for the colour changes of Krizhevsky et
# al., "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012, section 4.1.
_COLOUR_AXES = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
_COLOUR_SPREAD = (0.4664, 0.1371, 0.0671)
_INITIAL = 0.3  # deviation of the frequencies that the ascent begins with; in plain grey much is inactive
_FLAT = 4.0  # weight of the constant colour: from dark to light it has farther to go than any wave
_LEAK = 0.1  # weight of an inactive cell, so that an inactive channel has a gradient
_REFERENCES = 16  # pictures of noise that define what is usual
_DISPLAY_SIDE = 640  # of the picture in a study


@dataclass(frozen=True, kw_only=True)
class GradientAscent:
    """How a picture is optimised.

    `steps` of Adam with `learning_rate` on the frequencies, which begin as noise from `seed`. Before each
    step the picture is moved anywhere, turned by up to `turn` degrees and resized by up to the share `zoom`.
    Raises `SettingsError` for impossible values.
    """

    steps: int = 96
    learning_rate: float = 0.05
    turn: float = 5.0
    zoom: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingsError(f"Gradient ascent takes at least 1 step, not {self.steps}.")
        if not 0 < self.learning_rate <= 1:
            raise SettingsError(f"learning_rate must lie above 0 and up to 1; it is {self.learning_rate}.")
        if not (0 <= self.turn <= 15 and 0 <= self.zoom <= 0.15):
            raise SettingsError(
                f"turn must lie in 0..15 degrees, zoom in 0..0.15; they are {self.turn} and {self.zoom}."
            )


@dataclass(frozen=True)
class ActivationMap:
    """Where a channel is active in a picture.

    Attributes:
        score: how unusually active it is, see `respond`
        cells: (h, w), its activation in each cell, from 0
        upsampled: (H, W), the same as large as the picture, from 0
    """

    block: Block
    channel: int
    score: float
    cells: Tensor
    upsampled: Tensor


@dataclass(frozen=True)
class Response:
    """How active all channels of a block are in a picture.

    Attributes:
        cells: (C, h, w), from 0
        scores: (C,), how unusually active each is, see `respond`
    """

    block: Block
    cells: Tensor
    scores: Tensor

    def strongest(self, count: int = 1) -> list[int]:
        """Top activating channels, the strongest first; all of a block that has fewer."""
        best: list[int] = self.scores.topk(min(count, self.block.channels)).indices.tolist()
        return best

    def map_of(self, channel: int, height: int, width: int) -> ActivationMap:
        """Return one channel's map, and the same as large as the picture. Raises `SettingsError`."""
        check_channels(self.block, [channel])
        cells = self.cells[channel]
        size = (height, width)
        # Bilinear: bicubic would overshoot, and show a channel as active where it is not.
        upsampled = F.interpolate(cells[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        return ActivationMap(self.block, channel, float(self.scores[channel]), cells, upsampled)


@dataclass(frozen=True)
class FeatureVisualisation:
    """A picture that a channel is very active for.

    Attributes:
        pixels: uint8, (h, w, 3)
        activations: of the channel at each step, for the picture as it was moved, and last for `pixels`: the
            mean over its cells, of which those where it is inactive count a tenth
    """

    block: Block
    channel: int
    pixels: Pixels
    activations: tuple[float, ...]


@dataclass(frozen=True)
class FeatureStudy:
    """Where the blocks of a network are active in one picture, and what they detect.

    Attributes:
        pixels: the picture, uint8, (H, W, 3)
        maps: a channel of each block, from shallow to deep; of several networks one after the other
        visualisations: of some of these blocks several channels each, in the same order
        ascent: how they were optimised
        named_blocks, named_channels: whether the caller named them, or they were chosen by the picture
    """

    pixels: Pixels
    maps: tuple[ActivationMap, ...]
    visualisations: tuple[tuple[FeatureVisualisation, ...], ...]
    ascent: GradientAscent
    named_blocks: bool
    named_channels: bool


def respond(network: nn.Module, preprocessing: Preprocessing, pixels: Pixels, block: Block) -> Response:
    """Measure how active the channels of a block are in a picture, and how unusual that is.

    The activation of a channel is the mean of its positive cells. Some channels are active in every picture,
    so the score is how far the activation exceeds that for noise, in standard deviations over pictures of
    noise. The noise has the frequencies and colours of photographs, from rough to smooth, from dark to light
    and from pale to vivid: compared with noise that is always rough, channels for flat areas would come first
    in every photograph. To a channel's own deviation the mean deviation of the block is added, or channels
    that are hardly ever active would come first by very little.
    """
    with frozen(network), torch.no_grad():
        fitted = to_tensor(preprocessing.fit_pixels(pixels))[None].float() / 255
        cells = _activations(network, preprocessing, block, fitted).clamp(min=0)[0]
        noise = _noise(preprocessing.height, preprocessing.width)
        usual = _activations(network, preprocessing, block, noise).clamp(min=0).mean(dim=(2, 3))
    spread = usual.std(dim=0)
    scores = (cells.mean(dim=(1, 2)) - usual.mean(dim=0)) / (spread + spread.mean()).clamp(min=1e-12)
    return Response(block, cells.cpu(), scores.cpu())


def visualise(
    network: nn.Module,
    preprocessing: Preprocessing,
    block: Block,
    channels: Sequence[int],
    ascent: GradientAscent | None = None,
    progress: Callable[[int], None] = lambda steps: None,
) -> list[FeatureVisualisation]:
    """Make for each channel a picture that it is very active for.

    The mean over all cells is increased, so a pattern fills its picture. All begin with the same noise, and
    none depends on which others are made with it. The side is chosen so that a cell of a shallow block is
    large enough to be recognised; networks for one size alone have pictures of that size. `progress` is
    called with 1 after each step. The network stays unchanged. Raises `SettingsError` for a
    channel that the block does not have.
    """
    check_channels(block, channels)
    ascent = ascent or GradientAscent()
    rows, columns = list(range(len(channels))), list(channels)
    history: list[list[float]] = []

    def measure(pictures: Tensor) -> Tensor:
        # One channel of each picture.
        maps = _activations(network, preprocessing, block, pictures)[rows, columns]
        means = F.leaky_relu(maps, _LEAK).mean(dim=(1, 2))
        history.append(means.tolist())
        return means

    trunk, size = network.get_submodule(block.trunk), _size_of(block, preprocessing)
    with frozen(network), torch.inference_mode(mode=False), torch.enable_grad():
        generator = torch.Generator().manual_seed(ascent.seed)
        frequencies = _initial(len(channels), size, generator).to(_device(network)).requires_grad_()
        # Gradients can be as small as Adam's usual guard against division by zero, which would stop it.
        optimizer = torch.optim.Adam([frequencies], lr=ascent.learning_rate, eps=1e-16)
        for step in range(ascent.steps):
            with activations.leaky_gradients(trunk, _LEAK if step < ascent.steps / 2 else 0.0):
                means = measure(_moved(_picture(frequencies, size), ascent, generator))
                optimizer.zero_grad()
                (-means.sum()).backward()
            optimizer.step()
            progress(1)
        pixels = (_picture(frequencies.detach(), size) * 255).round().to(torch.uint8).cpu()
        measure(pixels.float() / 255)
    return [
        FeatureVisualisation(block, channel, picture.permute(1, 2, 0).contiguous().numpy(), tuple(row))
        for channel, picture, *row in zip(channels, pixels, *history, strict=True)
    ]


def study(
    network: nn.Module,
    preprocessing: Preprocessing,
    pixels: Pixels,
    *,
    blocks: Sequence[str] = (),
    channels: Sequence[int] = (),
    ascent: GradientAscent | None = None,
    progress: Callable[[int], None] = lambda steps: None,
) -> FeatureStudy:
    """Show the features of a network with one picture: a map of each block, and visualisations of some.

    Without `blocks`, up to `MAPS` blocks of each network within are taken, evenly from shallow to deep, and
    the first, the middle and the last are visualised; with them, those. Without `channels`, each map is of
    the top activating channel (`respond`), and the `VISUALISATIONS` first are visualised; with them, the map
    is of the first, and all are visualised. `progress` is called with 1 after each step for each visualised
    block. Raises `UnknownName` for an unknown block and `SettingsError` for an unknown channel.
    """
    ascent = ascent or GradientAscent()
    mapped, visualised = choose_blocks(network, preprocessing, blocks, channels)
    picture = _as_displayed(pixels, preprocessing)
    responses = [respond(network, preprocessing, pixels, block) for block in mapped]
    maps = [
        response.map_of(channels[0] if channels else response.strongest()[0], *picture.shape[:2])
        for response in responses
    ]
    visualisations = []
    for response in responses:
        if response.block in visualised:
            top = channels or response.strongest(VISUALISATIONS)
            found = visualise(network, preprocessing, response.block, top, ascent, progress)
            visualisations.append(tuple(found))
    return FeatureStudy(picture, tuple(maps), tuple(visualisations), ascent, bool(blocks), bool(channels))


def choose_blocks(
    network: nn.Module, preprocessing: Preprocessing, blocks: Sequence[str] = (), channels: Sequence[int] = ()
) -> tuple[list[Block], list[Block]]:
    """Return the blocks that `study` maps, and those of them that it visualises. Raises as `study` does."""
    known = activations.list_blocks(network, preprocessing.height, preprocessing.width)
    if blocks:
        mapped = [activations.find_block(known, name) for name in dict.fromkeys(blocks)]
        visualised = mapped
    else:
        mapped, visualised = [], []
        for trunk in dict.fromkeys(block.trunk for block in known):
            some = _evenly([block for block in known if block.trunk == trunk], MAPS)
            mapped += some
            visualised += _evenly(some, 3)
    for block in mapped:
        check_channels(block, channels)
    return mapped, visualised


def check_channels(block: Block, channels: Sequence[int]) -> None:
    """Raise `SettingsError` for a channel that a block does not have."""
    for channel in channels:
        if not 0 <= channel < block.channels:
            raise SettingsError(
                f"The block {block.name} has no channel {channel}; it has {block.channels}, from 0 to "
                f"{block.channels - 1}."
            )


def _evenly(blocks: list[Block], count: int) -> list[Block]:
    """Take so many evenly, with the first and the last."""
    if len(blocks) <= count:
        return blocks
    return [blocks[round(index * (len(blocks) - 1) / (count - 1))] for index in range(count)]


def _as_displayed(pixels: Pixels, preprocessing: Preprocessing) -> Pixels:
    """The part of a picture that the network sees, for maps to be laid on; undistorted where possible."""
    if preprocessing.fit != "squash":
        return preprocessing.fit_pixels(pixels)
    height, width, _ = pixels.shape
    scale = min(1, _DISPLAY_SIDE / max(height, width))
    return resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _size_of(block: Block, preprocessing: Preprocessing) -> tuple[int, int]:
    """Height and width of a visualisation: the more pixels a cell stands for, the larger."""
    if not block.any_size:
        return preprocessing.height, preprocessing.width
    # 48, 64, 96, 128, 144 for strides of 2, 4, 8, 16, 32.
    side = 16 * min(max(3, round(2.125 * block.stride**0.5)), 9)
    return min(side, preprocessing.height), min(side, preprocessing.width)


def _initial(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Frequencies of noise, the same for all pictures: (count, 3, h, w // 2 + 1, 2)."""
    height, width = size
    noise = torch.randn(1, 3, height, width // 2 + 1, 2, generator=generator) * _INITIAL
    return noise.repeat(count, 1, 1, 1, 1)


def _picture(frequencies: Tensor, size: tuple[int, int]) -> Tensor:
    """The pictures of frequencies (B, 3, h, w // 2 + 1, 2), as levels in 0..1: (B, 3, h, w)."""
    height, width = size
    weights = _weights(height, width, 1.0) * _finest(height, width)
    weights[0, 0] *= _FLAT
    weighted = torch.view_as_complex(frequencies) * weights.to(frequencies.device)
    return _coloured(torch.fft.irfft2(weighted, s=size, norm="ortho") / 4).sigmoid()


def _noise(height: int, width: int) -> Tensor:
    """Pictures like photographs in frequencies and colours alone: (_REFERENCES, 3, h, w), levels in 0..1."""
    count, generator = _REFERENCES, torch.Generator().manual_seed(0)
    frequencies = torch.randn(count, 3, height, width // 2 + 1, 2, generator=generator)
    smoothness = torch.linspace(0.8, 2.0, count).view(count, 1, 1, 1)
    weighted = torch.view_as_complex(frequencies) * _weights(height, width, smoothness)
    waves = torch.fft.irfft2(weighted, s=(height, width), norm="ortho")
    waves = waves - waves.mean(dim=(2, 3), keepdim=True)
    waves = waves / waves.std(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
    contrast = 0.5 + 1.5 * torch.rand(count, 1, 1, 1, generator=generator)
    tint = torch.randn(count, 3, 1, 1, generator=generator)
    return _coloured(1.8 * (contrast * waves + tint)).sigmoid()


def _weights(height: int, width: int, decay: Tensor | float) -> Tensor:
    """How strong each frequency is in photographs, where `decay` is 1: 1 / f, (h, w // 2 + 1)."""
    lowest = 1 / max(height, width)  # the constant part counts as this one
    weights: Tensor = _frequency(height, width).clamp(min=lowest) ** -decay
    return weights


def _finest(height: int, width: int) -> Tensor:
    """Fade out waves of about two pixels: turning a picture blurs them, so that nothing would guide them."""
    return torch.exp(-((_frequency(height, width) / 0.45) ** 4))


def _frequency(height: int, width: int) -> Tensor:
    """Waves a pixel, 0 to 0.7: (h, w // 2 + 1)."""
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    return torch.sqrt(down.square() + across.square())


def _coloured(pictures: Tensor) -> Tensor:
    """Bring values along the axes of the colours of photographs to red, green and blue: (B, 3, h, w)."""
    return torch.einsum("rc,bchw->brhw", _colour_axes().to(pictures.device), pictures)


def _colour_axes() -> Tensor:
    """(3, 3), a column for each axis, the longest of length 1."""
    axes = torch.tensor(_COLOUR_AXES) * torch.tensor(_COLOUR_SPREAD)
    return torch.div(axes, axes.norm(dim=0).max())


def _moved(pictures: Tensor, ascent: GradientAscent, generator: torch.Generator) -> Tensor:
    """Move pictures cyclically, turn and resize them, all alike: (B, 3, h, w) -> the same shape."""
    height, width = pictures.shape[2:]
    random = torch.rand(4, generator=generator).tolist()
    shifts = (int(random[0] * height), int(random[1] * width))
    angle = math.radians(ascent.turn) * (2 * random[2] - 1)
    scale = 1 + ascent.zoom * (2 * random[3] - 1)
    # Continued cyclically first, so that turning it leaves no empty corners.
    tall, wide = height // 4, width // 4
    padded = F.pad(pictures.roll(shifts, dims=(2, 3)), (wide, wide, tall, tall), mode="circular")
    part = scale * height / (height + 2 * tall), scale * width / (width + 2 * wide)
    turn = [
        [math.cos(angle) * part[1], -math.sin(angle) * part[1], 0.0],
        [math.sin(angle) * part[0], math.cos(angle) * part[0], 0.0],
    ]
    matrix = torch.tensor(turn, device=pictures.device).expand(len(pictures), 2, 3)
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return F.grid_sample(padded, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _activations(network: nn.Module, preprocessing: Preprocessing, block: Block, pictures: Tensor) -> Tensor:
    """Activations of a block for pictures, levels in 0..1: (B, 3, h, w) -> (B, C, h', w')."""
    pictures = pictures.to(_device(network))
    mean, std = (
        torch.tensor(values, device=pictures.device).view(3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    images = ((pictures - mean) / std).contiguous(memory_format=torch.channels_last)
    return activations.activations_of(network, block, images)


def _device(network: nn.Module) -> torch.device:
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
