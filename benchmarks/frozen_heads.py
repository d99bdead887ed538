"""Classifiers on frozen features: how good they are, and soft answers out of fold to learn from.

    python benchmarks/frozen_heads.py features --fi PATH --weights FOLDER --ratings FOLDER --out FEATURES.npz
    python benchmarks/frozen_heads.py teach --features FEATURES.npz --fi PATH --folds FOLDS.tsv \\
        --ratings FOLDER --fold 1 [--perceptrons]

`features` runs networks as they come from ImageNet over all pictures of FI and over photographs that people
rated: of some levels of their maps the mean and the standard deviation of each channel, and what their own
classifier reads. `teach` fits multinomial logistic regression to them, or perceptrons
(frozen_perceptrons.py). It stores an answer to every picture
of the other folds (soft_answers.py), by a classifier that saw neither that picture's fold nor the fold that
is named: a network that learns from them, and is measured on the fold, is taught by nothing that saw it. The
answers to the fold itself, by a classifier of all others, are a row of the screening, `frozen_heads` or
`perceptrons`. For fold 0, which is none, there are answers to all folds and no row. The split `test` of
FOLDS.tsv is never read.

Letters: N pictures, D features, E emotions.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import frozen_perceptrons
from affectlens.data.catalog import open_data
from affectlens.data.prefetch import batched, map_ahead
from affectlens.data.records import ALL, FOLD, DataSource, Record
from affectlens.emotions import MIKELS, EmotionDistribution
from affectlens.evaluation.calibration import fit_temperature
from affectlens.files import atomic_write
from affectlens.images import read_pixels
from affectlens.machine import pick_device
from affectlens.metrics import softmax
from affectlens.models.backbones import Pyramid, statistics, suit_cpu
from affectlens.models.network_input import normalise, to_tensor
from affectlens.preprocess import Preprocessing
from screening import RATED, RESULTS, Job, Measured, Paths, Row, append, read_ratings, result_of
from soft_answers import file_of, store

# By network, which of its maps; all of a transformer's blocks have the same size, and much in common.
LEVELS: Mapping[str, Sequence[int]] = {
    "deit_tiny_patch16_224": (3, 7, 11),
    "tf_efficientnet_lite2": (0, 1, 2, 3, 4),
}
SIDE, BATCH = 224, 8
# On the squared weights of standardised features. Of .01, .03, .1, .3 and 1, on fold 1, where accuracy hardly
# changes from .1 to .3.
PENALTY = 0.12
STEPS = 150

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Kind:
    """What reads the features.

    Attributes:
        row: its name in the screening
        teacher: the name of its soft answers
        fit: features (N, D), labels (N,) and how many features each network has -> what answers, with
            `parameters`
    """

    row: str
    teacher: str
    fit: Callable[[Array, NDArray[np.int64], Sequence[int]], Any]


class Heads(NamedTuple):
    """A linear classifier: (N, D) -> logits (N, E), and how its features are standardised."""

    mean: Array
    spread: Array
    weights: Array
    offsets: Array

    @property
    def parameters(self) -> int:
        return int(self.weights.size + self.offsets.size)

    def __call__(self, features: Array) -> Array:
        logits = (features - self.mean) / self.spread @ self.weights + self.offsets
        return logits.astype(np.float32)


def features_of(
    files: Sequence[Path], weights: str, levels: Mapping[str, Sequence[int]], side: int
) -> dict[str, NDArray[np.float16]]:
    """Run frozen networks, of which `levels` names some maps, over pictures: by network, (N, D).

    `weights` is as in `training.settings`.
    """
    device = pick_device()
    networks = {name: Pyramid(name, weights=weights).eval().to(device) for name in levels}
    expected = {name: statistics(name) for name in networks}
    fitted = {
        name: Preprocessing(height=side, width=side, mean=found.mean, std=found.std)
        for name, found in expected.items()
    }
    for network in networks.values():
        suit_cpu(network)

    def run(batch: list[Path]) -> dict[str, NDArray[np.float16]]:
        torch.set_num_threads(1)  # of each of the threads that share the processor
        pixels = np.stack([fitted[min(fitted)].fit_pixels(read_pixels(file)) for file in batch])
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
            found = {
                name: described(network, normalise(to_tensor(pixels).to(device), fitted[name]), levels[name])
                for name, network in networks.items()
            }
        return {name: each.half().cpu().numpy() for name, each in found.items()}

    parts = list(map_ahead(run, batched(files, BATCH), ahead=4))
    return {name: np.concatenate([part[name] for part in parts]) for name in networks}


def described(network: torch.nn.Module, images: torch.Tensor, levels: Sequence[int]) -> torch.Tensor:
    """Describe images by pooled features and the first two moments of maps: (B, 3, H, W) -> (B, D)."""
    found = network(images.contiguous(memory_format=torch.channels_last))
    maps = [found.maps[level].float().flatten(2) for level in levels]
    return torch.cat([found.deep.float(), *(m.mean(2) for m in maps), *(m.std(2) for m in maps)], dim=1)


def fit(features: Array, labels: NDArray[np.int64]) -> Heads:
    """Fit multinomial logistic regression, with `PENALTY` on the squared weights, by L-BFGS."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-4
    inputs, targets = torch.from_numpy((features - mean) / spread), torch.from_numpy(labels)
    weights = torch.zeros(inputs.shape[1], len(MIKELS), requires_grad=True)
    offsets = torch.zeros(len(MIKELS), requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, offsets], max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(inputs @ weights + offsets, targets)
        value = value + PENALTY / 2 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return Heads(mean, spread, weights.detach().numpy(), offsets.detach().numpy())


def make_features(fi: Path, weights: Path, ratings: Path, out: Path) -> None:
    """Store the features of FI with their keys, and those of each set of rated pictures."""
    records = open_data(f"fi:{fi}").split(ALL)
    files = {"fi": [record.path for record in records]}
    files |= {name: read_ratings(ratings / f"{name}-dev")[0] for name in RATED}
    every = features_of([file for part in files.values() for file in part], str(weights), LEVELS, SIDE)
    stacked = np.concatenate(list(every.values()), axis=1)
    ends = np.cumsum([len(part) for part in files.values()])
    parts = dict(zip(files, np.split(stacked, ends[:-1]), strict=True))
    write_features(out, records, [part.shape[1] for part in every.values()], parts)


def write_features(
    out: Path, records: Sequence[Record], widths: Sequence[int], parts: Mapping[str, NDArray[np.float16]]
) -> None:
    """Store features as `Stored` reads them: by part, (N, D); `widths` is how many each network has."""
    keys = np.array([record.key for record in records])
    arrays: dict[str, Any] = {"keys": keys, "widths": np.array(widths), **parts}
    with atomic_write(out) as file:
        np.savez(file, **arrays)


class Stored:
    """Features from a file, by record; `widths` is how many each network has, in order."""

    def __init__(self, file: Path, *others: str) -> None:
        """Read them; `others` are those of FI's pictures besides `fi`."""
        with np.load(file, allow_pickle=False) as stored:
            self._rows = {key: row for row, key in enumerate(stored["keys"].tolist())}
            self._parts = {n: stored[n].astype(np.float32) for n in ("fi", *others, *RATED) if n in stored}
            self.widths: list[int] = stored["widths"].tolist()

    def of(self, records: Sequence[Record], part: str = "fi") -> Array:
        """Return the features of pictures of FI, (N, D)."""
        found: Array = self._parts[part][[self._rows[record.key] for record in records]]
        return found

    def of_rated(self, name: str) -> Array:
        """Return those of a set of rated pictures, in its order."""
        found: Array = self._parts[name]
        return found


def folds_of(source: DataSource) -> dict[str, Sequence[Record]]:
    """Return the folds of a data set, by name, without `test` and whatever else it has."""
    return {name: part for name, part in source.splits.items() if FOLD.fullmatch(name)}


def labels_of(records: Sequence[Record]) -> NDArray[np.int64]:
    """Return the index of each picture's emotion, (N,)."""
    return np.array([MIKELS.index(record.target.top) for record in records])


def out_of_fold(stored: Stored, parts: Mapping[str, Sequence[Record]], kind: Kind) -> tuple[Array, float]:
    """Answer for each part by a classifier of the others: logits (N, E) in order, and their temperature."""
    answers = []
    for name, part in parts.items():
        rest = [record for other, each in parts.items() if other != name for record in each]
        classify = kind.fit(stored.of(rest), labels_of(rest), stored.widths)
        answers.append(classify(stored.of(part)))
    logits = np.concatenate(answers)
    labels = np.concatenate([labels_of(part) for part in parts.values()])
    return logits, fit_temperature(logits, np.eye(len(MIKELS))[labels])


def teach(features: Path, paths: Paths, fold: int, kind: Kind) -> None:
    """Store soft answers for one fold, and how good the classifier of all other folds is on it."""
    stored, source, began = Stored(features), open_data(paths.data), time.monotonic()
    parts = folds_of(source)
    own = parts.pop(f"fold {fold}", None)
    every = [record for part in parts.values() for record in part]
    logits, temperature = out_of_fold(stored, parts, kind)
    file = file_of(kind.teacher, fold, paths.results.parent)
    store(file, [record.key for record in every], MIKELS.words, softmax(logits / temperature))
    right = float((logits.argmax(axis=1) == labels_of(every)).mean())
    print(f"fold {fold}: {right:.3f} of {len(every):,} soft answers have the label first", flush=True)
    if own is not None:
        classify = kind.fit(stored.of(every), labels_of(every), stored.widths)
        job = Job(Row(name=kind.row, recipe="none", expects=""), fold, 0)
        result = measured_on(classify, temperature, stored, own, job, paths, began)
        print(f"fold {fold}: {result['accuracy']:.3f} / {result['balanced_accuracy']:.3f}", flush=True)


def measured_on(
    classify: Any,
    temperature: float,
    stored: Stored,
    own: Sequence[Record],
    job: Job,
    paths: Paths,
    began: float,
) -> dict[str, Any]:
    """Append how well what answers features, with `parameters`, does on a fold, and return that line."""

    def distributions(name: str) -> list[EmotionDistribution]:
        rows = softmax(classify(stored.of_rated(name)) / temperature).tolist()
        return [EmotionDistribution(MIKELS, tuple(row)) for row in rows]

    measured = Measured(
        logits=classify(stored.of(own)),
        targets=np.eye(len(MIKELS))[labels_of(own)],
        temperature=temperature,
        rated={name: (distributions(name), read_ratings(paths.ratings / f"{name}-dev")[1]) for name in RATED},
        seconds=time.monotonic() - began,
        parameters=classify.parameters,
    )
    result = result_of(job, measured, paths)
    append(result, paths.results)
    return result


LINEAR = Kind("frozen_heads", "frozen", lambda features, labels, _: fit(features, labels))
PERCEPTRONS = Kind("perceptrons", "perceptrons", frozen_perceptrons.fit)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command")
    one = commands.add_parser("features", help="store frozen features")
    other = commands.add_parser("teach", help="store soft answers for a fold")
    for command in (one, other):
        command.add_argument("--fi", type=Path, required=True, help="folder of FI")
        command.add_argument("--ratings", type=Path, required=True, help="folder of oasis-dev and emdt-dev")
    one.add_argument("--weights", type=Path, required=True, help="folder with the backbones' weights")
    one.add_argument("--out", type=Path, required=True, help="file of the features, .npz")
    other.add_argument("--features", type=Path, required=True, help="what `features` wrote")
    other.add_argument(
        "--folds", type=Path, required=True, help="table of folds, from `affectlens data split`"
    )
    other.add_argument("--fold", type=int, action="append", required=True, help="may be given several times")
    other.add_argument("--perceptrons", action="store_true", help="perceptrons, not linear classifiers")
    other.add_argument("--results", type=Path, default=RESULTS, help="file that results are added to")
    given = vars(parser.parse_args())
    if given.pop("command") == "features":
        make_features(**given)
        return
    features, folds = given.pop("features"), given.pop("fold")
    kind = PERCEPTRONS if given.pop("perceptrons") else LINEAR
    # Nothing is trained from weights, nor is there a folder of runs.
    paths = Paths(**given, weights=features, out=features.parent)
    for fold in folds:
        teach(features, paths, fold, kind)


if __name__ == "__main__":
    main()
