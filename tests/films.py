"""Films made on the spot, with known colours, times and cuts."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3)
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
HEIGHT, WIDTH = 48, 64


def plain(colour: Sequence[int], height: int = HEIGHT, width: int = WIDTH) -> Picture:
    """A picture of one colour."""
    return np.full((height, width, 3), colour, np.uint8)


def write(
    path: Path,
    pictures: Iterable[Picture],
    *,
    rate: int = 25,
    seconds: Sequence[float] | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    sound: bool = False,
    prepare: Callable[["av.VideoStream"], None] | None = None,
    frame: Callable[["av.VideoFrame"], "av.VideoFrame"] | None = None,
) -> Path:
    """Write a film; `seconds` are the frames' times where they are uneven, in milliseconds' precision."""
    with av.open(str(path), "w") as out:
        stream: Any = None  # PyAV does not know of which kind a stream is until it runs
        tone: Any = out.add_stream("aac", rate=44100) if sound else None
        for number, picture in enumerate(pictures):
            if stream is None:
                stream = out.add_stream(codec, rate=rate, options=options or {"crf": "12"})
                stream.height, stream.width, stream.pix_fmt = picture.shape[0], picture.shape[1], pixel_format
                if seconds is not None:
                    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
                if prepare:
                    prepare(stream)
            raw = av.VideoFrame.from_ndarray(picture, "rgb24")
            if frame:
                raw = frame(raw)
            raw.time_base = Fraction(1, 1000) if seconds is not None else Fraction(1, rate)
            raw.pts = round(seconds[number] * 1000) if seconds is not None else number
            out.mux(stream.encode(raw))
        assert stream is not None
        out.mux(stream.encode(None))
        if tone is not None:
            write_tone(out, tone, 20)
    return path


def write_tone(out: "av.container.OutputContainer", stream: "av.AudioStream", frames: int) -> None:
    """Add a sound track of so many frames of 1024 values."""
    for number in range(frames):
        wave = np.sin(np.arange(1024) / 10).astype(np.float32)[None]
        raw = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        raw.sample_rate, raw.pts = 44100, number * 1024
        out.mux(stream.encode(raw))
    out.mux(stream.encode(None))


def scene(seed: int, height: int = HEIGHT, width: int = WIDTH, detail: int = 6) -> NDArray[np.float32]:
    """A picture of coloured patches, unlike that of any other seed: float32 (H, W, 3) in 0..255."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(10, 245, (detail, detail, 3)).astype(np.float32)
    coarse = coarse * 0.6 + 0.4 * random.uniform(0, 255, 3).astype(np.float32)
    rows = np.linspace(0, detail - 1.001, height)
    columns = np.linspace(0, detail - 1.001, width)
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
    upper = coarse[top][:, left] * (1 - right) + coarse[top][:, left + 1] * right
    lower = coarse[top + 1][:, left] * (1 - right) + coarse[top + 1][:, left + 1] * right
    blended: NDArray[np.float32] = (upper * (1 - down) + lower * down).astype(np.float32)
    return blended


def as_pictures(
    frames: Iterable[NDArray[np.float32]], noise: float = 0.0, seed: int = 0
) -> Iterable[Picture]:
    """Add grain to float frames and make bytes of them."""
    random = np.random.default_rng(seed)
    for values in frames:
        grainy = values + random.normal(0, noise, values.shape) if noise else values
        yield grainy.clip(0, 255).astype(np.uint8)
