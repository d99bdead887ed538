"""The project's words: `words.toml` lists those that it does not use, what to use, and the exceptions.

Checked are the names that Python files define, their comments and strings (docstrings, help and messages are
strings), the names of files, and every word of documents, pages and scripts.
"""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent.relative_to(ROOT).as_posix()
AREAS = (
    "src", "tests", "benchmarks", "docs", "scripts", "README.md", "CONTRIBUTING.md", "CHANGELOG.md",
    "CITATION.cff", "pyproject.toml",
)  # fmt: skip
PROSE_SUFFIXES = {".md", ".html", ".js", ".css", ".sh", ".toml", ".cff", ""}
FSTRING_MIDDLE = getattr(tokenize, "FSTRING_MIDDLE", -1)  # from Python 3.12 on
TEXT_TOKENS = {tokenize.COMMENT, tokenize.STRING, FSTRING_MIDDLE}
NAME_IN_STRING = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+|\.\{\})*\.?")
LEFT_OUT = {
    f"{HERE}/words.toml": "lists the words",
    f"{HERE}/test_words.py": "tests with the words",
    "docs/results": "measurements already made, quoted as they were written",
    "docs/moved.md": "maps former names to new ones",
}


@dataclass(frozen=True)
class Finding:
    """A word where it should not be."""

    file: str
    line: int
    text: str
    use: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text!r}, use: {self.use}"


@dataclass(frozen=True)
class Rule:
    """One [[rule]] of the table, compiled: a pattern for prose, parts of names, and names as they stand."""

    prose: re.Pattern[str] | None
    parts: frozenset[str]
    whole: frozenset[str]
    use: str
    within: tuple[str, ...]

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Rule":
        """Compile a row; words are a rule for names and for prose at once."""
        words = row.get("words", [])
        patterns = [rf"\b(?:{'|'.join(words)})\b"] * bool(words)
        patterns += [phrase.replace(" ", r"\s+") for phrase in row.get("phrases", [])]
        return cls(
            re.compile("|".join(patterns), re.IGNORECASE) if patterns else None,
            frozenset(words) | frozenset(row.get("names", [])),
            frozenset(row.get("whole", [])),
            row["use"],
            tuple(row.get("within", [])),
        )


@cache
def rules() -> tuple[tuple[Rule, ...], tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]]:
    """Return the rules and the exceptions, each exception as its pattern and the files that it is for."""
    table = tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))
    exceptions = tuple(
        (re.compile(row["text"].replace(" ", r"\s+"), re.IGNORECASE), tuple(row.get("within", [])))
        for row in table["exception"]
    )
    return tuple(Rule.of(row) for row in table["rule"]), exceptions


def is_within(file: str, globs: tuple[str, ...]) -> bool:
    """Whether a file is one of those that globs name; an empty list names all."""
    return not globs or any(_matches(file, glob) for glob in globs)


@cache
def _matches(file: str, glob: str) -> bool:
    path = PurePosixPath(file)
    return any(each.match(glob) for each in (path, *path.parents))


@cache
def any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return one pattern for many: most texts hold no word of any rule, which is soon seen."""
    return re.compile("|".join(patterns), re.IGNORECASE)


def parts_of(name: str) -> list[str]:
    """Divide a name into its words.

    >>> parts_of("_AsOneTeam2"), parts_of("rate_at")
    (['as', 'one', 'team', '2'], ['rate', 'at'])
    """
    pieces = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return [piece.lower() for piece in pieces]


class Checker:
    """Holds the rules for one file against what is found in it."""

    def __init__(self, file: str) -> None:
        self.file = file
        every, exceptions = rules()
        self.rules = [rule for rule in every if is_within(file, rule.within)]
        self.exceptions = [pattern for pattern, globs in exceptions if is_within(file, globs)]
        self.any_prose = any_of(tuple(rule.prose.pattern for rule in self.rules if rule.prose))
        self.used: set[str] = set()

    def prose(self, text: str, line: int) -> Iterator[Finding]:
        """Find words and phrases; line is that of the text's first line."""
        if not self.any_prose.search(text):
            return
        allowed = [m for pattern in self.exceptions for m in pattern.finditer(text)]
        for rule in self.rules:
            for found in rule.prose.finditer(text) if rule.prose else ():
                excuses = [m for m in allowed if m.start() <= found.start() and found.end() <= m.end()]
                self.used |= {m.re.pattern for m in excuses}
                if not excuses:
                    at = line + text.count("\n", 0, found.start())
                    yield Finding(self.file, at, " ".join(found[0].split()), rule.use)

    def name(self, name: str, line: int, text: str | None = None) -> Iterator[Finding]:
        """Find words in a name, and names that are forbidden as they stand; `text` is the string it is in."""
        parts = set(parts_of(name))
        for rule in self.rules:
            if not (parts & rule.parts or name.lower() in rule.whole):
                continue
            excuses = [
                each for each in self.exceptions if each.fullmatch(name) or each.fullmatch(text or name)
            ]
            self.used |= {pattern.pattern for pattern in excuses}
            if not excuses:
                yield Finding(self.file, line, name, rule.use)

    def check(self, text: str) -> Iterator[Finding]:
        """Find everything in a file's text and in its name."""
        if self.file.startswith(("src/", "tests/", "benchmarks/")):
            yield from self.name(PurePosixPath(self.file).stem, 1)
        if not self.file.endswith(".py"):
            yield from self.prose(text, 1)
            return
        for name, line in names_in(ast.parse(text)):
            yield from self.name(name, line)
        for piece, line in prose_in(text):
            yield from self.prose(piece, line)
            # A string of one word, or of words with dots or underscores, is a name: a key, an option, a file.
            for name in piece.split(".") if NAME_IN_STRING.fullmatch(piece) else ():
                yield from self.name(name, line, piece)


def names_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each name that the code gives to something, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


def prose_in(text: str) -> Iterator[tuple[str, int]]:
    """Yield the strings and comments of Python code, with the line of each; comments that follow one another
    are one text.
    """
    comments: list[str] = []
    begin = last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in TEXT_TOKENS:
            continue
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            if comments and line != last + 1:
                yield "\n".join(comments), begin
                comments = []
            begin = begin if comments else line
            comments.append(token.string.lstrip("# "))
            last = line
        elif token.type == tokenize.STRING:
            body = re.sub(r"^[a-zA-Z]*('''|\"\"\"|'|\")|('''|\"\"\"|'|\")$", "", token.string)
            yield (re.sub(r"\{[^{}]*\}", "{}", body) if "f" in token.string[:2].lower() else body), line
        else:
            yield token.string, line
    if comments:
        yield "\n".join(comments), begin


def files_of(area: str) -> list[str]:
    """List the files of an area that are checked, relative to the repository."""
    root = ROOT / area
    paths = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    names = [path.relative_to(ROOT).as_posix() for path in paths]
    return [
        name
        for name in names
        if (name.endswith(".py") or PurePosixPath(name).suffix in PROSE_SUFFIXES)
        and "__pycache__" not in name
        and not any(name == out or name.startswith(f"{out}/") for out in LEFT_OUT)
    ]


@cache
def checked(area: str) -> tuple[tuple[Finding, ...], frozenset[str]]:
    """Return what is found in an area, and the patterns of the exceptions that were of use."""
    found: list[Finding] = []
    used: set[str] = set()
    for file in files_of(area):
        checker = Checker(file)
        found += checker.check((ROOT / file).read_text(encoding="utf-8"))
        used |= checker.used
    return tuple(found), frozenset(used)


@pytest.mark.parametrize("area", AREAS)
def test_the_words_are_the_fields_own(area: str) -> None:
    findings, _ = checked(area)
    assert not findings, "\n".join(["", *map(str, findings[:50]), f"{len(findings)} in all"])


def test_every_exception_has_a_reason_and_is_needed() -> None:
    table = tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))
    assert all(len(row["reason"]) > 10 for row in table["exception"])
    used = frozenset().union(*(checked(area)[1] for area in AREAS))
    assert not [pattern.pattern for pattern, _ in rules()[1] if pattern.pattern not in used]


CODE = '''
"""Judge a picture."""
def place_of(average):  # nobody
    KnobSpace = f"kept to 3 decimal places, {average}; what is no
    film"
'''


def test_words_are_found_in_names_docstrings_comments_and_messages() -> None:
    code = CODE.replace('f"', 'f"""').replace('film"', 'film"""')
    found = {(finding.line, finding.text.lower()) for finding in Checker("src/affectlens/new.py").check(code)}
    assert found == {
        (2, "judge"), (3, "place_of"), (3, "average"), (3, "nobody"), (4, "knobspace"), (4, "is no film"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "string", ['"place.json"', '"average."', '"Average"', '"team_size"', 'f"{a}/knob.{b}"']
)
def test_strings_that_are_names_are_held_as_names(string: str) -> None:
    assert list(Checker("src/affectlens/new.py").check(f"x = {string}"))


def test_an_exception_for_a_string_with_dots_holds_for_its_parts() -> None:
    code = 'x = "place.json"'
    assert not list(Checker("tests/film/test_record.py").check(code))
    assert list(Checker("tests/film/test_watch.py").check(code))


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("by the seed's notebook", True),
        ("the seeds' networks side by side", True),
        ("of both seeds", True),
        ("Seed: a project", True),
        ("steps: 96, seed: 0", False),
        ("over the seeds (and each seed's values)", False),
    ],
)
def test_a_seed_is_a_random_seed(text: str, is_found: bool) -> None:
    assert bool(list(Checker("docs/new.md").check(text))) == is_found
