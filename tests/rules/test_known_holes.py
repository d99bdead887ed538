"""No lower bound admits a version with a known hole that strangers' files can reach."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
HOLES = tomllib.loads(Path(__file__).with_name("known_holes.toml").read_text(encoding="utf-8"))["holes"]
# What decodes or unpacks what strangers made.
EXPOSED = {"pillow", "av", "pyarrow", "torch", "jinja2"}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(text) for each in lists for text in each]


def lowest(requirement: Requirement) -> Version:
    bounds = [Version(each.version) for each in requirement.specifier if each.operator in (">=", "==", "~=")]
    assert bounds, f"{requirement} has no lower bound"
    return max(bounds)


@pytest.mark.parametrize("hole", HOLES, ids=lambda hole: hole["library"])
def test_no_lower_bound_admits_a_version_with_a_known_hole(hole: dict[str, str]) -> None:
    found = [each for each in requirements() if each.name.lower() == hole["library"]]
    assert found, f"{hole['library']} has left the dependencies: take it out of known_holes.toml"
    for requirement in found:
        assert lowest(requirement) >= Version(hole["fixed"]), hole["what"]


def test_what_strangers_files_reach_is_in_the_table() -> None:
    assert {hole["library"] for hole in HOLES} >= EXPOSED
