"""What the tests of this folder share: one Ray."""

from collections.abc import Iterator

import pytest

from nodes import Nodes, two_nodes


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    """Two nodes of one CPU each, which every test leaves with nothing that runs on them."""
    with two_nodes() as started:
        yield started
