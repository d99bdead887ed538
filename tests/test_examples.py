"""The examples answer as the command does, by an exported file and without our package."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from affectlens import Predictor
from affectlens.export.job import ExportRequest, export_model

pytestmark = pytest.mark.needs("onnx")

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model with its preprocessing, and a photograph that lies on its side."""
    folder = tmp_path_factory.mktemp("exported")
    request = ExportRequest(model="default", out=folder / "default.onnx", with_preprocessing=True)
    export_model(request)
    coarse = Image.fromarray(np.random.default_rng(2).integers(0, 256, (6, 8, 3), dtype=np.uint8))
    photograph, orientation = coarse.resize((800, 600), Image.Resampling.BICUBIC), Image.Exif()
    orientation[0x0112] = 6
    photograph.save(folder / "photograph.jpg", quality=95, exif=orientation)
    return folder


def test_examples_are_short() -> None:
    for file in ("classify.py", "web/index.html"):
        assert len((EXAMPLES / file).read_text().splitlines()) <= 40


def test_the_program_needs_nothing_of_ours_and_answers_as_the_command(exported: Path) -> None:
    blocked = "import sys; sys.modules['affectlens'] = None; "
    run = f"import runpy; sys.argv = sys.argv[1:]; runpy.run_path({str(EXAMPLES / 'classify.py')!r})"
    found = subprocess.run(
        [sys.executable, "-c", blocked + run, "classify.py", "default.onnx", "photograph.jpg"],
        cwd=exported, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    name, _, shown = found.strip().partition(": ")
    assert name == "photograph.jpg"
    assert_alike(shown.split(", "), exported / "photograph.jpg", first=3)


def assert_alike(shown: list[str], photograph: Path, first: int) -> None:
    """Compare words with percentages, most likely first, with what the package predicts."""
    expected = Predictor.load()(photograph).ranked[:first]
    found = [line.removesuffix(" %").rsplit(" ", 1) for line in shown]
    assert [word for word, _ in found] == [word for word, _ in expected]
    # The package decodes large JPEG files at reduced size.
    assert [float(share) for _, share in found] == pytest.approx(
        [100 * share for _, share in expected], abs=1.5
    )


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.network
@pytest.mark.needs("playwright")
def test_the_page_answers_in_a_browser_as_the_command(exported: Path, tmp_path: Path) -> None:
    from browsers import chromium

    page_folder = tmp_path / "web"
    shutil.copytree(EXAMPLES / "web", page_folder)
    shutil.copy(exported / "default.onnx", page_folder)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=page_folder, check=True)
    with served(page_folder) as address, chromium() as browser:
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.set_input_files("input", str(exported / "photograph.jpg"))
        page.wait_for_selector("li", timeout=60_000)
        shown = page.locator("li").all_inner_texts()
    assert not errors
    assert_alike(shown, exported / "photograph.jpg", first=8)
