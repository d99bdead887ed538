"""The default model of its two members, joined, with a temperature and scores of FI's validation split.

    affectlens train pair --data fi:PATH --out RUN
    python benchmarks/frozen_levels.py features --fi PATH --weights FOLDER --ratings FOLDER --out FEATURES.npz
    python benchmarks/frozen_levels.py fit --features FEATURES.npz --fi PATH --weights FOLDER --out LEVELS
    python benchmarks/default_join.py --pair RUN/model --levels LEVELS --data fi:PATH --out FOLDER

Weights are stored as float16, and the graph is made. Then ratings, sets and the mark for unusual pictures are
fitted to it (ratings.py, coverage.py, unusual.py, default_heads.py). default_recipe.py makes the same in one
command, from pictures that it divides anew.
"""

import argparse
from pathlib import Path

from affectlens.data.catalog import open_data
from affectlens.models import saved
from default_recipe import Joined, write_joined

COMMAND = "python benchmarks/default_join.py --pair RUN/model --levels LEVELS --data fi:PATH --out FOLDER"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", required=True, help="model of the network pair")
    parser.add_argument("--levels", required=True, help="model of frozen_levels.py")
    parser.add_argument("--data", required=True, help="fi:PATH")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    given = parser.parse_args()
    about = Joined(name="default", split="val", data="fi", command=COMMAND)
    models = [saved.load(name) for name in (given.pair, given.levels)]
    write_joined(about, models, open_data(given.data), given.out)


if __name__ == "__main__":
    main()
