"""What finds pictures that the default model was not made for, and how many photographs it flags wrongly.

    python benchmarks/unusual.py measure --data fi:PATH --ratings FOLDER --cache FOLDER
    python benchmarks/unusual.py fit --data fi:PATH --ratings FOLDER --cache FOLDER --out FILE.npz
    python benchmarks/unusual.py report

`--ratings` holds `oasis-dev` and `emdt-dev`; `--cache` keeps embeddings, which are most of the time. Scores
are fitted to photographs that the model was trained on. Photographs of FI's val split, OASIS and EMDT, of
which neither the model nor a score learned, are what is flagged wrongly, and set thresholds: on one half, to
be measured on the other, many times. Scores that learn from made pictures are measured on each kind by one
that learned from the other kinds alone. `measure` writes benchmarks/results/unusual.json, `fit` the tensors
that a model folder is to hold, and `report` prints the tables of `tables`.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectlens import library
from affectlens.adaptation.classifier import open_classifier
from affectlens.data.catalog import open_data
from affectlens.data.records import Record, digest
from affectlens.emotions import MIKELS
from affectlens.images import read_pixels
from affectlens.inference.engine import ONNX_RUNTIME, Engine, load_engine
from affectlens.inference.unusual import ABOVE_LIMIT, FLAGGED, UsualPictures, limits_of, threshold_of
from affectlens.machine import describe
from affectlens.report.text import markdown_table
from unusual_methods import ALONE, CHOSEN, EXPOSED, Scorer, World, discriminants
from unusual_pictures import EACH, KINDS, layouts, made
from unusual_sets import ALTERATIONS, altered_photographs, embed_pixels, found_files, kept, photographs

RESULT = Path(__file__).parent / "results" / "unusual.json"
SAMPLE = 4000  # photographs of the train split that scores are fitted to
ALTERED_OF_TRAIN = 10  # of them, one in so many is also altered in one way, others in the other ways
ALTERED_OF_VAL = 5
LEARNED, UNSEEN_PICTURES = 0, 1  # seeds of the made pictures that scores learn from, and of others
SPLITS = 200
SOURCES = {"val": "FI (val)", "oasis-dev": "OASIS", "emdt-dev": "EMDT"}
Array = NDArray[np.floating[Any]]
Made = Mapping[str, Array]


@dataclass(frozen=True)
class Embedded:
    """All embeddings of the measurement.

    Attributes:
        world: what scores are fitted to
        sources: photographs that neither the model nor a score learned from, by name of `SOURCES`
        units: what must stay together of each, in halves: themes and scenes
        altered: by alteration and source
        other: made pictures of another seed, by kind
        found: pictures that no one made for this, by group
    """

    world: World
    sources: Made
    units: Mapping[str, Sequence[str]]
    altered: Mapping[str, Made]
    other: Made
    found: Made
    records: Sequence[Record]


class Rule(NamedTuple):
    """How scores flag pictures: limits of each score (J,), and the threshold of the largest relative one."""

    limits: Array
    threshold: float

    @classmethod
    def of(cls, sources: Made) -> "Rule":
        """Set it by scores of photographs, (N,) or (N, J) each."""
        tables = list(sources.values())
        limits = limits_of(tables) if tables[0].ndim == 2 else np.ones(1)
        return cls(limits, threshold_of([relative(each, limits) for each in tables]))

    def flags(self, scores: Array) -> NDArray[np.bool_]:
        """Whether pictures are flagged: (N,) or (N, J) -> (N,)."""
        return np.asarray(relative(scores, self.limits) > self.threshold)


def relative(scores: Array, limits: Array) -> Array:
    """Return the largest score relative to its limit; a single score as it is: -> (N,)."""
    return (scores / limits).max(axis=1) if scores.ndim == 2 else scores


class CrossFitted(NamedTuple):
    """Rules of halves, and the fractions that they flag of the other halves, by source."""

    rules: list[Rule]
    rates: dict[str, dict[str, float]]


def embed_all(engine: Engine, data: str, ratings: Path, cache: Path) -> Embedded:
    """Embed all pictures, or read their embeddings from the cache."""
    from default_candidate import Rated  # here, since it imports torch, which tables and tests do without

    source = open_data(data)
    train, val = source.split("train"), source.split("val")
    chosen = np.sort(np.random.default_rng(0).permutation(len(train))[:SAMPLE])
    sample = [train[index] for index in chosen]
    rated = {name: Rated.read(ratings / name) for name in SOURCES if name != "val"}
    files = {"val": [record.path for record in val], **{name: each.files for name, each in rated.items()}}
    embed = partial(photographs, cache, engine)
    alter = partial(altered_photographs, cache, engine)
    some = {**files, "val": files["val"][::ALTERED_OF_VAL]}
    few = [[record.path for record in sample[n::ALTERED_OF_TRAIN]] for n in range(ALTERED_OF_TRAIN)]
    ways = list(enumerate(ALTERATIONS))
    classifier = open_classifier(library.find(library.DEFAULT))
    world = World(
        embed("train", [record.path for record in sample]).astype(float),
        np.array([MIKELS.index(record.target.top) for record in sample]),
        np.concatenate([alter(f"train-altered{n}", few[n], way) for n, way in ways]).astype(float),
        {kind: made_of(engine, cache, kind, LEARNED) for kind in KINDS},
        tuple(layer.features for layer in classifier.layers),
        classifier.classifier,
    )
    return Embedded(
        world,
        {name: embed(name, each).astype(float) for name, each in files.items()},
        {"val": [record.key for record in val], **{name: each.units for name, each in rated.items()}},
        {
            way: {name: alter(f"{name}-altered{n}", each, way).astype(float) for name, each in some.items()}
            for n, way in ways
        },
        {kind: made_of(engine, cache, kind, UNSEEN_PICTURES) for kind in KINDS},
        {group: found_of(engine, cache, group, each) for group, each in found_files().items()},
        val,
    )


def made_of(engine: Engine, cache: Path, kind: str, seed: int) -> Array:
    """Embed made pictures of a kind: (`EACH`, D)."""
    pictures = list(made(kind, seed=seed))
    pixels = hashlib.sha256(b"".join(each.tobytes() for each in pictures)).hexdigest()
    name = f"made-{kind.partition(' (')[0].replace(' ', '-')}-{seed}"
    compute: Callable[[], Any] = partial(embed_pixels, engine, pictures)
    return kept(cache, name, [engine.card.weights_hash, pixels], compute).astype(float)


def found_of(engine: Engine, cache: Path, group: str, files: Sequence[Path]) -> Array:
    """Embed found pictures: (n, D)."""
    facts = [engine.card.weights_hash, *map(str, files)]
    name = f"found-{group.replace(' ', '-')}"
    return kept(cache, name, facts, lambda: embed_pixels(engine, map(read_pixels, files))).astype(float)


def auroc(usual: Array, unusual: Array) -> float:
    """How often an unusual picture scores above a usual one; ties count half."""
    ordered = np.sort(usual)
    below = np.searchsorted(ordered, unusual, "left") + np.searchsorted(ordered, unusual, "right")
    return float(below.mean() / 2 / len(usual))


def halves_of(units: Mapping[str, Sequence[str]]) -> list[dict[str, NDArray[np.bool_]]]:
    """Choose half of the units of each source, many times: whether each picture is of them."""
    rng = np.random.default_rng(0)
    members = {name: np.unique(each, return_inverse=True)[1] for name, each in units.items()}

    def half(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        chosen = rng.permutation(numbers.max() + 1) < (numbers.max() + 1) // 2
        return np.asarray(chosen[numbers])

    return [{name: half(numbers) for name, numbers in members.items()} for _ in range(SPLITS)]


def cross_fitted(scores: Made, halves: Sequence[Mapping[str, NDArray[np.bool_]]]) -> CrossFitted:
    """Set the threshold on halves of all sources, and measure what it flags of the other halves."""
    rates: dict[str, list[float]] = {name: [] for name in scores}
    rules = []
    for half in halves:
        rule = Rule.of({name: each[half[name]] for name, each in scores.items()})
        rules.append(rule)
        for name, each in scores.items():
            rates[name].append(float(rule.flags(each[~half[name]]).mean()))
    found = {
        name: {"mean": float(np.mean(each)), "high": float(np.quantile(each, 0.95))}
        for name, each in rates.items()
    }
    return CrossFitted(rules, found)


def row_of(fit: Callable[[World], Scorer], found: Embedded, exposed: bool) -> dict[str, Any]:
    """Measure one method: each kind by a score that did not learn from it."""
    halves = halves_of(found.units)
    scorer = fit(found.world)
    usual = {name: scorer.score(each) for name, each in found.sources.items()}
    begin = time.perf_counter()
    scorer.score(found.sources["val"])
    seconds = (time.perf_counter() - begin) / len(found.sources["val"])
    wrongly = cross_fitted(usual, halves)
    rules = wrongly.rules
    row: dict[str, Any] = {"auroc": {}, "recall": {}}
    for kind, pictures in found.other.items():
        if exposed:
            scorer = fit(found.world.without(kind))
            usual = {name: scorer.score(each) for name, each in found.sources.items()}
            rules = cross_fitted(usual, halves).rules
        unusual = scorer.score(pictures)
        limits = Rule.of(usual).limits
        ranked = relative(unusual, limits)
        row["auroc"][kind] = float(
            np.mean([auroc(relative(each, limits), ranked) for each in usual.values()])
        )
        row["recall"][kind] = float(np.mean([rule.flags(unusual).mean() for rule in rules]))
    values = list(row["auroc"].values())
    return {
        **row,
        "mean_auroc": float(np.mean(values)),
        "worst_auroc": min(values),
        "mean_recall": float(np.mean(list(row["recall"].values()))),
        "wrongly": wrongly.rates,
        "numbers": scorer.numbers,
        "microseconds": 1e6 * seconds,
        "learned_from_kinds": exposed,
    }


def usual_pictures(found: Embedded, without: str = "") -> UsualPictures:
    """Fit what the default model's folder is to hold, with its threshold.

    To the sample of the train split, as it is and altered, and all made kinds (less one); the threshold by
    all photographs of `SOURCES`.
    """
    fitted = discriminants(found.world.without(without))
    return fitted.with_threshold(list(found.sources.values()))


def chosen_of(found: Embedded) -> dict[str, Any]:
    """Measure the score that is chosen at its threshold, as it would be stored."""
    fitted = UsualPictures.from_tensors(usual_pictures(found).tensors())
    flagged = fitted.is_unusual
    others = {kind: usual_pictures(found, kind).is_unusual(each) for kind, each in found.other.items()}
    sets = {"train": found.world.photographs, **found.sources, **found.other, **found.found}
    levels = (0.02, 0.5, 0.98, 0.99)
    by_source = {name: fitted.discriminants(each) for name, each in found.sources.items()}
    return {
        "threshold": fitted.threshold,
        "bytes": sum(each.nbytes for each in fitted.tensors().values()),
        "flagged": {name: float(flagged(each).mean()) for name, each in found.sources.items()},
        "cross_fitted": cross_fitted(by_source, halves_of(found.units)).rates,
        "recall": {kind: float(flagged(each).mean()) for kind, each in found.other.items()},
        "recall_of_unseen_kind": {kind: float(each.mean()) for kind, each in others.items()},
        "recall_of_layouts": {kind: by_layout(kind, flagged(each)) for kind, each in found.other.items()},
        "unseen_layouts": {kind: by_layout(kind, each) for kind, each in others.items()},
        "found": {
            group: {"pictures": len(each), "recall": float(flagged(each).mean())}
            for group, each in found.found.items()
        },
        "altered": {
            way: {name: float(flagged(each).mean()) for name, each in sources.items()}
            for way, sources in found.altered.items()
        },
        "quantiles": {name: np.quantile(fitted.score(each), levels).tolist() for name, each in sets.items()},
        "levels": list(levels),
    }


def by_layout(kind: str, flagged: NDArray[np.bool_]) -> dict[str, float]:
    """Return the fraction that is flagged of each layout of a kind."""
    names = np.array(layouts(kind, len(flagged)))
    return {str(name): float(flagged[names == name].mean()) for name in dict.fromkeys(names)}


def measure(data: str, ratings: Path, cache: Path) -> None:
    """Measure all methods, and the chosen one at its threshold."""
    engine = load_engine(engine=ONNX_RUNTIME)
    found = embed_all(engine, data, ratings, cache)
    rows = {}
    for methods in (ALONE, EXPOSED):
        for title, fit in methods.items():
            rows[title] = row_of(fit, found, methods is EXPOSED)
            print(title, f"{rows[title]['mean_auroc']:.3f} {rows[title]['worst_auroc']:.3f}", flush=True)
    result = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "weights": engine.card.weights_hash,
        "data": {"name": data.partition(":")[0], "split": "val", "hash": digest(found.records)},
        "pictures": {name: len(each) for name, each in found.sources.items()},
        "sample": len(found.world.photographs),
        "altered_of_sample": len(found.world.altered),
        "altered_pictures": {name: len(each) for name, each in next(iter(found.altered.values())).items()},
        "each": EACH,
        "above_limit": ABOVE_LIMIT,
        "flagged": FLAGGED,
        "splits": SPLITS,
        "rows": rows,
        "chosen": {"title": CHOSEN, **chosen_of(found)},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def tables(result: Mapping[str, Any]) -> dict[str, str]:
    """Return Markdown tables of a stored result.

    METHODS     each method: AUROC, fraction found and wrongly flagged, cost
    AUROC       AUROC of each method and kind
    KINDS       what the chosen score finds of each kind
    LAYOUTS     the same by layout
    SOURCES     photographs that it flags wrongly, by source
    ALTERED     the same of altered photographs
    FOUND       what it finds of pictures that no one made for this
    QUANTILES   its scores, by set
    """
    chosen, rows, kinds = result["chosen"], result["rows"], list(KINDS)
    return {
        "METHODS": _methods(rows),
        "AUROC": markdown_table(
            ["score", *kinds],
            [[title, *(f"{row['auroc'][kind]:.2f}" for kind in kinds)] for title, row in rows.items()],
        ),
        "KINDS": markdown_table(
            ["kind", "found", "found where the score did not learn from the kind", "AUROC of that"],
            [
                [
                    kind,
                    _share(chosen["recall"][kind]),
                    _share(chosen["recall_of_unseen_kind"][kind]),
                    f"{rows[chosen['title']]['auroc'][kind]:.3f}",
                ]
                for kind in kinds
            ],
        ),
        "LAYOUTS": markdown_table(
            ["kind", "layout", "found", "found where the score did not learn from the kind"],
            [
                [kind, name, _share(value), _share(chosen["unseen_layouts"][kind][name])]
                for kind in kinds
                for name, value in chosen["recall_of_layouts"][kind].items()
            ],
            left=2,
        ),
        **_photographs(result),
        "FOUND": markdown_table(
            ["pictures", "number", "found"],
            [[group, str(row["pictures"]), _share(row["recall"])] for group, row in chosen["found"].items()],
        ),
        "QUANTILES": markdown_table(
            ["pictures", *(f"{100 * level:g} % lie below" for level in chosen["levels"])],
            [
                [_title(name), *(f"{value:.2f}" for value in values)]
                for name, values in chosen["quantiles"].items()
            ],
        ),
    }


def _methods(rows: Mapping[str, Any]) -> str:
    header = ["score", "learns from", "mean AUROC", "AUROC of its worst kind", "mean found"]
    header += [f"{title} flagged" for title in SOURCES.values()] + ["kB stored", "µs a picture"]
    cells = [
        [
            title,
            "photographs and other kinds" if row["learned_from_kinds"] else "photographs",
            f"{row['mean_auroc']:.3f}",
            f"{row['worst_auroc']:.3f}",
            _share(row["mean_recall"]),
            *(_share(row["wrongly"][name]["mean"]) for name in SOURCES),
            f"{row['numbers'] * 4 / 1000:,.0f}",
            f"{row['microseconds']:,.0f}",
        ]
        for title, row in rows.items()
    ]
    return markdown_table(header, cells, left=2)


def _photographs(result: Mapping[str, Any]) -> dict[str, str]:
    chosen = result["chosen"]
    header = [
        "photographs",
        "number",
        "flagged",
        "flagged of halves that did not set the threshold",
        "95 % below",
    ]
    sources = [
        [
            title,
            f"{result['pictures'][name]:,}",
            _share(chosen["flagged"][name]),
            _share(chosen["cross_fitted"][name]["mean"]),
            _share(chosen["cross_fitted"][name]["high"]),
        ]
        for name, title in SOURCES.items()
    ]
    altered = [
        [way, *(_share(row[name]) for name in SOURCES)]
        for way, row in {"as they are": chosen["flagged"], **chosen["altered"]}.items()
    ]
    return {
        "SOURCES": markdown_table(header, sources),
        "ALTERED": markdown_table(["photographs", *SOURCES.values()], altered),
    }


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _title(name: str) -> str:
    return {"train": "FI (train, fitted to)", **SOURCES}.get(name, name)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("measure", "fit"):
        command = commands.add_parser(name)
        command.add_argument("--data", required=True)
        command.add_argument("--ratings", type=Path, required=True)
        command.add_argument("--cache", type=Path, required=True)
        if name == "fit":
            command.add_argument("--out", type=Path, required=True)
    commands.add_parser("report")
    given = parser.parse_args(arguments)
    if given.command == "measure":
        measure(given.data, given.ratings, given.cache)
    elif given.command == "fit":
        found = embed_all(load_engine(engine=ONNX_RUNTIME), given.data, given.ratings, given.cache)
        tensors: dict[str, Any] = dict(usual_pictures(found).tensors())
        np.savez(given.out, **tensors)
    else:
        for title, table in tables(json.loads(RESULT.read_text())).items():
            print(f"{title}\n\n{table}\n")


if __name__ == "__main__":
    main()
