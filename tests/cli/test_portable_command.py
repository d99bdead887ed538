"""The command that a card states."""

import pytest

from affectlens.cli.portable_command import portable_command


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("vit --teachers /data/a.jsonl --teachers b.csv", "vit --teachers a.jsonl --teachers b.csv"),
        ("vit --data=fi:/data/fi --out=/runs/1 --cache=/tmp/c", "vit --data=fi:PATH --out=RUN --cache=CACHE"),
        ("vit --data fi:/data/fi --out /runs/1/ --resume", "vit --data fi:PATH --out RUN --resume"),
        ("vit --settings /home/ann/best.toml --seed 2", "vit --settings best.toml --seed 2"),
        ("vit --set weights=../w --set lr=1e-4", "vit --set weights=FOLDER --set lr=1e-4"),
        ("vit --set=weights=/w/vit.safetensors", "vit --set=weights=FOLDER"),
        ("vit --set weights=none", "vit --set weights=none"),
        ("vit --data pictures --address 10.0.0.1:6379", "vit --data PATH --address ADDRESS"),
        ("vit --name /runs --out", "vit --name /runs --out"),
    ],
)
def test_the_command_in_a_card_has_no_folder_of_this_machine(words: str, expected: str) -> None:
    assert portable_command(["train", *words.split()]) == f"affectlens train {expected}"
