"""What the base install takes on disk, by package, in a virtual environment that had nothing before.

python benchmarks/install.py
"""

import json
import platform
import subprocess
import tempfile
import venv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import result_page

PROJECT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "install.json"
PAGE = result_page.RESULTS / "install.md"
LEAST = 5_000_000  # bytes of a package that has a row of its own
# Bytes of each distribution, by its own list of files; compiled modules are among them.
SIZES = """
import importlib.metadata, json
found = {}
for package in importlib.metadata.distributions():
    files = [file.locate() for file in package.files or ()]
    size = sum(file.stat().st_size for file in files if file.is_file())
    found[package.name] = {"version": package.version, "bytes": size}
print(json.dumps(found))
"""


def main() -> None:
    document = measure()
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    write_page(document)


def measure() -> dict[str, Any]:
    """Install the package, and sum the files of the environment and of each package in it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "venv"
        venv.create(folder, with_pip=True)
        (python,) = [*folder.glob("bin/python"), *folder.glob("Scripts/python.exe")]
        subprocess.run([python, "-m", "pip", "install", "--quiet", PROJECT], check=True)
        ended = subprocess.run([python, "-c", SIZES], stdout=subprocess.PIPE, text=True, check=True)
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        total = sum(path.stat().st_size for path in files)
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": {"system": platform.system(), "processor": platform.machine()},
        "python": platform.python_version(),
        "bytes": total,
        "packages": json.loads(ended.stdout),
    }


def write_page(document: dict[str, Any]) -> None:
    packages = dict(sorted(document["packages"].items(), key=lambda item: -item[1]["bytes"]))
    of_python = sum(packages.pop(name)["bytes"] for name in ("pip", "setuptools") if name in packages)
    large = {name: found for name, found in packages.items() if found["bytes"] >= LEAST}
    rest = document["bytes"] - of_python - sum(found["bytes"] for found in large.values())
    lines = ["| package | version | MB |", "| --- | --- | ---: |"]
    lines += [f"| {name} | {each['version']} | {megabytes(each['bytes'])} |" for name, each in large.items()]
    lines += [
        f"| {len(packages) - len(large)} others | | {megabytes(rest)} |",
        f"| pip and setuptools, of every environment | | {megabytes(of_python)} |",
        f"| all | | {megabytes(document['bytes'])} |",
    ]
    machine = document["machine"]
    parts = {
        "TABLE": "\n".join(lines),
        "MACHINE": f"{machine['system']} on {machine['processor']}, Python {document['python']}",
    }
    result_page.write(PAGE, "install.template.md", parts)


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f}"


if __name__ == "__main__":
    main()
