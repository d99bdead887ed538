"""Pictures for benchmarks: photographs of a folder, or noise where none are given."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affectlens.listing import list_pictures


def photographs(folder: Path) -> list[Path]:
    """List the pictures of a folder and of those below it that can be listed."""
    return [found for found in list_pictures(folder) if isinstance(found, Path)]


def photo_like(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Noise whose spectrum falls as 1/f, as that of photographs does. (H, W, 3)"""
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    channels = []
    for _ in range(3):
        phases = np.fft.rfft2(generator.standard_normal((height, width), dtype=np.float32))
        noise = np.fft.irfft2(phases / frequency, s=(height, width))
        channels.append((128 + 48 * noise / noise.std()).clip(0, 255).astype(np.uint8))
    return np.stack(channels, axis=-1)
