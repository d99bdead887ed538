"""Where scikit-learn is not installed."""

import without_torch


def test_all_names_can_be_imported_and_what_needs_the_extra_names_it() -> None:
    program = (
        "from affectlens import *\n"
        "from affectlens.errors import MissingExtra\n"
        "try:\n    Embedding()\n"
        "except MissingExtra as error:\n    print(error)\n"
    )
    ended = without_torch.run(program)
    assert ended.returncode == 0, ended.stderr
    assert 'pip install "affectlens[adapt]"' in ended.stdout
