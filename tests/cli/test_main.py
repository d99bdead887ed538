import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from affectlens.cli.main import COMMANDS, affectlens, main
from affectlens.report import figures


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "affectlens", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_help_names_every_command_and_loads_neither_torch_nor_pillow() -> None:
    code = (
        "import sys\nfrom affectlens.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'timm', 'PIL', 'numpy', 'rich', 'pyarrow'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "heavy: []" in shown
    assert all(re.search(rf"^  {name}\s", shown, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own_and_a_line_in_the_list(name: str) -> None:
    command = getattr(import_module(f"affectlens.cli.{name}"), name)
    assert isinstance(command, click.Command) and command.help
    assert status(name, "--help") == 0


def test_importing_the_package_is_light() -> None:
    code = "import sys, affectlens; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"


def test_wrong_use_is_status_two_with_a_sentence() -> None:
    wrong = run("train", "pair")
    assert wrong.returncode == 2 and "--data" in wrong.stderr and "Traceback" not in wrong.stderr


def test_our_errors_are_status_two_without_a_traceback() -> None:
    missing = run("models", "show", "no-such-model")
    assert missing.returncode == 2
    assert missing.stderr.startswith("Error: No model 'no-such-model'") and "Traceback" not in missing.stderr


def test_what_the_system_refuses_is_status_two_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "no/table.csv")

    monkeypatch.setattr("affectlens.data.catalog.open_with_ratings", refuse)
    assert status("data", "check", "csv:no/table.csv") == 2
    assert capsys.readouterr().err.startswith("Error: no/table.csv cannot be used: Permission denied.")


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_ctrl_c_while_a_library_is_imported_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], link: str
) -> None:
    """As ONNX Runtime has it, whose import fails with an error of its own then."""

    def interrupted(spec: str) -> None:
        error = ImportError("initialization failed")
        setattr(error, link, KeyboardInterrupt())
        raise error

    monkeypatch.setattr("affectlens.data.catalog.open_data", interrupted)
    assert status("data", "check", "folder:x") == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_ctrl_c_before_the_command_is_there_is_an_interruption() -> None:
    code = """
import sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "affectlens.cli.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from affectlens.__main__ import run
run()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert (ended.returncode, ended.stderr) == (130, "Interrupted.\n")


def test_an_unknown_command_is_named() -> None:
    unknown = run("predikt")
    assert unknown.returncode == 2 and "predikt" in unknown.stderr


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from affectlens import __version__

    assert status("--version") == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise on Windows")
def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m affectlens models | head -1"
    piped = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in piped.stderr


def parameters(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Parameter]]:
    yield from ((path, parameter) for parameter in command.params)
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from parameters(below, (*path, name))


def test_no_command_takes_an_empty_path_for_the_working_folder() -> None:
    found = [
        (path, parameter)
        for name in COMMANDS
        for path, parameter in parameters(getattr(import_module(f"affectlens.cli.{name}"), name), (name,))
        if isinstance(parameter.type, click.Path)
    ]
    assert len(found) > 15
    for path, parameter in found:
        with pytest.raises(click.BadParameter, match="the path is empty"):
            parameter.type.convert("", parameter, click.Context(click.Command(path[-1])))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[2J"])
@pytest.mark.parametrize("command", [("train", "plain", "--data", "folder:x"), ("models", "join", "a", "b")])
def test_a_model_is_given_no_name_that_cannot_be_shown(
    command: tuple[str, ...], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(*command, "--out", str(tmp_path / "out"), "--name", name) == 2
    assert "characters that cannot be shown" in capsys.readouterr().err


def test_letters_that_the_font_of_figures_lacks_are_not_warned_of(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        assert affectlens.callback is not None
        affectlens.callback()
        figure = figures.new_figure(1, 1)
        figure.text(0, 0, "\u559c\u3073")
        figures.save_figure(tmp_path / "letters.png", figure)
    assert not [str(each.message) for each in caught]
