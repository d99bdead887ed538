"""The dependencies in pyproject.toml: the base is what the use half imports, and extras are the rest."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import affectlens
from affectlens import extras
from affectlens.cli.main import BUILD_HALF
from halves import LIBRARIES, SOURCES, TESTS, needs_more

PROJECT = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# For developers; `affectlens[all]` has none of them.
OURS = ("dev", "test")
# Each brings dozens of packages for a service of its own, so that `affectlens[all]` leaves them out.
TRACKERS = {"mlflow", "tensorboard", "wandb"}


def names_of(requirements: list[str]) -> set[str]:
    """Names of packages, as they are normalised; extras of our own are what they stand for."""
    found: set[str] = set()
    for requirement in requirements:
        match = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", requirement)
        assert match is not None
        if match[1] == "affectlens":
            for extra in match[2].split(","):
                found |= names_of(EXTRAS[extra])
        else:
            found.add(normalised(match[1]))
    return found


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_by(files: list[Path]) -> set[str]:
    """Names of the packages whose modules files import, at their top or within functions."""
    libraries = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                libraries |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                libraries.add(node.module.partition(".")[0])
    packages = packages_distributions()  # of those that are installed; others are named as they are imported
    others = libraries - set(sys.stdlib_module_names) - {"affectlens"}
    return {normalised(package) for library in others for package in packages.get(library, [library])[:1]}


def modules(of_use_half: bool) -> list[Path]:
    files = sorted(Path(affectlens.__file__).parent.rglob("*.py"))
    names = {file: ".".join(file.relative_to(SOURCES).with_suffix("").parts) for file in files}
    return [file for file, name in names.items() if needs_more(name.removesuffix(".__init__")) != of_use_half]


BASE = names_of(PROJECT["dependencies"])
FOR_USERS = names_of([need for name, needs in EXTRAS.items() if name not in OURS for need in needs])


def test_every_package_of_the_base_is_imported_by_the_use_half() -> None:
    assert imported_by(modules(of_use_half=True)) >= BASE


def test_what_is_imported_comes_with_the_base_or_with_an_extra() -> None:
    comes_with_others = {"markupsafe", "pandas", "pydantic", "starlette"}  # with Jinja2, Ray and FastAPI
    for of_use_half in (True, False):
        assert imported_by(modules(of_use_half)) <= BASE | FOR_USERS | comes_with_others


def test_the_base_has_no_package_of_an_extra() -> None:
    assert not BASE & FOR_USERS
    assert not BASE & {"torch", "scipy", "pyarrow"}


def test_all_and_dev_have_every_extra_of_users_but_trackers() -> None:
    assert names_of(EXTRAS["all"]) == FOR_USERS - TRACKERS
    assert names_of(EXTRAS["dev"]) >= (FOR_USERS - TRACKERS) | names_of(EXTRAS["test"])


OF_TESTS = {"axe_playwright_python", "playwright", "scipy", "torchmetrics", "transformers"}


def test_the_lists_of_libraries_are_those_of_the_extras() -> None:
    comes_with_ray, of_tests = {"pandas"}, OF_TESTS
    assert set(LIBRARIES) == imports_of(FOR_USERS) | comes_with_ray | of_tests
    assert imports_of(names_of(EXTRAS["train"]) - names_of(EXTRAS["parquet"])) == BUILD_HALF


def imports_of(distributions: set[str]) -> set[str]:
    """Return the name by which each package is imported: its own, or the one that stands for it here."""
    other = {"scikit-learn": "sklearn", "scikit-image": "skimage"}
    return {other.get(name, name.replace("-", "_")) for name in distributions}


def test_errors_name_extras_that_exist_and_hold_the_library() -> None:
    for extra in [each for each in vars(extras).values() if isinstance(each, extras.Extra)]:
        assert extra.library in imports_of(names_of(EXTRAS[extra.name]))
