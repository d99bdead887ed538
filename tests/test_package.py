"""The wheel: what is in it, and that it answers alone, without a network and where nothing can be written."""

import os
import subprocess
import sys
import venv
import zipfile
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

import films
from affectlens.machine import NO_REPORTS
from halves import SOURCES

LIMIT = 750e6  # bytes of the base install on disk

# What reaches for the network ends the program. The folder of the package comes first among the words.
OFFLINE = """
import socket, sys

def refused(*arguments, **options):
    sys.exit(f"This would use the network: {arguments}")

socket.getaddrinfo = socket.create_connection = socket.socket.connect = refused
import affectlens
from affectlens.cli.main import main
assert affectlens.__file__.startswith(sys.argv[1]), affectlens.__file__
main(sys.argv[2:])
"""
# For root, whom no rights bind: a program with two folders that are mounted read-only, and without a network.
ISOLATED = """
for folder in "$1" "$2"; do
    mount --bind "$folder" "$folder" && mount -o remount,bind,ro "$folder" || exit 99
done
shift 2
exec "$@"
"""


@cache
def isolation() -> tuple[str, ...]:
    """Words before the two folders and a program: none where this system does not isolate, or not for us."""
    words = ("unshare", "--mount", "--net", "sh", "-c", ISOLATED, "sh")
    try:
        ended = subprocess.run([*words, "/usr", "/usr", "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return ()
    return words if ended.returncode == 0 else ()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=SOURCES.parent, check=True, capture_output=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, in which nothing can be written."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return read_only(folder)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder in which nothing can be written."""
    (tmp_path / "home").mkdir()
    return read_only(tmp_path / "home")


def read_only(folder: Path) -> Path:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    return folder


def content(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def run(site: Path, home: Path, *program: object) -> "subprocess.CompletedProcess[str]":
    """Run a program without a network, the two folders read-only, as far as this system allows."""
    words = [*isolation(), *((site, home) if isolation() else ()), *program]
    environment = {**os.environ, "HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": str(site)}
    environment.pop(NO_REPORTS, None)
    return subprocess.run(
        list(map(str, words)), cwd=home, env=environment, capture_output=True, text=True, check=False
    )


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path.relative_to(SOURCES) for path in (SOURCES / "affectlens").rglob("*") if path.is_file())
    assert names == {path.as_posix() for path in files if "__pycache__" not in path.parts}
    assert {f"affectlens/library/bundled/default/model.{kind}" for kind in ("onnx", "safetensors")} <= names


def test_a_picture_is_predicted_offline_where_nothing_can_be_written(
    site: Path, home: Path, tmp_path: Path
) -> None:
    Image.fromarray(films.scene(1, 300, 400).astype("uint8")).save(tmp_path / "photo.jpg")
    before = content(site)
    ended = run(site, home, sys.executable, "-c", OFFLINE, site, "predict", tmp_path / "photo.jpg")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "is most likely to evoke" in ended.stdout and "model default" in ended.stdout
    assert content(site) == before and not list(home.iterdir())


def test_a_film_is_analysed_offline_with_the_pages_that_the_wheel_holds(
    site: Path, home: Path, tmp_path: Path
) -> None:
    pictures = (films.scene(number // 5).astype("uint8") for number in range(10))
    film = films.write(tmp_path / "film.mp4", pictures, rate=5)
    words = ("film", film, "--format", "html,png", "--out", tmp_path / "out")
    ended = run(site, home, sys.executable, "-c", OFFLINE, site, *words)
    assert ended.returncode == 0, ended.stderr
    assert "atplotlib" not in ended.stderr
    assert "</html>" in (tmp_path / "out" / "film" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.network
def test_the_wheel_installs_into_an_empty_environment_small_and_complete(
    wheel: Path, home: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([binaries / "python", "-m", "pip", "install", "--quiet", wheel], check=True)
    sizes = (path.lstat().st_size for path in (tmp_path / "venv").rglob("*") if path.is_file())
    assert sum(sizes) < LIMIT
    shown = subprocess.run(
        [binaries / "python", "-m", "pip", "list"], capture_output=True, text=True, check=True
    )
    assert "onnxruntime" in shown.stdout and "torch" not in shown.stdout
    Image.fromarray(films.scene(1, 300, 400).astype("uint8")).save(tmp_path / "photo.jpg")
    ended = run(tmp_path / "venv", home, binaries / "affectlens", "predict", tmp_path / "photo.jpg")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "model default" in ended.stdout
