"""What makes tests of adaptation fast."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def divided_once() -> Iterator[None]:
    """Divide pictures once, which takes a third of the time; tests of several divisions set them."""
    from affectlens.adaptation import validation

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "DIVISIONS", 1)
        yield
