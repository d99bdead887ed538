"""Small data, folds, ratings and weights for tests of the screening of recipes."""

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file

from affectlens.data import folder, splits
from affectlens.data.groups import find_groups
from affectlens.data.records import ALL
from affectlens.models import backbones
from pictures import colour_set
from screening import RATED, Paths


def paths_of(root: Path, words: Sequence[str], each: int = 12) -> Paths:
    """Write pictures of each emotion in three folds, two sets of six rated ones, and weights."""
    data = colour_set(root / "fi", words, each=each)
    source = folder.read(data)
    groups = find_groups(source.split(ALL), "off")
    splits.write_splits(root / "folds.tsv", splits.divide_into_folds(source, 3, 0, test=0.1, groups=groups))
    for name in RATED:
        rated = colour_set(root / "ratings" / f"{name}-dev", ("awe", "anger"), each=3)
        files = [path.relative_to(rated) for path in sorted(rated.rglob("*.png"))]
        lines = ["file\tvalence_mean", *(f"{file}\t{1 + number}" for number, file in enumerate(files))]
        (rated / "ratings.tsv").write_text("\n".join(lines) + "\n")
    weights = root / "weights"
    weights.mkdir()
    for name in ("test_efficientnet", "test_vit"):
        save_file(backbones.classifier(name, 10).state_dict(), weights / f"{name}.safetensors")
    return Paths(
        fi=data, folds=root / "folds.tsv", weights=weights, ratings=root / "ratings",
        out=root / "runs", results=root / "results" / "screening.jsonl",
    )  # fmt: skip
