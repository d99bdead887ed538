"""Fixtures that several tests use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures and films beside the repository; tests that use it skip without it."""
    folder = Path(os.environ.get("AFFECTLENS_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder of shared fixtures at {folder}; set AFFECTLENS_SHARED to it")
    return folder
