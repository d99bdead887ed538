"""Valence and arousal read from the default model's features, with themes and scenes left out whole.

    python benchmarks/ratings.py features --data fi:PATH --ratings FOLDER --cache FOLDER
    python benchmarks/ratings.py measure --cache FOLDER
    python benchmarks/ratings.py fit --cache FOLDER --out FILE.npz
    python benchmarks/ratings.py cost

`--ratings` holds `oasis-dev` and `emdt-dev`, photographs that people rated. `features` computes what all
tries read, once; `measure` appends a row for every try in `TRIES` that has none to
benchmarks/results/ratings.jsonl, and writes more of the one that ships to ratings.json; `fit` writes what a
model folder is to hold (benchmarks/default_heads.py); `cost` times the graph with and without it.
"""

import argparse
import csv
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from affectlens import library
from affectlens.adaptation.ridge import RatedFeatures, fit_rating_head, group_folds, out_of_fold
from affectlens.data.catalog import open_data
from affectlens.data.fingerprints import content_hash
from affectlens.images import read_pixels
from affectlens.inference.coverage import PredictionSets
from affectlens.inference.onnx_engine import OnnxEngine
from affectlens.machine import describe
from affectlens.metrics import softmax
from affectlens.model_folder import GRAPH_LOGITS, load_card, read_model, write_model
from affectlens.models.features import FeatureNetwork
from affectlens.models.graph_outputs import last_layers
from affectlens.models.network_input import normalise, to_tensor
from affectlens.models.saved import Model, add_graph, load_model
from affectlens.ratings import AROUSAL, VALENCE, RatingHead, RatingScale, conformal_half_widths, rescaled

HERE = Path(__file__).parent
ROWS = HERE / "results" / "ratings.jsonl"
RESULT = HERE / "results" / "ratings.json"
COST = HERE / "results" / "ratings_cost.json"
ROUNDS, PICTURES = 15, 20  # of the timing
SEEDS = (0, 1, 2)  # of divisions into folds
AT_ONCE = 16
WEAK_STRENGTH = 0.3  # the inverse of the penalty
BRANCHES = ("deit_tiny_patch16_224", "mobilenetv2_100", "multilevel")
TRANSFORMER = tuple(f"{BRANCHES[0]}.blocks.{index}" for index in range(12))
CONVOLUTIONAL = tuple(f"{BRANCHES[1]}.blocks.{index}" for index in range(7))
FROZEN = tuple(f"{BRANCHES[2]}.pyramid.body.blocks.{index}" for index in range(7))
LAYERS = (*TRANSFORMER, *CONVOLUTIONAL, *FROZEN)
# The block at three quarters of the depth of each trained branch and its last; the last of the convolutional
# branch is all but its embedding, so that there it is the one before.
FOUR = (TRANSFORMER[9], TRANSFORMER[11], CONVOLUTIONAL[4], CONVOLUTIONAL[5])
TRAINED = BRANCHES[:2]
LEVELS = (FROZEN[2], FROZEN[4], FROZEN[6])
CHOSEN = (*FOUR, FROZEN[6])
BLOCKS = (*TRAINED, *CHOSEN)  # that ratings are read of
COVERAGES = (*(percent / 100 for percent in range(50, 95, 5)), 0.95, 0.98, 0.99)  # of stored intervals
LEVEL = 0.9  # of measured ones
DIVISIONS = 20
RESAMPLES = 2000
OASIS, EMDT = "oasis", "emdt"
RATED = {OASIS: "oasis-dev", EMDT: "emdt-dev"}
RATINGS = (VALENCE, AROUSAL)
POLARITY = "polarity/"  # before the name of a branch
FACTS = ("values", "group", "source", "beauty", "name", "hash")
MIDDLE, CLEAR = 5.0, 1.0  # a valence so far from the middle of the scale is clearly pleasant or unpleasant
SURE = 0.5  # a probability
WRONG = 12  # pictures in the table of errors
Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Rated:
    """Photographs that people rated, N of them, on the scale of 1 to 9.

    Attributes:
        values: (N, 2), valence and arousal
        groups: (N,), theme or scene, which is left out whole
        source: (N,), OASIS or EMDT
        beauty: (N,), NaN where it was not rated
        blocks: by layer (N, F); also `logits/BRANCH`, (N, E), and `logits`
        polarity: by branch (d,), what its classifier reads of its embedding for positive less negative
        positive: (N,), log-odds of a positive feeling
        probabilities: (N, E), at the model's temperature
        names, hashes: (N,), of the files
        weak: (F,), what logistic regression reads of `BLOCKS` for the polarity of FI's validation pictures
    """

    values: Array
    groups: NDArray[np.str_]
    source: NDArray[np.str_]
    beauty: Array
    blocks: Mapping[str, Array]
    polarity: Mapping[str, Array]
    positive: Array
    probabilities: Array
    names: NDArray[np.str_]
    hashes: NDArray[np.str_]
    weak: Array


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """Read a table of ratings, tab-separated."""
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def rated_files(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield file, ratings on the scale of 1 to 9, group and source of each picture of both sets."""
    beauty = {row["file"]: float(row["beauty_mean"]) for row in table(folder / RATED[OASIS], "beauty.tsv")}
    for row in table(folder / RATED[OASIS], "ratings.tsv"):
        theme = re.sub(r" \d+\.jpg$", "", row["file"])
        values = [rescaled(float(row[f"{name}_mean"]), (1, 7)) for name in RATINGS]
        yield {
            "file": folder / RATED[OASIS] / row["file"], "values": values, "group": f"{OASIS} {theme}",
            "source": OASIS, "beauty": rescaled(beauty[row["file"]], (1, 7)),
        }  # fmt: skip
    for row in table(folder / RATED[EMDT], "ratings.tsv"):
        yield {
            "file": folder / RATED[EMDT] / row["file"], "values": [float(row[f"{n}_mean"]) for n in RATINGS],
            "group": f"{EMDT} {row['scene']}", "source": EMDT, "beauty": np.nan,
        }  # fmt: skip


def feature_blocks(model: Model, files: Sequence[Path]) -> dict[str, Array]:
    """Run the network over pictures: by block (N, F); the embedding divided by branches."""
    size = model.card.preprocessing
    readers = last_layers(model.network, size.height, size.width, len(model.card.vocabulary))
    # One reader for each layer, so that its features are those of one block.
    whole = FeatureNetwork(model.network, readers, LAYERS).eval()
    found: dict[str, list[Array]] = {}
    for begin in range(0, len(files), AT_ONCE):
        pixels = [
            size.fit_pixels(read_pixels(file, at_least=size.at_least))
            for file in files[begin : begin + AT_ONCE]
        ]
        with torch.inference_mode():
            read = whole(normalise(to_tensor(np.stack(pixels)), size))
        for name, part in {"features": read.features, "logits": read.logits}.items():
            found.setdefault(name, []).append(part.numpy())
    joined = {name: np.concatenate(each) for name, each in found.items()}
    return {"logits": joined["logits"], **_divided(joined["features"], block_sizes(model))}


def block_sizes(model: Model) -> dict[str, int]:
    """Return how many features each block has, in order: the branches' embeddings, then the layers."""
    readers: list[Any] = [getattr(model.network, branch).get_classifier() for branch in BRANCHES]
    sizes = {branch: reader.in_features for branch, reader in zip(BRANCHES, readers, strict=True)}
    for path in LAYERS:
        sizes[path] = 2 * channels(model.network.get_submodule(path))
    return sizes


def channels(block: Any) -> int:
    """Return how many channels a block of a transformer or of MobileNetV2 gives out."""
    if hasattr(block, "norm1"):
        return int(block.norm1.normalized_shape[0])
    last = [module for module in block.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    return last.out_channels


def _divided(features: Array, sizes: Mapping[str, int]) -> dict[str, Array]:
    ends = np.cumsum(list(sizes.values()))
    assert ends[-1] == features.shape[1], "the blocks are all features"
    return dict(zip(sizes, np.split(features, ends[:-1], axis=1), strict=True))


def polarity_rows(model: Model) -> dict[str, Array]:
    """What each branch's classifier reads of its embedding for positive less negative words, (d,)."""
    signs = np.array([model.card.vocabulary.signs[word] for word in model.card.vocabulary.words])
    network: Any = model.network
    read = {name: network.get_submodule(name).get_classifier().weight.detach().numpy() for name in BRANCHES}
    return {name: each[signs > 0].mean(axis=0) - each[signs < 0].mean(axis=0) for name, each in read.items()}


Try: TypeAlias = Callable[[Rated, int], Array]  # features, seed of the folds -> (N, 2)


def write_features(data: str, ratings: Path, cache: Path, name: str) -> None:
    """Compute the features of rated pictures, and of FI's validation split, once."""
    cache.mkdir(parents=True, exist_ok=True)
    model = load_model(library.find(name))
    rows = list(rated_files(ratings))
    blocks = feature_blocks(model, [row["file"] for row in rows])
    for row in rows:
        row["name"], row["hash"] = row["file"].name, content_hash(row["file"])
    facts = {key: np.array([row[key] for row in rows]) for key in FACTS}
    polarity = {f"{POLARITY}{branch}": row for branch, row in polarity_rows(model).items()}
    np.savez(cache / "rated.npz", allow_pickle=False, **polarity, **facts, **blocks)
    records = open_data(data).split("val")
    names = [record.target.top for record in records]
    blocks = feature_blocks(model, [record.path for record in records])
    kept = {block: blocks[block] for block in BLOCKS}
    np.savez(cache / "fi.npz", allow_pickle=False, words=np.array(names), **kept)


def read_features(cache: Path, name: str) -> Rated:
    """Read what `write_features` computed."""
    card = load_model(library.find(name)).card
    with np.load(cache / "rated.npz") as stored:
        found = dict(stored)
    probabilities = softmax(found["logits"].astype(np.float64) / card.temperature)
    signs = np.array([card.vocabulary.signs[word] for word in card.vocabulary.words])
    positive = probabilities[:, signs > 0].sum(axis=1)
    facts = {key: found.pop(key) for key in FACTS}
    polarity = {branch: found.pop(f"{POLARITY}{branch}") for branch in BRANCHES}
    return Rated(
        values=facts["values"], groups=facts["group"], source=facts["source"], beauty=facts["beauty"],
        blocks=found, polarity=polarity, positive=np.log(positive / (1 - positive)),
        probabilities=probabilities, names=facts["name"], hashes=facts["hash"],
        weak=weak_polarity(cache, signs, card.vocabulary.words),
    )  # fmt: skip


def weak_polarity(cache: Path, signs: Array, words: Sequence[str]) -> Array:
    """Fit the polarity of FI's emotions, blocks of equal weight, strongly penalised: (F,)."""
    from sklearn.linear_model import LogisticRegression

    with np.load(cache / "fi.npz") as stored:
        blocks = {name: stored[name] for name in BLOCKS}
        positive = [int(signs[list(words).index(word)] > 0) for word in stored["words"]]
    scales = [np.sqrt(block.shape[1]) * (block.std(axis=0) + 1e-6) for block in blocks.values()]
    scale = np.concatenate(scales)
    features = np.concatenate(list(blocks.values()), axis=1)
    scaled = (features - features.mean(axis=0)) / scale
    fitted = LogisticRegression(C=WEAK_STRENGTH, max_iter=1000).fit(scaled, positive)
    found: Array = fitted.coef_[0] / scale
    return found


# ------------------------------------------------------------------------------------------------------ tries


def features_of(rated: Rated, blocks: Sequence[str], polarity: bool = True) -> RatedFeatures:
    """Put blocks of features next to one another, with the polarity of the branches among them or without."""
    values = np.concatenate([rated.blocks[name] for name in blocks], axis=1)
    widths = tuple(rated.blocks[name].shape[1] for name in blocks)
    begins = dict(zip(blocks, np.cumsum([0, *widths[:-1]]).tolist(), strict=True))
    branches = [name for name in BRANCHES if polarity and name in begins]
    known = np.zeros((len(branches), values.shape[1]))
    for row, name in zip(known, branches, strict=True):
        row[begins[name] : begins[name] + len(rated.polarity[name])] = rated.polarity[name]
    return RatedFeatures(
        features=values, values=rated.values, groups=rated.groups, blocks=widths, directions=known
    )


def by_ridge(*blocks: str, polarity: bool = False) -> Try:
    """A try: ridge regression on blocks of features, with the polarity directions or without them."""

    def predict(rated: Rated, seed: int) -> Array:
        return out_of_fold(features_of(rated, blocks, polarity), seed)

    return predict


def by_positive(rated: Rated, seed: int) -> Array:
    """The log-odds of a positive feeling as they are, for both ratings."""
    return np.stack([rated.positive, rated.positive], axis=1)


def by_log_odds(rated: Rated, seed: int) -> Array:
    """Ridge regression on the emotions' log-odds."""
    odds = rated.blocks["logits"] - rated.blocks["logits"].mean(axis=1, keepdims=True)
    return by_ridge("odds")(replace(rated, blocks={"odds": odds}), seed)


def with_positive(*blocks: str) -> Try:
    """Ridge regression on blocks and the log-odds of a positive feeling, which no linear layer reads."""

    def predict(rated: Rated, seed: int) -> Array:
        own = {name: rated.blocks[name] for name in blocks} | {"positive": rated.positive[:, None]}
        return by_ridge(*own)(replace(rated, blocks=own), seed)

    return predict


def with_weak(rated: Rated, seed: int) -> Array:
    """Ridge regression on what ships, with FI's polarity as one more direction."""
    data = features_of(rated, BLOCKS)
    return out_of_fold(replace(data, directions=np.vstack([data.directions, rated.weak])), seed)


def with_beauty(rated: Rated, seed: int) -> Array:
    """Valence as the mean of what is predicted of it and of beauty, where both were rated."""
    both = np.column_stack([rated.values, rated.beauty])
    found = by_ridge(*BLOCKS, polarity=True)(replace(rated, values=both), seed)
    valence = np.where(np.isfinite(found[:, 2]), (found[:, 0] + found[:, 2]) / 2, found[:, 0])
    return np.stack([valence, found[:, 1]], axis=1)


def from_the_other(rated: Rated, seed: int) -> Array:
    """Each set predicted by a fit to the other alone."""
    data = features_of(rated, BLOCKS)
    found = np.zeros_like(rated.values)
    for source in RATED:
        learned = np.flatnonzero(rated.source != source)
        head, _ = fit_rating_head(data.rows(learned), seed)
        found[rated.source == source] = head.read(data.features[rated.source == source])
    return found


TRIES: Mapping[str, Try] = {
    "P(positive) as it is": by_positive,
    "log-odds of emotions": by_log_odds,
    "embedding of the transformer": by_ridge(BRANCHES[0]),
    "embedding of the convolutional branch": by_ridge(BRANCHES[1]),
    "what the perceptron makes of frozen levels": by_ridge(BRANCHES[2]),
    "both trained embeddings": by_ridge(*TRAINED),
    "both trained embeddings, polarity": by_ridge(*TRAINED, polarity=True),
    "all three, polarity": by_ridge(*BRANCHES, polarity=True),
    "both trained embeddings, polarity, four layers": by_ridge(*TRAINED, *FOUR, polarity=True),
    "all three, polarity, four layers": by_ridge(*BRANCHES, *FOUR, polarity=True),
    "three frozen levels": by_ridge(*LEVELS),
    **{
        f"both trained embeddings, polarity, four layers, {name} frozen level": by_ridge(
            *TRAINED, *FOUR, level, polarity=True
        )
        for name, level in zip(("shallow", "middle", "deepest"), LEVELS, strict=True)
    },
    "both trained embeddings, polarity, three frozen levels": by_ridge(*TRAINED, *LEVELS, polarity=True),
    "both trained embeddings, polarity, four layers, three frozen levels": by_ridge(
        *TRAINED, *FOUR, *LEVELS, polarity=True
    ),
    "all three, polarity, deepest frozen level": by_ridge(*BRANCHES, FROZEN[6], polarity=True),
    "all three, polarity, four layers, deepest frozen level": by_ridge(*BRANCHES, *CHOSEN, polarity=True),
    "what ships, log-odds of positive instead of polarity": with_positive(*BLOCKS),
    "both trained embeddings, polarity, all layers": by_ridge(*TRAINED, *LAYERS, polarity=True),
    "what ships, polarity of FI's pictures as well": with_weak,
    "what ships, and beauty as a helper": with_beauty,
    "what ships, from the other set": from_the_other,
}
SHIPPED = "both trained embeddings, polarity, four layers, deepest frozen level"


def correlations(rated: Rated, found: Sequence[Array]) -> dict[str, list[float]]:
    """Pearson's r by source and rating, one for each division into folds; a scene counts once."""
    result = {}
    for source in RATED:
        for index, rating in enumerate(RATINGS):
            own = rated.source == source
            pairs = [by_scene(rated, own, index, each) for each in found]
            result[f"{source} {rating}"] = [float(np.corrcoef(a, b)[0, 1]) for a, b in pairs]
    return result


def by_scene(rated: Rated, own: NDArray[np.bool_], index: int, found: Array) -> tuple[Array, Array]:
    """Predictions and ratings of a source; of EMDT, with one rating a scene, the means of scenes."""
    predicted, truth = found[own, index], rated.values[own, index]
    if not np.all(rated.source[own] == EMDT):
        return predicted, truth
    _, numbers = np.unique(rated.groups[own], return_inverse=True)
    counts = np.bincount(numbers)
    return np.bincount(numbers, predicted) / counts, np.bincount(numbers, truth) / counts


def measure(cache: Path, name: str) -> None:
    """Append a row for every try that has none."""
    rated = read_features(cache, name)
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.exists() else []
    done = {json.loads(line)["try"] for line in lines}
    for label, predict in TRIES.items():
        if label in done:
            continue
        found = [predict(rated, seed) for seed in SEEDS]
        correlated = correlations(rated, found)
        row = {"try": label, "seeds": list(SEEDS), "r": correlated}
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        means = {key: round(float(np.mean(each)), 3) for key, each in correlated.items()}
        print(label, means, flush=True)


# -------------------------------------------------------------------------------------- intervals, and the
# model


def scaled_errors(data: RatedFeatures, found: Array, seed: int) -> Array:
    """Predict how far off each prediction is, from the same features, with groups left out: (N, R)."""
    sizes = np.log(np.abs(found - data.values) + 0.1)
    return np.exp(out_of_fold(replace(data, values=sizes), seed))


def interval_rows(rated: Rated, found: Array, difficulty: Array) -> dict[str, Any]:
    """Coverage and width of 90 % intervals, calibrated on half of the groups and measured on the rest.

    `constant` are of one width, `scaled` as wide as an error is predicted to be; `from_the_other` are of one
    width, calibrated on the other set alone.
    """
    errors = np.abs(found - rated.values)
    rows: dict[str, Any] = {}
    for index, rating in enumerate(RATINGS):
        own, scale = errors[:, index], difficulty[:, index]
        halves = [group_folds(rated.groups, 2, seed) for seed in range(DIVISIONS)]
        kinds = {"constant": np.ones_like(scale), "scaled": scale}
        for kind, by in kinds.items():
            for source in RATED:
                met, widths, hardest = [], [], []
                for half in halves:
                    for side in (0, 1):
                        width = conformal_half_widths((own / by)[half == side], [LEVEL])[0] * by
                        tested = (half != side) & (rated.source == source)
                        met.append(float((own <= width)[tested].mean()))
                        widths.append(float(2 * width[tested].mean()))
                        hard = tested & (scale > np.median(scale))
                        hardest.append(float((own <= width)[hard].mean()))
                rows[f"{source} {rating} {kind}"] = {
                    "coverage": float(np.mean(met)), "spread": float(np.std(met)),
                    "width": float(np.mean(widths)), "coverage_of_the_harder_half": float(np.mean(hardest)),
                }  # fmt: skip
        for source in RATED:
            half_width = conformal_half_widths(own[rated.source != source], [LEVEL])[0]
            covered = own[rated.source == source] <= half_width
            rows[f"{source} {rating} from_the_other"] = {
                "coverage": float(covered.mean()), "width": 2 * half_width,
            }  # fmt: skip
    return rows


def grouped_interval(rated: Rated, own: NDArray[np.bool_], index: int, found: Array) -> tuple[float, float]:
    """95 % interval of r by a bootstrap over themes or scenes."""
    names, numbers = np.unique(rated.groups[own], return_inverse=True)
    members = [np.flatnonzero(numbers == number) for number in range(len(names))]
    predicted, truth = found[own, index], rated.values[own, index]
    rng = np.random.default_rng(0)
    sampled = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[number] for number in rng.integers(len(names), size=len(names))])
        sampled.append(np.corrcoef(predicted[rows], truth[rows])[0, 1])
    low, high = np.percentile(sampled, [2.5, 97.5])
    return float(low), float(high)


def describe_chosen(cache: Path, name: str) -> dict[str, Any]:
    """Measure what ships more closely: intervals of r, errors, intervals of predictions, and the scatter."""
    rated = read_features(cache, name)
    data = features_of(rated, BLOCKS)
    found = np.mean([out_of_fold(data, seed) for seed in SEEDS], axis=0)
    one = out_of_fold(data, SEEDS[0])
    figures = {}
    for source in RATED:
        own = rated.source == source
        for index, rating in enumerate(RATINGS):
            predicted, truth = one[own, index], rated.values[own, index]
            figures[f"{source} {rating}"] = {
                "pictures": int(own.sum()), "groups": len(np.unique(rated.groups[own])),
                "r": float(np.corrcoef(predicted, truth)[0, 1]),
                "r_interval": grouped_interval(rated, own, index, one),
                "error": float(np.abs(predicted - truth).mean()), "spread": float(truth.std()),
                "error_of_the_mean": float(np.abs(truth - truth.mean()).mean()),
            }  # fmt: skip
    return {
        "figures": figures,
        "intervals": interval_rows(rated, one, scaled_errors(data, one, SEEDS[0])),
        "siblings": siblings(rated),
        "errors": polarity_errors(rated, one, name),
        "scatter": {
            "source": rated.source.tolist(), "truth": rated.values.round(3).tolist(),
            "predicted": found.round(3).tolist(),
        },
        "machine": describe(),
    }  # fmt: skip


def polarity_errors(rated: Rated, found: Array, name: str) -> dict[str, Any]:
    """Count answers on the wrong side of clearly pleasant and unpleasant pictures, and list the surest.

    Next to each stands what the other outputs give: valence with its interval, from a fit that saw no picture
    of the theme, and the set of emotions at 0.9.
    """
    card = load_card(library.find(name))
    sets = PredictionSets.from_json(card.prediction_sets, card.vocabulary)
    signs = np.array([card.vocabulary.signs[word] for word in card.vocabulary.words])
    truth, predicted = rated.values[:, 0] - MIDDLE, found[:, 0] - MIDDLE
    half_width = conformal_half_widths(found[:, 0] - rated.values[:, 0], [LEVEL])[0]
    side = signs[rated.probabilities.argmax(axis=1)]
    members = sets.members(rated.probabilities, LEVEL)
    clear = np.abs(truth) >= CLEAR
    crossed = clear & (side * truth < 0)
    right_in_set = (members & (signs == np.sign(truth)[:, None])).any(axis=1)
    counts: dict[str, Any] = {}
    for source in RATED:
        own, wrong = clear & (rated.source == source), crossed & (rated.source == source)
        counts[source] = {
            "clear": int(own.sum()),
            "crossed": int(wrong.sum()),
            "crossed_by_valence": int((own & (predicted * truth < 0)).sum()),
            "crossed_by_both": int((wrong & (predicted * truth < 0)).sum()),
            "set_has_the_right_side": int((wrong & right_in_set).sum()),
            "interval_has_the_rating": int((wrong & (np.abs(predicted - truth) <= half_width)).sum()),
        }
    top = rated.probabilities.max(axis=1)
    order = [int(row) for row in np.argsort(-top) if crossed[row] and top[row] > SURE][:WRONG]
    words = np.array(card.vocabulary.words)
    listed = [
        {
            "name": str(rated.names[row]),
            "source": str(rated.source[row]),
            "top": str(words[rated.probabilities[row].argmax()]),
            "probability": float(top[row]),
            "rated": float(rated.values[row, 0]),
            "valence": float(found[row, 0]),
            "set": words[members[row]].tolist(),
        }
        for row in order
    ]
    return {"counts": counts, "half_width": half_width, "surest": listed}


def cost(name: str) -> dict[str, Any]:
    """Time the graph with what is read besides emotions and without, in turns, one thread: medians."""
    model = load_model(library.find(name))
    size = model.card.preprocessing
    plain = replace(model.card, ratings=(), feature_layers=(), unusual={}, prediction_sets={})
    _, weights, heads = read_model(library.find(name))
    images = np.zeros((1, 3, size.height, size.width), np.float32)
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    with TemporaryDirectory() as folder:
        sessions = {}
        for key, card in {"with": model.card, "without": plain}.items():
            out = Path(folder) / key
            own = heads if card.ratings else None
            write_model(out, card, weights, "", dtype="float16", for_others={}, heads=own)
            add_graph(out)
            sessions[key] = OnnxEngine.load(out)
        for _ in range(ROUNDS):
            for key, engine in sessions.items():
                begin = time.perf_counter()
                for _ in range(PICTURES):
                    engine.output(images, GRAPH_LOGITS)
                seconds[key].append((time.perf_counter() - begin) / PICTURES)
    medians = {key: float(np.median(each)) for key, each in seconds.items()}
    ratios = [a / b for a, b in zip(seconds["with"], seconds["without"], strict=True)]
    return {"seconds": medians, "ratio": float(np.median(ratios)), "rounds": ROUNDS, "machine": describe()}


def siblings(rated: Rated) -> dict[str, float]:
    """r that the mean of a picture's own theme or scene alone reaches, the picture itself left out.

    What a model seems to reach that has siblings of its test pictures among those it learned from.
    """
    found = {}
    own = rated.source == OASIS
    for index, rating in enumerate(RATINGS):
        truth, groups = rated.values[own, index], rated.groups[own]
        means = np.full(len(truth), np.nan)
        for name in np.unique(groups):
            rows = np.flatnonzero(groups == name)
            if len(rows) > 1:
                means[rows] = (truth[rows].sum() - truth[rows]) / (len(rows) - 1)
        known = np.isfinite(means)
        found[rating] = float(np.corrcoef(means[known], truth[known])[0, 1])
    return found


def fit(cache: Path, name: str, out: Path) -> None:
    """Fit what ships to all rated pictures; write its arrays, layers and scales for a model folder."""
    rated = read_features(cache, name)
    data = features_of(rated, BLOCKS)
    head, penalties = fit_rating_head(data)
    head = as_in_a_folder(head, rated)
    errors = np.abs(out_of_fold(data, SEEDS[0]) - rated.values)
    scales = [
        RatingScale(name=rating, coverages=COVERAGES, half_widths=_rounded(errors[:, index])).to_json()
        for index, rating in enumerate(RATINGS)
    ]
    facts = {"layers": list(CHOSEN), "scales": scales, "penalties": list(penalties)}
    facts["pictures"] = sorted(rated.hashes.tolist())
    np.savez(out, allow_pickle=False, facts=json.dumps(facts), **head.tensors())


def as_in_a_folder(head: RatingHead, rated: Rated) -> RatingHead:
    """Give weights of 0 to embeddings that ratings are not read of: features of a model begin with all."""
    widths = [rated.blocks[name].shape[1] for name in BLOCKS]
    read = dict(zip(BLOCKS, np.split(head.weights, np.cumsum(widths)[:-1], axis=1), strict=True))
    every = {name: np.zeros((len(RATINGS), rated.blocks[name].shape[1]), np.float32) for name in BRANCHES}
    return replace(head, weights=np.concatenate(list((every | read).values()), axis=1))


def _rounded(errors: Array) -> tuple[float, ...]:
    # Up, so that an interval holds its promise.
    return tuple(float(np.ceil(each * 1000) / 1000) for each in conformal_half_widths(errors, COVERAGES))


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("stage", choices=("features", "measure", "fit", "cost"))
    parser.add_argument("--data")
    parser.add_argument("--ratings", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.stage == "features":
        write_features(given.data, given.ratings, given.cache, given.model)
    elif given.stage == "measure":
        measure(given.cache, given.model)
        found = describe_chosen(given.cache, given.model)
        RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    elif given.stage == "cost":
        COST.write_text(json.dumps(cost(given.model), indent=1) + "\n", encoding="utf-8")
    else:
        fit(given.cache, given.model, given.out)


if __name__ == "__main__":
    main()
