"""What the package promises to those who import it, and what it promises never to do."""

import ast
from pathlib import Path

import pytest

import affectlens

SOURCES = sorted(Path(affectlens.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("name", affectlens.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(affectlens, name) is not None


def test_a_misspelt_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Predictr"):
        _ = affectlens.Predictr


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_pickle_is_ever_read(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loads = [f for f in calls if isinstance(f, ast.Attribute) and f.attr == "load"]
    assert not [f for f in loads if isinstance(f.value, ast.Name) and f.value.id == "torch"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_file_and_every_public_thing_in_it_says_what_it_is(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    kinds = (ast.FunctionDef, ast.ClassDef)
    silent = [
        n.name for n in tree.body if isinstance(n, kinds) and n.name[0] != "_" and not ast.get_docstring(n)
    ]
    assert not silent
