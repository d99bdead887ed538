"""Plain colours, gradients, noise and empty film frames for benchmarks/unusual_pictures.py."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from unusual_text import font

Array = NDArray[np.floating[Any]]
SHAPES = ((640, 480), (480, 640), (512, 512), (800, 450), (600, 400), (320, 240))
FRAME = ((640, 360), (720, 576), (854, 480), (640, 272), (480, 360))


def size_of(rng: np.random.Generator, sizes: tuple[tuple[int, int], ...] = SHAPES) -> tuple[int, int]:
    """Choose (width, height)."""
    width, height = sizes[int(rng.integers(len(sizes)))]
    return width, height


def colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    """Choose a colour of independent channels."""
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue


def image_of(values: Array) -> Image.Image:
    """Make a picture of values in 0..255: (H, W) or (H, W, 3)."""
    clipped = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return Image.fromarray(clipped).convert("RGB")


def grain(rng: np.random.Generator, picture: Image.Image, spread: float) -> Image.Image:
    """Add grey noise of a standard deviation, as film and sensors have it."""
    noise = rng.normal(0, spread, (picture.height, picture.width, 1))
    return image_of(np.asarray(picture.convert("RGB"), float) + noise)


def coloured_noise(rng: np.random.Generator, height: int, width: int, power: float) -> Array:
    """Noise whose amplitude falls with frequency to this power: (H, W), mean 0, deviation 1."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=(height, width))) / frequency**power
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (height, width))
    scaled: Array = noise / noise.std()
    return scaled


def _plain_colour(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", size_of(rng), colour(rng))


def _linear_gradient(rng: np.random.Generator) -> Image.Image:
    width, height = size_of(rng)
    angle = rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[0:height, 0:width]
    along = x / width * math.cos(angle) + y / height * math.sin(angle)
    along = (along - along.min()) / np.ptp(along)
    stops = np.array([colour(rng) for _ in range(int(rng.integers(2, 4)))], float)
    positions = np.linspace(0, 1, len(stops))
    return image_of(np.stack([np.interp(along, positions, stops[:, c]) for c in range(3)], axis=-1))


def _radial_gradient(rng: np.random.Generator) -> Image.Image:
    width, height = size_of(rng)
    y, x = np.mgrid[0:height, 0:width]
    centre = rng.uniform(0.2, 0.8, 2)
    far = np.hypot(x / width - centre[0], y / height - centre[1])
    inner, outer = np.array(colour(rng), float), np.array(colour(rng), float)
    part = np.clip(far / rng.uniform(0.4, 1.0), 0, 1)[..., None]
    return image_of(inner * (1 - part) + outer * part)


def _bands(rng: np.random.Generator) -> Image.Image:
    width, height = size_of(rng)
    picture = Image.new("RGB", (width, height))
    pen, number = ImageDraw.Draw(picture), int(rng.integers(2, 6))
    upright = rng.random() < 0.5
    for band in range(number):
        begin, end = band / number, (band + 1) / number
        box = (begin * width, 0, end * width, height) if upright else (0, begin * height, width, end * height)
        pen.rectangle(box, fill=colour(rng))
    return picture


def soft_blobs(rng: np.random.Generator) -> Image.Image:
    width, height = size_of(rng)
    corners = rng.integers(0, 256, (int(rng.integers(2, 5)), int(rng.integers(2, 5)), 3)).astype(np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def _white_noise(rng: np.random.Generator) -> Image.Image:
    width, height = size_of(rng)
    return image_of(rng.uniform(0, 256, (height, width, 3)))


def _grey_noise(rng: np.random.Generator) -> Image.Image:
    width, height = size_of(rng)
    return image_of(rng.normal(rng.uniform(80, 180), rng.uniform(20, 80), (height, width)))


def _blocky_noise(rng: np.random.Generator) -> Image.Image:
    width, height = size_of(rng)
    cells, channels = int(rng.integers(6, 60)), 3 if rng.random() < 0.6 else 1
    values = rng.integers(0, 256, (max(1, cells * height // width), cells, channels)).astype(np.uint8)
    if channels == 1:
        values = values.repeat(3, axis=2)
    return Image.fromarray(values).resize((width, height), Image.Resampling.NEAREST)


def _cloudy_noise(rng: np.random.Generator) -> Image.Image:
    width, height = size_of(rng)
    power = rng.uniform(0.5, 2.0)
    noise = np.stack([coloured_noise(rng, height, width, power) for _ in range(3)], axis=-1)
    if rng.random() < 0.4:
        noise = noise[..., :1].repeat(3, axis=2)
    return image_of(128 + rng.uniform(30, 60) * noise)


def _salt_and_pepper(rng: np.random.Generator) -> Image.Image:
    width, height = size_of(rng)
    base, values = float(rng.integers(40, 216)), rng.random((height, width))
    part = rng.uniform(0.05, 0.45)
    return image_of(np.where(values < part, 0.0, np.where(values > 1 - part, 255.0, base)))


def _no_signal(rng: np.random.Generator) -> Image.Image:
    """Noise of an analogue receiver: runs along each line, and uneven lines."""
    width, height = size_of(rng)
    noise = rng.normal(size=(height, width + 3))
    runs = (noise[:, :-3] + noise[:, 1:-2] + noise[:, 2:-1] + noise[:, 3:]) / 2
    lines = rng.normal(0, 20, (height, 1))
    return image_of(110 + 70 * runs[:, :width] + lines)


def _black_frame(rng: np.random.Generator) -> Image.Image:
    level = int(rng.choice([0, 0, 16, 8, 4]))
    return Image.new("RGB", size_of(rng, FRAME), (level, level, level))


def _dark_grain(rng: np.random.Generator) -> Image.Image:
    width, height = size_of(rng, FRAME)
    base = np.array([rng.uniform(2, 18)] * 3) + rng.uniform(-2, 4, 3)
    noise = rng.normal(0, rng.uniform(2, 9), (height, width, 1 if rng.random() < 0.6 else 3))
    return image_of(np.broadcast_to(base, (height, width, 3)) + noise)


def _white_frame(rng: np.random.Generator) -> Image.Image:
    level = int(rng.choice([255, 250, 235, 240]))
    frame = Image.new("RGB", size_of(rng, FRAME), (level, level, level))
    return grain(rng, frame, rng.uniform(0, 5)) if rng.random() < 0.6 else frame


def _colour_bars(rng: np.random.Generator) -> Image.Image:
    """Bars as a test generator makes them, some with the lower rows of SMPTE's pattern."""
    width, height = size_of(rng, FRAME)
    level = int(rng.choice([191, 255, 180]))
    bars = [(level * (n >> 1 & 1), level * (n >> 2 & 1), level * (n & 1)) for n in (7, 6, 5, 4, 3, 2, 1)]
    picture = Image.new("RGB", (width, height))
    pen, smpte = ImageDraw.Draw(picture), rng.random() < 0.6
    foot = 0.67 * height if smpte else height
    for number, bar in enumerate(bars):
        box = (number * width / 7, 0, (number + 1) * width / 7, foot)
        pen.rectangle(box, fill=bar)
        if smpte:
            under = bars[6 - number] if number % 2 == 0 else (16, 16, 16)
            pen.rectangle((box[0], foot, box[2], 0.75 * height), fill=under)
    if smpte:
        lower = [(0, 33, 76), (255, 255, 255), (50, 0, 106), (19, 19, 19), (9, 9, 9), (29, 29, 29)]
        for number, bar in enumerate(lower):
            pen.rectangle((number * width / 6, 0.75 * height, (number + 1) * width / 6, height), fill=bar)
    return grain(rng, picture, rng.uniform(0, 4))


def _leader(rng: np.random.Generator) -> Image.Image:
    """A countdown: circles, a cross and a number, with the sector that a clock's hand has passed."""
    width, height = size_of(rng, FRAME)
    light, dark = int(rng.integers(150, 230)), int(rng.integers(10, 60))
    picture = Image.new("RGB", (width, height), (light,) * 3)
    pen, x, y = ImageDraw.Draw(picture), width / 2, height / 2
    turn, far = rng.uniform(0, 360), width
    pen.pieslice((x - far, y - far, x + far, y + far), -90, -90 + turn, fill=(light - 50,) * 3)
    pen.line((0, y, width, y), fill=(dark,) * 3, width=3)
    pen.line((x, 0, x, height), fill=(dark,) * 3, width=3)
    for radius in (0.42 * height, 0.36 * height):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(dark,) * 3, width=4)
    number = str(rng.integers(2, 9))
    pen.text((x, y), number, fill=(dark,) * 3, font=font(rng, int(0.45 * height)), anchor="mm")
    return grain(rng, picture, rng.uniform(4, 14))


def _faded_frame(rng: np.random.Generator) -> Image.Image:
    """A frame between fades: one grey or colour with a dark rim, dust and scratches."""
    width, height = size_of(rng, FRAME)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    rim = 1 - rng.uniform(0.1, 0.6) * (x**2 + y**2) / 2
    base = np.array(colour(rng, 10, 120), float) if rng.random() < 0.5 else np.full(3, rng.uniform(10, 130))
    picture = image_of(rim[..., None] * base)
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 12))):
        left, top = rng.uniform(0, width), rng.uniform(0, height)
        length, level = rng.uniform(2, height), int(rng.integers(120, 230))
        pen.line((left, top, left + rng.uniform(-3, 3), top + length), fill=(level,) * 3)
    return grain(rng, picture.filter(ImageFilter.GaussianBlur(0.6)), rng.uniform(2, 8))


PLAIN = (_plain_colour, _linear_gradient, _radial_gradient, _bands, soft_blobs)
NOISE = (_white_noise, _grey_noise, _blocky_noise, _cloudy_noise, _salt_and_pepper, _no_signal)
FRAMES = (_black_frame, _dark_grain, _white_frame, _colour_bars, _leader, _faded_frame)
