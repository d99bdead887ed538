"""A service that the tests of a file share, and pictures for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from services import Running


@pytest.fixture(scope="module")
def service(graph_model: Path) -> Iterator["Running"]:
    """A service with the small model, without a token."""
    from services import running

    with running(graph_model) as found:
        yield found


@pytest.fixture(scope="session")
def photographs() -> list[tuple[str, bytes]]:
    """Names and bytes of a dozen pictures that differ in size and colours."""
    from affectlens.images import encode_png, resize

    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in range(12)]
    sizes = [(60 + 13 * number, 90 + 7 * number) for number in range(12)]
    return [
        (f"{number}.png", encode_png(resize(each, *size)))
        for number, (each, size) in enumerate(zip(coarse, sizes, strict=True))
    ]
