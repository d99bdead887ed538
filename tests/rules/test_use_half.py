"""Which modules import a library of an extra, directly or through others: those of the list alone."""

import without_torch
from halves import LIBRARIES, NAMED, ROOMS

PROGRAM = """
import importlib, pkgutil
import affectlens

for found in pkgutil.walk_packages(affectlens.__path__, "affectlens."):
    try:
        importlib.import_module(found.name)
    except ImportError as error:
        print(found.name, error.name)
"""


def test_all_modules_but_those_of_the_list_are_imported_where_the_base_alone_is_installed() -> None:
    ended = without_torch.run(PROGRAM)
    assert ended.returncode == 0, ended.stderr
    failed = dict(line.split() for line in ended.stdout.splitlines())
    assert {library.partition(".")[0] for library in failed.values()} <= set(LIBRARIES)
    assert {name for name in failed if not name.startswith(ROOMS)} == NAMED
