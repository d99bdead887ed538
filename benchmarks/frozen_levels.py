"""A model of the network `multilevel` whose backbone stays as it comes from ImageNet; fitted in minutes.

    python benchmarks/frozen_levels.py features --fi PATH --weights FOLDER --ratings FOLDER --out FEATURES.npz
    python benchmarks/frozen_levels.py measure --features FEATURES.npz --fi PATH --folds FOLDS.tsv \\
        --ratings FOLDER --fold 1
    python benchmarks/frozen_levels.py fit --features FEATURES.npz --fi PATH --weights FOLDER --out MODEL

`features` runs the backbone over all pictures of FI, each as it is and once more as training would vary it,
and over photographs that people rated. `measure` fits a perceptron to all folds but one and measures it on
that one, a row of the screening: `levels`, or `levels_as_is` where it learns from pictures as they are alone.
`fit` learns from the training split, fits its temperature on the validation split, and writes a model folder,
which `affectlens models join` makes a member of an ensemble.

Letters: N pictures, D features, E emotions.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import frozen_heads
import frozen_perceptrons
from affectlens.data.catalog import open_data
from affectlens.data.prefetch import batched, map_ahead
from affectlens.data.records import ALL, DataSource, Record, digest
from affectlens.emotions import MIKELS
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.scores import score
from affectlens.evaluation.tables import markdown
from affectlens.images import Pixels, read_pixels
from affectlens.library.licences import licences
from affectlens.library.text import limits, readme_beginning
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.multilevel import MultiLevel
from affectlens.models.network_input import normalise, to_tensor
from affectlens.models.saved import save_model
from affectlens.preprocess import Preprocessing
from affectlens.training.augment import Augmentation, augment
from affectlens.training.batches import derived_seed
from frozen_heads import Stored, folds_of, labels_of, measured_on
from screening import RATED, RESULTS, Job, Paths, Row, read_ratings

# Of the networks whose weights we have, Lite2 has the strongest features (docs/results/third_branch.md).
BACKBONE, SIDE = "tf_efficientnet_lite2.in1k", 192
VARIED = Augmentation(crop_scale=0.5, flip=0.5)
BATCH, SEED = 16, 0
COMMAND = "python benchmarks/frozen_levels.py fit --features FILE --fi PATH --weights FOLDER --out FOLDER"
VARIED_PART = "varied"  # of the features, besides `fi`
_ONE_AT_A_TIME = Lock()  # torch's random numbers are those of the process

Array = NDArray[np.float32]


def network_of(weights: str) -> MultiLevel:
    """Build the network, its backbone with the weights that `training.settings` describes, in use."""
    network = catalog.build("multilevel", len(MIKELS), weights=weights, backbone=BACKBONE)
    assert isinstance(network, MultiLevel)
    return network.eval()


def preprocessing_of() -> Preprocessing:
    expected = catalog.expected_input("multilevel", {"backbone": BACKBONE})
    return Preprocessing(
        height=SIDE, width=SIDE, interpolation="bilinear", mean=expected.mean, std=expected.std
    )


# ------------------------------------------------------------------------------------------------ features


class Described(nn.Module):
    """The part of the network that is not fitted: (B, 3, H, W) -> (B, D)."""

    def __init__(self, network: MultiLevel) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.describe(images)


def describe(
    network: MultiLevel, files: Iterable[Path], fitted: Callable[[Path], Pixels], cores: int
) -> NDArray[np.float16]:
    """Return the features of pictures, by ONNX Runtime, which is three times as fast as torch: (N, D)."""
    size = preprocessing_of()
    images = torch.zeros(2, 3, SIDE, SIDE)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "described.onnx"
        torch.onnx.export(
            Described(network).eval(), (images,), file, dynamo=True, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1 << 20)},),
        )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # pictures are run side by side
        session = onnxruntime.InferenceSession(file, options)
    name = session.get_inputs()[0].name

    def run(batch: Sequence[Path]) -> NDArray[np.float16]:
        pixels = to_tensor(np.stack([fitted(file) for file in batch]))
        found: list[Any] = session.run(None, {name: normalise(pixels, size).numpy()})
        features: NDArray[np.float16] = found[0].astype(np.float16)
        return features

    return np.concatenate(list(map_ahead(run, batched(files, BATCH), ahead=cores)))


def as_is(size: Preprocessing, file: Path) -> Pixels:
    return size.fit_pixels(read_pixels(file))


def as_varied(size: Preprocessing, file: Path) -> Pixels:
    """Vary a picture as training would, the same one always alike."""
    pixels = to_tensor(read_pixels(file))
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(file.name))
        varied = augment(pixels, VARIED, size.height, size.width)
    return varied.permute(1, 2, 0).numpy()


def write_features(
    records: Sequence[Record], rated: Mapping[str, Sequence[Path]], weights: str, out: Path, cores: int
) -> None:
    """Store the features of pictures with their keys, as they are and varied, and those of rated pictures."""
    torch.set_num_threads(1)  # of each of the threads that share the processor
    network, size = network_of(weights), preprocessing_of()
    files = [record.path for record in records]
    parts = {
        name: describe(network, each, partial(as_is, size), cores)
        for name, each in {"fi": files, **rated}.items()
    }
    parts[VARIED_PART] = describe(network, files, partial(as_varied, size), cores)
    frozen_heads.write_features(out, records, [parts["fi"].shape[1]], parts)


# ----------------------------------------------------------------------------------------------- fitting


def in_network(network: MultiLevel, fitted: frozen_perceptrons.Standardised) -> MultiLevel:
    """Put a perceptron, and how its features are standardised, into a network."""
    perceptron: Any = fitted.network
    standardise: Any = network.standardise
    *hidden, last = perceptron
    with torch.no_grad():
        standardise.running_mean.copy_(torch.from_numpy(fitted.mean))
        standardise.running_var.copy_(torch.from_numpy(fitted.spread).square() - standardise.eps)
        for own, learned in zip(network.perceptron, hidden, strict=True):
            own.load_state_dict(learned.state_dict())
        network.classifier.load_state_dict(last.state_dict())
    return network


class Levels(Stored):
    """Stored features, those of varied pictures as well."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, VARIED_PART)

    def fit(self, records: Sequence[Record], varied: bool = True) -> frozen_perceptrons.Perceptrons:
        """Fit a perceptron to pictures as they are, and as they were varied."""
        parts = [self.of(records, part) for part in ("fi", *([VARIED_PART] if varied else []))]
        features = np.concatenate(parts)
        labels = np.tile(labels_of(records), len(parts))
        return frozen_perceptrons.fit(features, labels, [features.shape[1]], seeds=(SEED,))


def data_facts(source: DataSource, original: str = "fi") -> dict[str, Any]:
    """What a card states of the pictures of each split: their hash, and how many have each emotion."""
    return {
        "spec": original,
        "hashes": {name: digest(part) for name, part in source.splits.items()},
        "counts": source.counts(),
        "notes": [],
    }


def measure(features: Path, paths: Paths, fold: int) -> None:
    """Measure two rows on one fold, each by a perceptron of all others."""
    stored, source = Levels(features), open_data(paths.data)
    parts = folds_of(source)
    own = parts.pop(f"fold {fold}")
    every = [record for part in parts.values() for record in part]
    for name, varied in (("levels", True), ("levels_as_is", False)):
        began = time.monotonic()
        fitted = stored.fit(every, varied)
        temperature = fit_temperature(fitted(stored.of(own)), np.eye(len(MIKELS))[labels_of(own)])
        job = Job(Row(name=name, recipe="none", expects=""), fold, SEED)
        result = measured_on(fitted, temperature, stored, own, job, paths, began)
        print(f"{name}: {result['accuracy']:.3f} / {result['balanced_accuracy']:.3f}", flush=True)


def fit(features: Path, source: DataSource, weights: str, out: Path) -> None:
    """Fit to the training split, the temperature to the validation split, and write the model."""
    stored = Levels(features)
    fitted = stored.fit(source.split("train"))
    network = in_network(network_of(weights), fitted.members[0])
    held = source.split("val")
    logits, targets = fitted(stored.of(held)), np.eye(len(MIKELS))[labels_of(held)]
    temperature = fit_temperature(logits, targets)
    scores = score(logits, targets, source.vocabulary, temperature=temperature)
    card = Card(
        name="levels",
        network="multilevel",
        network_options={"backbone": BACKBONE},
        vocabulary=source.vocabulary,
        preprocessing=preprocessing_of(),
        temperature=temperature,
        training={"command": COMMAND, "data": data_facts(source), "backbone": "frozen"},
        scores={"split": "val", **scores.to_json()},
        licences=licences("fi"),
        limits=limits("fi"),
    )
    save_model(out, network, card, f"{readme_beginning(card)}\n{markdown(scores)}", "float16")
    print(f"{out}: {scores.accuracy:.3f} / {scores.balanced_accuracy:.3f} on val", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command")
    one = commands.add_parser("features", help="store features")
    two = commands.add_parser("measure", help="add rows of the screening for a fold")
    three = commands.add_parser("fit", help="write a model")
    for command in (one, two, three):
        command.add_argument("--fi", type=Path, required=True, help="folder of FI")
    for command in (one, three):
        command.add_argument("--weights", type=Path, required=True, help="folder with the backbone's weights")
        command.add_argument("--out", type=Path, required=True, help="file of features, or folder")
    for command in (one, two):
        command.add_argument("--ratings", type=Path, required=True, help="folder of oasis-dev and emdt-dev")
    for command in (two, three):
        command.add_argument("--features", type=Path, required=True, help="what `features` wrote")
    one.add_argument("--cores", type=int, default=os.cpu_count(), help="pictures that are run side by side")
    two.add_argument("--folds", type=Path, required=True, help="table of folds, from `affectlens data split`")
    two.add_argument("--fold", type=int, action="append", required=True, help="may be given several times")
    two.add_argument("--results", type=Path, default=RESULTS, help="file that results are added to")
    given = vars(parser.parse_args())
    command = given.pop("command")
    if command == "features":
        records = open_data(f"fi:{given['fi']}").split(ALL)
        rated = {name: read_ratings(given["ratings"] / f"{name}-dev")[0] for name in RATED}
        write_features(records, rated, str(given["weights"]), given["out"], given["cores"])
    elif command == "fit":
        fit(given["features"], open_data(f"fi:{given['fi']}"), str(given["weights"]), given["out"])
    else:
        features, folds = given.pop("features"), given.pop("fold")
        for fold in folds:
            measure(features, Paths(**given, weights=features, out=features.parent), fold)


if __name__ == "__main__":
    main()
