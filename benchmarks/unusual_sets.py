"""Sets of pictures for benchmarks/unusual.py, and their embeddings by the default model, kept in a folder.

Photographs: a sample of FI's train split and its val split, `oasis-dev` and `emdt-dev`; some of those that
the model was not trained on also altered as photographs are in use (`ALTERATIONS`). None of them is written
anywhere: the folder holds embeddings alone.

Letters: N pictures, D features.
"""

import hashlib
import io
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from affectlens.data.prefetch import batched
from affectlens.files import atomic_write
from affectlens.images import Pixels, read_pixels
from affectlens.inference.engine import CPU_BATCH, Engine
from affectlens.model_folder import GRAPH_EMBEDDING

Array = NDArray[np.float32]


def jpeg(picture: Image.Image) -> Image.Image:
    """Store and read a picture as JPEG of quality 30."""
    memory = io.BytesIO()
    picture.save(memory, "JPEG", quality=30)
    return Image.open(memory).convert("RGB")


def small(picture: Image.Image) -> Image.Image:
    """Shrink the longer side to 96 pixels."""
    scale = 96 / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))


def letterboxed(picture: Image.Image) -> Image.Image:
    """Cut to 2.39:1 and add black bars to 16:9, as films have them."""
    width = picture.width
    height, full = round(width / 2.39), round(width * 9 / 16)
    top = max(0, (picture.height - height) // 2)
    cut = picture.crop((0, top, width, min(top + height, picture.height)))
    canvas = Image.new("RGB", (width, full))
    canvas.paste(cut, (0, (full - cut.height) // 2))
    return canvas


def close(picture: Image.Image) -> Image.Image:
    """Cut the middle out, 40 % of each side: of many photographs a surface and little else."""
    width, height = picture.size
    return picture.crop((round(0.3 * width), round(0.3 * height), round(0.7 * width), round(0.7 * height)))


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "black and white": lambda picture: picture.convert("L").convert("RGB"),
    "JPEG of quality 30": jpeg,
    "96 pixels wide or high": small,
    "blurred (1.5 % of the shorter side)": lambda picture: picture.filter(
        ImageFilter.GaussianBlur(0.015 * min(picture.size))
    ),
    "dark (a quarter of the brightness)": lambda picture: ImageEnhance.Brightness(picture).enhance(0.25),
    "letterboxed as a film": letterboxed,
    "the middle alone (40 % of each side)": close,
}


def altered(files: Sequence[Path], name: str) -> Iterator[Pixels]:
    """Yield photographs altered by one of `ALTERATIONS`: uint8, (H, W, 3) each."""
    for file in files:
        yield np.asarray(ALTERATIONS[name](Image.fromarray(read_pixels(file))))


def embed_pixels(engine: Engine, pictures: Iterable[Pixels]) -> Array:
    """Embed pictures of any size: (N, D)."""
    preprocessing = engine.card.preprocessing
    found = [
        engine.output(preprocessing.normalise(np.stack(part)), GRAPH_EMBEDDING)
        for part in batched(map(preprocessing.fit_pixels, pictures), CPU_BATCH)
    ]
    return np.concatenate(found)


def kept(folder: Path, name: str, facts: Sequence[str], compute: Callable[[], Array]) -> Array:
    """Read embeddings from the folder, or compute and keep them; others where `facts` differ."""
    digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:12]
    file = folder / f"{name}-{digest}.npz"
    if not file.is_file():
        found = compute()
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(file, "wb") as out:
            np.savez(out, embeddings=found)
        print(file.name, found.shape, flush=True)
    with np.load(file, allow_pickle=False) as stored:
        embeddings: Array = stored["embeddings"]
    return embeddings


def photographs(folder: Path, engine: Engine, name: str, files: Sequence[Path]) -> Array:
    """Embed photographs: (N, D), from the folder where they are."""
    facts = [engine.card.weights_hash, *(file.name for file in files)]
    return kept(folder, name, facts, lambda: embed_pixels(engine, map(read_pixels, files)))


def altered_photographs(folder: Path, engine: Engine, name: str, files: Sequence[Path], which: str) -> Array:
    """Embed altered photographs: (N, D), from the folder where they are."""
    facts = [engine.card.weights_hash, which, *(file.name for file in files)]
    return kept(folder, name, facts, lambda: embed_pixels(engine, altered(files, which)))


# Pictures that no one made for this benchmark: of the documentation and icons of software, where it is
# installed. Patterns are below `/`, and below the folder of Python's packages.
FOUND = {
    "icons": ("usr/share/icons/Adwaita/512x512/*/*.png",),
    "screens and diagrams of documentation": (
        "root/.rustup/toolchains/stable-*/share/doc/rust/html/rustdoc/images/*.png",
        "root/.rustup/toolchains/stable-*/share/doc/rust/html/rustc/images/*.png",
        "root/.rustup/toolchains/stable-*/share/doc/rust/html/book/img/*.png",
        "root/.rustup/toolchains/stable-*/share/doc/rust/html/cargo/images/*.png",
        "root/.rustup/toolchains/stable-*/share/doc/rust/html/embedded-book/assets/*.png",
        "usr/share/doc/nodejs/contributing/doc_img/*.png",
        "usr/share/doc/libxslt1-dev/html/*.gif",
        "usr/share/doc/valgrind/html/images/*.png",
        "usr/share/info/*.png",
    ),
}
FOUND_IN_PACKAGES = {
    "plots of tests": ("networkx/drawing/tests/baseline/*.png", "sympy/plotting/tests/*.png"),
    "retinas, tissue and a phantom": tuple(
        f"skimage/data/{name}" for name in ("retina.jpg", "microaneurysms.png", "ihc.png", "phantom.png")
    ),
}
SMALLEST = 100  # pixels of a side of found pictures


def found_files() -> dict[str, list[Path]]:
    """List found pictures by group, each picture once by its bytes; groups without one are left out."""
    packages = Path(sysconfig.get_paths()["purelib"])
    patterns = [(group, Path("/"), given) for group, given in FOUND.items()]
    patterns += [(group, packages, given) for group, given in FOUND_IN_PACKAGES.items()]
    files: dict[str, list[Path]] = {}
    known: set[str] = set()
    for group, root, given in patterns:
        for file in sorted(file for pattern in given for file in root.glob(pattern)):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if digest not in known and min(Image.open(file).size) >= SMALLEST:
                known.add(digest)
                files.setdefault(group, []).append(file)
    return files
