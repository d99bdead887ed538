"""`affectlens explain filters`: one figure, and errors before any work."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from affectlens.cli.main import main
from affectlens.images import read_pixels
from affectlens.models import saved


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.effect_noise((80, 60), 90).convert("RGB").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def status(*words: object) -> int:
    """Run the command in this process and return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main(["explain", *map(str, words)])
    return ended.value.code if isinstance(ended.value.code, int) else 0


def filters(photo: Path, model: Path | str, *words: object) -> int:
    return status("filters", photo, "--model", model, "--steps", 1, *words)


def test_the_figure_is_written_to_the_named_file(
    tiny_model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "below" / "figure.png"
    assert filters(photo, tiny_model, "--out", out) == 0
    height, width, _ = read_pixels(out).shape
    assert width > height > 500
    shown = capsys.readouterr()
    assert shown.out == f"{out}: what tiny detects, and where it is active in {photo}\n"
    assert shown.err == ""  # the bar is for terminals


def test_without_out_it_is_filters_png_here(
    tiny_model: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    assert filters(photo, tiny_model) == 0
    assert (photo.parent / "filters.png").is_file()


def test_blocks_channels_steps_and_seed_are_those_given(
    tiny_model: Path, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "figure.svg"
    options = ("--block", "blocks.1", "--block", "blocks.3", "--channel", 4, "--channel", 7, "--seed", 5)
    assert filters(photo, tiny_model, "--out", out, *options) == 0
    text = out.read_text()
    for words in (">blocks.1<", ">blocks.3<", ">channel 4<", "seed: 5"):
        assert words in text
    assert "blocks.2" not in text and "colour" not in text


def test_another_suffix_is_an_error_before_a_model_is_loaded(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "load", lambda name: pytest.fail("a model was loaded"))
    assert filters(photo, "default", "--out", tmp_path / "figure.bmp") == 2
    assert "Use .png, .jpg, .jpeg, .pdf, .svg." in capsys.readouterr().err


def test_a_figure_does_not_replace_its_picture(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = photo.read_bytes()
    (tmp_path / "link.jpg").symlink_to(photo)
    for out in (photo, tmp_path / "link.jpg"):
        assert filters(photo, "default", "--out", out) == 2
        assert "the picture itself" in capsys.readouterr().err
    assert photo.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--block", "blocks.9"), "'blocks.9' is not a block of this network. Did you mean 'blocks."),
        (("--channel", "40000"), "The block blocks.0 has no channel 40000"),
        (("--channel", "-1"), "-1"),
        (("--steps", "0"), "0"),
    ],
)
def test_what_is_not_there_is_status_two_with_a_sentence(
    tiny_model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    out = tmp_path / "figure.png"
    assert filters(photo, tiny_model, "--out", out, *words) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_picture_that_cannot_be_read_is_status_two(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert filters(tmp_path / "none.jpg", tiny_model, "--out", tmp_path / "figure.png") == 2
    assert "none.jpg" in capsys.readouterr().err


def test_help_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys\nfrom affectlens.cli.main import main\n"
        "try: main(['explain', 'filters', '--help'])\nexcept SystemExit: pass\n"
        "print('heavy:', sorted({'torch', 'timm', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--block" in shown and "heavy: []" in shown
