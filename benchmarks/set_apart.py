"""What the default model's recipe reaches on the pictures that it set apart before all else.

    python benchmarks/set_apart.py --run FOLDER --fi PATH --ratings FOLDER

`--run` is what `default_recipe.py --out` wrote. Its split `test` is a tenth of FI, near-duplicates of whose
pictures are in no other: nothing was learned from it, chosen on it or fitted to it; temperatures are those of
`val`. So it is looked at once, when a recipe is done. Writes benchmarks/results/set_apart.json, and the page
of the default model anew (default_page.py).
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import default_page
from affectlens.data.records import digest
from affectlens.machine import describe, keep_freed_memory
from affectlens.models import saved
from averaged_answers import RATED, rows_of
from default_candidate import Rated
from default_model import ROWS, of_sets
from default_recipe import Paths

RESULT = Path(__file__).parent / "results" / "set_apart.json"


def measure(paths: Paths, ratings: Path) -> dict[str, Any]:
    """Measure every row on the pictures set apart."""
    model = saved.load(str(paths.out / "model"))
    source = paths.table("data.tsv")
    rated = {name: Rated.read(ratings / name) for name in RATED}
    splits = {name: source.split(name) for name in ("val", "test")}
    logs, targets = of_sets(model, splits, rated)
    valence = {name: each.valence for name, each in rated.items()}
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "weights": model.card.weights_hash,
        "hashes": {name: digest(part) for name, part in source.splits.items()},
        "pictures": {name: len(part) for name, part in source.splits.items()},
        "rows": rows_of(logs, targets, valence, ROWS, "test"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of default_recipe.py")
    parser.add_argument("--fi", type=Path, required=True, help="folder of FI")
    parser.add_argument("--ratings", type=Path, required=True, help="folder of oasis-dev and emdt-dev")
    given = parser.parse_args()
    keep_freed_memory()
    result = measure(Paths(fi=f"fi:{given.fi}", weights="none", out=given.run), given.ratings)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    default_page.main()


if __name__ == "__main__":
    main()
