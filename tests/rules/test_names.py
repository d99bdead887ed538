"""One name, one meaning; modules are named for what they hold, so nothing is hidden in `__init__`."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import affectlens

PACKAGE = Path(affectlens.__file__).parent
FILES_OF_ONE_FUNCTION_NAME = 4  # at most: a name that more files need is one function in one file
# What depends on the version of Python or is for type checkers alone is at the level of the module as well.
BLOCKS = (ast.If, ast.Try, ast.ExceptHandler)


def modules_of(package: Path) -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(package.rglob("*.py")):
        yield file.relative_to(package).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def at_module_level(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, BLOCKS):
            yield from at_module_level(child)


def types_of(package: Path) -> dict[str, list[str]]:
    """Map the names of classes, private and inner ones too, and of type aliases to where they are defined."""
    found: dict[str, list[str]] = defaultdict(list)
    for file, tree in modules_of(package):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(file)
        for node in at_module_level(tree):
            for name in aliases_in(node):
                found[name].append(file)
    return found


def aliases_in(node: ast.AST) -> list[str]:
    """Names that a statement defines as `X = ...`, `X: TypeAlias = ...` or `type X = ...`; no CONSTANTS."""
    if type(node).__name__ == "TypeAlias":  # from Python 3.12 on
        targets = [getattr(node, "name", None)]
    elif isinstance(node, ast.Assign) and not is_type_variable(node.value):
        targets = list(node.targets)
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    else:
        return []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if name.lstrip("_")[:1].isupper() and not name.isupper()]


def is_type_variable(value: ast.expr) -> bool:
    """Type variables may share names: each means something only within the signature that it stands in."""
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypeVar"


def functions_of(package: Path) -> dict[str, set[str]]:
    """Map the names of functions at module level, private ones too, to the files that define them."""
    found: dict[str, set[str]] = defaultdict(set)
    for file, tree in modules_of(package):
        for node in at_module_level(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name].add(file)
    return found


def in_too_many_files(package: Path) -> dict[str, set[str]]:
    functions = functions_of(package)
    return {name: files for name, files in functions.items() if len(files) > FILES_OF_ONE_FUNCTION_NAME}


def test_a_name_of_a_class_or_type_alias_means_one_thing_in_the_whole_package() -> None:
    types = types_of(PACKAGE)
    # A class, a private one, and aliases with and without an annotation are among them.
    assert {"Vocabulary", "_Copy", "MomentKind", "PredictionRow"} <= types.keys()
    assert {name: files for name, files in types.items() if len(files) > 1} == {}


def test_a_class_that_is_defined_twice_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("class Part:\n    class _Page: ...\n")
    (tmp_path / "two.py").write_text("class _Page: ...\n")
    assert types_of(tmp_path)["_Page"] == ["one.py", "two.py"]


def test_a_type_alias_that_is_defined_twice_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("class Box: ...\nLIMIT = 1\nRow = dict[str, int]\nIn = TypeVar('In')\n")
    (tmp_path / "two.py").write_text("if TYPE_CHECKING:\n    Row: TypeAlias = list[int]\nBox = tuple[int]\n")
    (tmp_path / "three.py").write_text("LIMIT = 2\nIn = TypeVar('In')\ndef f():\n    Row = 1\n")
    assert types_of(tmp_path) == {"Box": ["one.py", "two.py"], "Row": ["one.py", "two.py"]}


def test_a_function_name_stands_in_a_few_files_at_most() -> None:
    assert len(functions_of(PACKAGE)) > 500
    assert in_too_many_files(PACKAGE) == {}


def test_a_function_name_in_five_files_is_found(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.py").write_text("def _check(): ...\nclass A:\n    def write(self): ...\n")
    assert in_too_many_files(tmp_path) == {"_check": {f"{number}.py" for number in range(5)}}
    (tmp_path / "4.py").unlink()
    assert in_too_many_files(tmp_path) == {}


def test_init_files_hold_no_logic() -> None:
    lazy_names = PACKAGE / "__init__.py"
    files = [file for file in PACKAGE.rglob("__init__.py") if file != lazy_names]
    assert len(files) > 10
    allowed = ast.Expr | ast.Import | ast.ImportFrom | ast.Assign
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert [node for node in tree.body if not isinstance(node, allowed)] == [], file
