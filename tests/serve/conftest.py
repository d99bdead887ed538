"""A service that the tests of a file share."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from services import Running


@pytest.fixture(scope="module")
def service(graph_model: Path) -> Iterator["Running"]:
    """A service with the small model, without a token."""
    from services import running

    with running(graph_model) as found:
        yield found
