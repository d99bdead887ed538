"""What commands take where the base alone is installed, and by torch: in turns, from the shell to the prompt.

    python benchmarks/commands.py --base BASE/bin/python --full FULL/bin/python --photo A.jpg --film B.mp4

BASE and FULL are virtual environments, one with `pip install .` and one with the extra `train`, where each
command runs with `--engine torch`, the only way there was before 0.2.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import result_page
from affectlens.machine import describe
from affectlens.report.text import markdown_table

RESULT = Path(__file__).parent / "results" / "commands.json"
PAGE = result_page.RESULTS / "commands.md"
COMMANDS = {
    "predict PHOTO": ("predict", "PHOTO"),
    "film FILM": ("film", "FILM", "--out", "OUT"),
    "explain PHOTO --story --format png,html": (
        "explain", "PHOTO", "--story", "--format", "png,html", "--out", "OUT",
    ),
    "explain PHOTO --method occlusion": ("explain", "PHOTO", "--method", "occlusion", "--out", "OUT"),
}  # fmt: skip
TORCH = ("--engine", "torch")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("base", "full", "photo", "film"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    document = measure({"base": given.base, "full": given.full}, given.photo, given.film, given.rounds)
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    write_page(document)


def measure(pythons: dict[str, Path], photo: Path, film: Path, rounds: int) -> dict[str, Any]:
    """Run every command in both environments in every round, after one that is not counted."""
    taken: dict[str, dict[str, list[float]]] = {title: {name: [] for name in pythons} for title in COMMANDS}
    for number in range(rounds + 1):
        for title, command in COMMANDS.items():
            for name, python in pythons.items():
                with tempfile.TemporaryDirectory() as out:
                    files = {"PHOTO": str(photo.resolve()), "FILM": str(film.resolve()), "OUT": out}
                    words = [files.get(word, word) for word in command]
                    seconds = run(python, [*words, *(TORCH if name == "full" else ())], out)
                if number:
                    taken[title][name].append(seconds)
                    print(f"{title}, {name}: {seconds:.1f} s", file=sys.stderr)
    return {
        "seconds": taken,
        "rounds": rounds,
        "machine": describe(),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def run(python: Path, words: Sequence[str], folder: str) -> float:
    """Run a command of the package, and return the seconds that it took; raise where it fails."""
    began = time.monotonic()
    subprocess.run(
        [python.absolute(), "-m", "affectlens", *words], cwd=folder, check=True, capture_output=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    return time.monotonic() - began


def write_page(document: dict[str, Any]) -> None:
    """Write docs/results/commands.md."""
    rows = []
    for title, by_name in document["seconds"].items():
        base, full = (statistics.median(by_name[name]) for name in ("base", "full"))
        rows.append([f"`{title}`", f"{base:.2f}", f"{full:.2f}", f"{full / base:.2g}"])
    header = ["command", "base install, s", "by torch, s", "times sooner"]
    machine = document["machine"]
    parts = {
        "TABLE": markdown_table(header, rows),
        "MACHINE": f"{machine['cores']} cores of {machine['cpu']}",
        "ROUNDS": str(document["rounds"]),
    }
    result_page.write(PAGE, "commands.template.md", parts)


if __name__ == "__main__":
    main()
