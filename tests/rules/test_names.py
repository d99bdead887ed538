"""One class name, one meaning; modules are named for what they hold, so nothing is hidden in `__init__`."""

import ast
from collections import defaultdict
from pathlib import Path

import affectlens

PACKAGE = Path(affectlens.__file__).parent


def classes_of(package: Path) -> dict[str, list[str]]:
    """Map each class name, private and inner ones too, to the modules that define it."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(file.relative_to(package).as_posix())
    return found


def test_a_class_name_means_one_thing_in_the_whole_package() -> None:
    assert {name: files for name, files in classes_of(PACKAGE).items() if len(files) > 1} == {}


def test_a_class_that_is_defined_twice_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("class Part:\n    class _Page: ...\n")
    (tmp_path / "two.py").write_text("class _Page: ...\n")
    assert classes_of(tmp_path)["_Page"] == ["one.py", "two.py"]


def test_init_files_hold_no_logic() -> None:
    lazy_names = PACKAGE / "__init__.py"
    files = [file for file in PACKAGE.rglob("__init__.py") if file != lazy_names]
    assert len(files) > 10
    allowed = ast.Expr | ast.Import | ast.ImportFrom | ast.Assign
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert [node for node in tree.body if not isinstance(node, allowed)] == [], file
