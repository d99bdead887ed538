"""What documents name is there: links, modules and what they define, rooms, versions."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from affectlens import former_keys

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "affectlens"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def defined_in(module: str) -> frozenset[str]:
    """List what a module defines, methods as `Class.method`; `module` is a path below the package."""
    names: set[str] = set()
    for node in ast.parse((PACKAGE / module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)}
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(names)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_to_files_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_modules_and_names_in_the_architecture_are_there() -> None:
    named = re.findall(r"\b([\w/]+\.py)(?:: (\w+(?:\.\w+)?))?", read("docs/architecture.md"))
    assert len(named) > 20
    assert [module for module, _ in named if not (PACKAGE / module).is_file()] == []
    assert [f"{module}: {name}" for module, name in named if name and name not in defined_in(module)] == []


def test_rooms_of_the_package_are_those_of_the_contributors_table() -> None:
    rooms = read("CONTRIBUTING.md").split("\n## ")[1]
    rows = re.findall(r"^\| (`.*?) \|", rooms, re.MULTILINE)
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    there = {p.name for p in PACKAGE.iterdir() if not p.name.startswith("_") and p.name != "py.typed"}
    assert named == there


def test_the_map_of_moved_modules_leads_from_what_is_gone_to_what_is_there() -> None:
    names = r"^\| `affectlens\.([\w.]+)` \| `affectlens\.([\w.]+)` \|"
    rows = re.findall(names, read("docs/moved.md"), re.MULTILINE)
    assert len(rows) > 100
    assert [old for old, _ in rows if exists(old)] == []
    assert [new for _, new in rows if not exists(new)] == []


def exists(dotted: str) -> bool:
    """Whether a module of the package is there, or a name that one defines; folders do not count."""
    path, name = Path(*dotted.split(".")), dotted.rpartition(".")[2]
    if (PACKAGE / path).with_suffix(".py").is_file():
        return True
    module = path.parent.with_suffix(".py") if "." in dotted else path
    return (PACKAGE / module).is_file() and name in defined_in(module.as_posix())


def test_former_keys_of_settings_are_listed() -> None:
    listed = read("docs/moved.md")
    unlisted = [
        old for old, new in former_keys.SETTINGS.items() if f"\n| `{old}` | `{new}` |\n" not in listed
    ]
    assert unlisted == []


def test_the_version_is_the_same_everywhere() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert f"\nversion: {version}\n" in read("CITATION.cff")
    assert f"\n## [{version}]" in read("CHANGELOG.md")
