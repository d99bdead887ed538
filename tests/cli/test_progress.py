import pytest

from affectlens.cli.progress import ProgressBar, counter, progress_bar
from terminals import Terminal, use_terminal


def last_frame(terminal: Terminal, bar: ProgressBar) -> str:
    """What the terminal shows now."""
    assert bar._display is not None
    terminal.truncate(0)
    bar._display.refresh()
    return terminal.getvalue()


def test_a_count_is_shown_with_its_total_and_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    with progress_bar("opening", 1000) as bar:
        bar.advance(10)
        bar.advance(2)
        assert "opening" in last_frame(terminal, bar) and "12/1,000" in last_frame(terminal, bar)
        bar.set(500, state="loss 0.5 [bold]")
        frame = last_frame(terminal, bar)
        assert "500/1,000" in frame and "loss 0.5 [bold]" in frame
        bar.print("[red] a line above")
        assert "[red] a line above\n" in terminal.getvalue()


def test_another_phase_has_a_total_of_its_own_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    with progress_bar("decoding", 5) as bar:
        bar.start("training", None, 3)
        frame = last_frame(terminal, bar)
        assert "training" in frame and "decoding" not in frame and "/" not in frame.partition("left")[0]
        bar.set(4.2, total=75.0, amount="0:04 / 1:15")
        assert "0:04 / 1:15" in last_frame(terminal, bar)


def test_nothing_is_shown_before_there_is_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    with progress_bar() as bar:
        assert bar.is_shown
        assert "left" not in last_frame(terminal, bar)
        bar.start("predicting", 3)
        assert "0/3" in last_frame(terminal, bar)


def test_off_a_terminal_only_lines_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("opening", 3) as bar, counter("also", 3) as advance:
        assert not bar.is_shown
        advance(1)
        bar.start("another", 5)
        bar.set(2, state="state")
        bar.print("[one] line")
        bar.stop()
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "[one] line\n")


def test_a_long_line_is_one_line_in_a_file_and_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "epoch 1: " + ", ".join(f"score {number} 0.{number}" for number in range(20))
    with progress_bar("training", 3) as bar:
        bar.print(line)
    assert capsys.readouterr().err == f"{line}\n"
    terminal = use_terminal(monkeypatch)
    with progress_bar("training", 3) as bar:
        bar.print(line)
    assert f"{line}\n" in terminal.getvalue()
