"""A real browser for tests of pages: they skip where none is found; `.ci/run` installs one where it can."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Error, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium: that of AFFECTLENS_CHROMIUM, of the system, or of playwright."""
    named = os.environ.get("AFFECTLENS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=named, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(
                f"no browser: {str(error).splitlines()[0]}; install chromium, or set AFFECTLENS_CHROMIUM"
            )
        yield found
        found.close()
