import ast
import pickle
from pathlib import Path

import pytest

import affectlens
from affectlens import errors
from affectlens.emotions import MIKELS
from affectlens.errors import AffectLensError, BadRow, PictureDamaged, PictureError, UnknownName

PACKAGE = Path(affectlens.__file__).parent
ALL = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
OURS = {name: kind for name, kind in ALL.items() if issubclass(kind, AffectLensError)}


def tree() -> dict[str, int]:
    """Names in the docstring's tree, with their indentation."""
    lines = str(errors.__doc__).partition("\nAffectLensError\n")[2].splitlines()
    return {"AffectLensError": 0, **{line.split()[0]: len(line) - len(line.lstrip()) for line in lines}}


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    shown = tree()
    for name, kind in OURS.items():
        depth = len(kind.__mro__) - len(AffectLensError.__mro__)
        assert shown.get(name) == 4 * depth, f"{name} is not where it belongs"


def test_the_tree_lists_each_error_that_lives_elsewhere() -> None:
    shown = tree()
    elsewhere = {}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            bases = (
                {base.id for base in node.bases if isinstance(base, ast.Name)}
                if isinstance(node, ast.ClassDef)
                else set()
            )
            if bases & set(OURS) and isinstance(node, ast.ClassDef) and file.name != "errors.py":
                elsewhere[node.name] = file.name
    assert "BadDistribution" in elsewhere
    assert not {name: file for name, file in elsewhere.items() if name not in shown}


def test_an_unknown_name_suggests_the_nearest_and_lists_all() -> None:
    error = UnknownName("emotion", "Saddness", MIKELS.words, "the vocabulary mikels-8")
    assert "Did you mean 'sadness'?" in str(error)
    assert all(word in str(error) for word in MIKELS.words)


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    assert "Did you mean" not in str(UnknownName("emotion", "xyzzy", MIKELS.words, "mikels-8"))


@pytest.mark.parametrize(
    "error",
    [
        UnknownName("emotion", "sadd", ["sad"], "a test"),
        PictureDamaged("a.jpg", "truncated."),
        BadRow(Path("a.csv"), 7, "no path."),
        errors.EmptySplit("fi", "test", ["train"]),
        errors.BadModelFolder(Path("model"), "it is empty."),
        errors.DatasetNotFound("FI", Path("fi/splits.tsv"), "its authors"),
    ],
)
def test_an_error_arrives_whole_from_another_process(error: AffectLensError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_a_picture_error_names_the_file_and_the_reason_apart() -> None:
    error = PictureError(Path("holiday") / "a.jpg", "too dark.")
    assert (error.path, error.reason) == (str(Path("holiday") / "a.jpg"), "too dark.")
