"""Files that are damaged at random, and what reads them: any error must be one of ours.

`scripts/fuzz MINUTES` and tests/test_fuzz.py use it.
"""

import io
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import graphs
from affectlens.adaptation.label_source import open_label_source
from affectlens.adaptation.rated_source import open_rated_source
from affectlens.data import table
from affectlens.emotions import MIKELS, read_vocabulary
from affectlens.errors import AffectLensError, PictureError
from affectlens.evaluation.scores import Scores, score
from affectlens.extras import PARQUET, TRAIN
from affectlens.film.timeline import Timeline
from affectlens.images import read_pixels
from affectlens.inference.output.read import read_rows_file
from affectlens.model_folder import load_card
from model_folders import hash_of, mutated
from timelines import timeline_of

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 10**40, 1e308, -0.0, math.nan, math.inf, "", "\ud800", "x" * 300, "<b>", "../..",
    [], {}, [[]], {"a": None}, "1", "nan",
)  # fmt: skip
PICTURES = ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm", "tga")


@dataclass(frozen=True)
class Target:
    """A file that is complete, and what reads it."""

    name: str
    file: Path
    read: Callable[[Path], object]

    @property
    def is_json(self) -> bool:
        return self.file.suffix == ".json"


WORDS = """
name = "moods"
words = ["cosy", "odd", "bleak", "\u00e5ngest", "so-so", "calm", "wild", "rock 'n' roll"]
[aliases]
snug = "cosy"
[polarity]
positive = ["cosy"]
negative = ["bleak"]
[colours]
cosy = "#aa7733"
[valence]
cosy = 7.5
"""


def targets(folder: Path) -> list[Target]:
    """Write a file of every kind that is read, as far as what reads it is installed."""
    found = [*_pictures(folder), *_tables(folder), *_documents(folder)]
    if PARQUET.is_installed:
        found += _parquet(folder)
    if TRAIN.is_installed:
        found += _of_training(folder)
    return found


def error_of(target: Target, data: bytes, folder: Path) -> Exception | None:
    """Let it read this instead: the error, where it is not one of ours."""
    file = folder / target.file.name
    file.write_bytes(data)
    try:
        target.read(file)
    except AffectLensError:
        return None
    except (Exception, RecursionError) as error:
        return error
    return None


def damaged(target: Target, rng: random.Random) -> bytes:
    """The file with something wrong: a few bytes; or, of JSON, a value somewhere."""
    data = target.file.read_bytes()
    if target.is_json and rng.random() < 0.7:
        return _other_value(data, rng)
    if rng.random() < 0.1:
        return data[: rng.randrange(len(data))]
    return mutated(data, rng)


def _other_value(data: bytes, rng: random.Random) -> bytes:
    """Replace, drop or add a value somewhere in a document."""
    document = json.loads(data)
    nodes: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        entries: list[tuple[Any, Any]] = []
        if isinstance(node, dict):
            entries = list(node.items())
        elif isinstance(node, list):
            entries = list(enumerate(node))
        for key, value in entries:
            nodes.append((node, key))
            walk(value)

    walk(document)
    holder, key = rng.choice(nodes)
    match rng.randrange(4):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[f"{key}?"] = rng.choice(ODD)
        case _:
            holder[key] = rng.choice(ODD)
    ours = document.get("affectlens") if isinstance(document, dict) else None
    if isinstance(ours, dict) and "config_sha256" in ours:
        # As one would write it who wants it to be read.
        ours.pop("config_sha256")
        ours["config_sha256"] = hash_of(ours)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _pictures(folder: Path) -> list[Target]:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    found = []
    for kind in PICTURES:
        file = folder / f"picture.{kind}"
        Image.fromarray(pixels).save(file)
        found.append(Target(kind, file, lambda path: read_pixels(path)))
    return found


def _tables(folder: Path) -> list[Target]:
    rows = ["path\tlabel\tsplit", *(f"{n}.png\t{MIKELS.words[n % 8]}\ttrain" for n in range(12))]
    labels = folder / "labels.tsv"
    labels.write_text("\n".join(rows) + "\n", encoding="utf-8")
    answers = folder / "answers.jsonl"
    emotions = dict.fromkeys(MIKELS.words, 0.125)
    about = {
        "model": "m",
        "weights": "0123456789ab",
        "version": "1",
        "engine": "torch",
        "precision": "float32",
    }
    sums = {"positive": 0.5, "negative": 0.5}
    row = {"image": "a.png", "top": "awe", "emotions": emotions, "polarity": sums, **about, "error": None}
    answers.write_text(
        "".join(f"{json.dumps({**row, 'image': f'{n}.png'})}\n" for n in range(5)), encoding="utf-8"
    )
    cells = {
        "image": "a.png",
        "top": "awe",
        **emotions,
        **sums,
        **about,
        "error_type": "",
        "error_message": "",
    }
    spread = folder / "answers.csv"
    lines = (",".join(map(str, each)) for each in (cells, cells.values()))
    spread.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rated = folder / "rated.csv"
    for number in range(24):
        (folder / f"{number}.png").touch()
    lines = (f"{number}.png,{1 + number % 7},{'cosy; bright' if number % 2 else ''}" for number in range(24))
    rated.write_text("\n".join(["path,cosiness,labels", *lines]) + "\n", encoding="utf-8")
    scales = {"cosiness": (1.0, 7.0)}
    return [
        Target("ratings", rated, lambda file: open_rated_source(f"csv:{file}@{folder}", scales, graphs.CARD)),
        Target("several labels", rated, lambda file: open_label_source(f"csv:{file}@{folder}", graphs.CARD)),
        Target("table", labels, table.read),
        Target("soft answers", answers, table.read),
        Target("rows, JSON Lines", answers, read_rows_file),
        Target("rows, CSV", spread, read_rows_file),
    ]


def _documents(folder: Path) -> list[Target]:
    timeline = folder / "timeline.json"
    timeline.write_text(timeline_of().to_text(), encoding="utf-8")
    scores = folder / "scores.json"
    random_logits = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    measured = score(random_logits, np.eye(8)[np.arange(20) % 8], MIKELS, resamples=10)
    scores.write_text(json.dumps(measured.to_json()), encoding="utf-8")
    card = graphs.write(folder / "model") / "config.json"
    # Not named as data sets look for it: tables are read in the same folder.
    words = folder / "moods.toml"
    words.write_text(WORDS, encoding="utf-8")
    own = graphs.write(folder / "own", replace(graphs.CARD, vocabulary=read_vocabulary(words)))

    def read_scores(file: Path) -> object:
        try:
            document = json.loads(file.read_bytes())
        except (ValueError, RecursionError):
            return None  # not ours to read: `Scores.from_json` takes what was read
        return Scores.from_json(document) if isinstance(document, dict) else None

    return [
        Target("timeline", timeline, Timeline.read),
        Target("scores", scores, read_scores),
        Target("card", card, lambda path: load_card(path.parent)),
        Target("card with words of its own", own / "config.json", lambda path: load_card(path.parent)),
        Target("vocabulary", words, read_vocabulary),
    ]


def _parquet(folder: Path) -> list[Target]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from affectlens.inference.stores import read_rows, table_rows

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "png")
    file = folder / "pictures.parquet"
    pq.write_table(
        pa.table({"path": list("abcdef"), "picture": [buffer.getvalue()] * 6}), file, row_group_size=2
    )

    def read(path: Path) -> object:
        return list(
            read_rows(row for row in table_rows(str(path)) if not isinstance(row, (str, PictureError)))
        )

    return [Target("Parquet", file, read)]


def _of_training(folder: Path) -> list[Target]:
    from affectlens.training.run_folder import RunData, RunRecord
    from affectlens.training.settings import Settings, read_settings

    settings = folder / "settings.toml"
    settings.write_text(Settings().to_toml(), encoding="utf-8")
    data = RunData(spec="folder", hashes={"train": "0"}, counts={"train": {"awe": 1}})
    RunRecord(name="run", command="affectlens train", seed=0, data=data, machine={}).write(folder)
    return [
        Target("settings", settings, lambda path: read_settings(path, Settings())),
        Target("run", folder / "run.json", lambda path: RunRecord.read(path.parent)),
    ]
