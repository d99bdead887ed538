"""Whether each dependency of the base install has a binary wheel for each system and Python that we support.

    python scripts/check_wheels.py [--extra parquet] [--extra openvino]

queries the index that pip is set up with, by `pip install --dry-run --no-deps --only-binary=:all:` for each
system and Python; nothing is installed. Prints a table, a row for each package: the version that has a wheel,
and for which Pythons there is none. Exit status 1 where a wheel is missing. What the dependencies themselves
depend on is left to pip, which decides it by the machine that it runs on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
OLDEST_GLIBC, NEWEST_GLIBC = 17, 35  # 2.17 to that of Ubuntu 22.04
SYSTEMS = {
    "Windows x86-64": ["win_amd64"],
    "macOS arm64": ["macosx_14_0_arm64"],
    "Linux x86-64": [f"manylinux_2_{minor}_x86_64" for minor in range(OLDEST_GLIBC, NEWEST_GLIBC + 1)],
    "Linux aarch64": [f"manylinux_2_{minor}_aarch64" for minor in range(OLDEST_GLIBC, NEWEST_GLIBC + 1)],
}
# Older names of the same, which pip does not derive from the new ones.
SYSTEMS["Linux x86-64"] += ["manylinux2014_x86_64", "manylinux1_x86_64"]
SYSTEMS["Linux aarch64"] += ["manylinux2014_aarch64"]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extra", action="append", default=[], help="extra to check as well")
    needs = requirements(parser.parse_args().extra)
    found = {(system, python): wheels(needs, system, python) for system, python in product(SYSTEMS, PYTHONS)}
    for line in table(needs, found):
        print(line)
    return 0 if all(need in each for each in found.values() for need in needs) else 1


def requirements(extras: Iterable[str]) -> list[str]:
    """Return what pyproject.toml requires for the base and for some extras."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    named = [need for extra in extras for need in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *named]


def wheels(needs: Sequence[str], system: str, python: str) -> dict[str, str]:
    """Return the version of each package that has a wheel, by requirement; all at once, if possible."""
    versions = _query(needs, system, python)
    if versions is not None:
        return dict(zip(needs, versions, strict=True))
    alone = {need: _query([need], system, python) for need in needs}
    return {need: versions[0] for need, versions in alone.items() if versions}


def _query(needs: Sequence[str], system: str, python: str) -> list[str] | None:
    """Return the versions that pip would install, in the order of `needs`; None where one has no wheel."""
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.json"
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed",
            "--only-binary=:all:", "--implementation", "cp", "--python-version", python,
            "--target", temporary,
            *(word for platform in SYSTEMS[system] for word in ("--platform", platform)),
            "--report", str(report), *needs,
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            if "No matching distribution" not in ended.stderr:
                raise SystemExit(ended.stderr)
            return None
        installed = json.loads(report.read_text())["install"]
    versions = {
        each["metadata"]["name"].lower().replace("_", "-"): each["metadata"]["version"] for each in installed
    }
    return [versions[name_of(need)] for need in needs]


def name_of(need: str) -> str:
    """Return the package of a requirement, as in `av>=16`."""
    return need.partition(">")[0].partition("[")[0].strip().lower().replace("_", "-")


def table(needs: Sequence[str], found: dict[tuple[str, str], dict[str, str]]) -> list[str]:
    """Write a row for each package: a cell for each system, with versions and Pythons without a wheel."""
    lines = [f"| package | {' | '.join(SYSTEMS)} |", f"| --- {'| --- ' * len(SYSTEMS)}|"]
    for need in needs:
        cells = []
        for system in SYSTEMS:
            versions = {python: found[system, python].get(need) for python in PYTHONS}
            missing = [python for python, version in versions.items() if version is None]
            shown = ", ".join(sorted({version for version in versions.values() if version}))
            cells.append(f"{shown} (none for {', '.join(missing)})".strip() if missing else shown)
        lines.append(f"| {name_of(need)} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
