"""How much faster is decoding at reduced size, and what does it change?

Each round decodes the same JPEG in full and by `read_pixels(at_least=224)`, one after the other in one
process on one thread, so that what else the machine does falls on both; the ratio is of their medians.
Without `--pictures` two 12-megapixel pictures of 1/f noise are made. They are harder than most photographs:
detail everywhere, so that much of the time goes into unpacking, which a reduced size does not spare.

    python benchmarks/decode.py [--pictures FOLDER] [--rounds 5]
"""

import argparse
import io
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image, features

from affectlens.images import Pixels, read_pixels
from affectlens.preprocess import Preprocessing
from noise import photo_like, photographs

RESULT = Path(__file__).parent / "results" / "decode.json"
MAX_PICTURES = 20


def photo_like_jpeg(height: int, width: int, seed: int) -> bytes:
    """A JPEG of noise that is as hard to decode as a photograph."""
    buffer = io.BytesIO()
    Image.fromarray(photo_like(height, width, seed)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def seconds(source: bytes, at_least: tuple[int, int] | None) -> tuple[float, Pixels]:
    start = time.perf_counter()
    pixels = read_pixels(source, at_least=at_least)
    return time.perf_counter() - start, pixels


def compare(source: bytes, rounds: int) -> dict[str, float]:
    """Time both ways in turn, and compare what the network would see."""
    preprocessing = Preprocessing()
    full, reduced = [], []
    for _ in range(rounds):
        taken, whole = seconds(source, None)
        full.append(taken)
        taken, small = seconds(source, preprocessing.at_least)
        reduced.append(taken)
    fitted, fitted_small = (preprocessing.fit_pixels(each).astype(int) for each in (whole, small))
    difference = np.abs(fitted - fitted_small)
    return {
        "megapixels": round(whole.size / 3 / 1e6, 2),
        "full_seconds": round(statistics.median(full), 4),
        "reduced_seconds": round(statistics.median(reduced), 4),
        "times_faster": round(statistics.median(full) / statistics.median(reduced), 2),
        "mean_error_in_levels": round(float(difference.mean()), 3),
        "max_error_in_levels": int(difference.max()),
    }


def processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "pillow": PIL.__version__,
        "libjpeg_turbo": features.version("libjpeg_turbo"),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pictures", type=Path, help=f"a folder; its first {MAX_PICTURES} JPEGs are measured"
    )
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.pictures is None:
        sources = {f"1/f noise, seed {seed}": photo_like_jpeg(3000, 4000, seed) for seed in range(2)}
    else:
        jpegs = [path for path in photographs(arguments.pictures) if path.suffix.lower() in (".jpg", ".jpeg")]
        sources = {path.name: path.read_bytes() for path in jpegs[:MAX_PICTURES]}
    results = {name: compare(source, arguments.rounds) for name, source in sources.items()}
    for name, result in results.items():
        print(f"{name}: {result}")
    if arguments.pictures is None:  # other people's pictures are not a reference
        RESULT.parent.mkdir(exist_ok=True)
        document = {"machine": machine(), "rounds": arguments.rounds, "pictures": results}
        RESULT.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
