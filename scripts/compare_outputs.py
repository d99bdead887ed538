#!/usr/bin/env python3
"""Compare what two checkouts of AffectLens answer and write: python scripts/compare_outputs.py OLD NEW ...

    python scripts/compare_outputs.py OLD_CHECKOUT NEW_CHECKOUT --pictures FOLDER --films FOLDER --work DIR

Runs the same commands (`JOBS`) with both, by the interpreter that runs this script and with PYTHONPATH set to
CHECKOUT/src, then compares every file, the printed text and the exit status, and prints one table: each
file, whether it is equal, and the first difference where it is not. `worded` is a file whose words differ and
whose numbers do not. Exit status: 0 all are equal or worded, 1 some are not.

PICTURES holds a folder of pictures for each emotion, a few in each, and pictures of any kind next to those
folders; FILMS holds one film or more, of which the first six seconds are read. Results stay in WORK/old and
WORK/new; a command whose exit status is already there is not run again, so that one old side serves for many
comparisons. Delete WORK/new, or one command's folder in it, to run it again.

Compared are: JSON, TOML, CSV and Parquet by value, with the keys of the old side renamed by `FORMER_KEYS`;
arrays by value; pictures and films by pixels; pages by their visible text and by the pixels of the pictures
in them; text by lines; weights by the bytes of each tensor. `UNSTABLE_KEYS` and `UNSTABLE_TEXT` name what is
left out, because it depends on the clock or on the machine's load.
"""

import argparse
import base64
import csv
import hashlib
import io
import json
import math
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".jp2", ".tif", ".tiff", ".bmp"}

# One process per side imports the package once and forks for each command, so that nothing is left over from
# the one before. Not for Windows, which has no fork.
RUNNER = """
import json, os, sys, traceback
import matplotlib.pyplot, timm, torch
from affectlens.cli.main import main

for folder, arguments in json.load(sys.stdin):
    print(folder, file=sys.stderr, flush=True)
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        with open(os.path.join(folder, "exit.txt"), "w") as file:
            file.write(f"{os.waitstatus_to_exitcode(status)}\\n")
        continue
    os.chdir(folder)
    for stream, name in ((1, "stdout.txt"), (2, "stderr.txt")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), stream)
    sys.argv = ["affectlens", *arguments]
    code = 0
    try:
        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
"""

# Keys of JSON, CSV and Parquet that were renamed: old -> new, at any depth; only where the new side has it.
FORMER_KEYS = {
    "accumulate": "grad_accum_steps",
    "average": "ema_decay",
    "balance": "balanced_sampling",
    "clip": "clip_grad",
    "focus": "focal_gamma",
    "judged": "predicted",
    "learning_rate": "lr",
    "low_share": "low_res_fraction",
    "low_side": "low_res_size",
    "mix_share": "mix_prob",
    "new_layers_rate": "head_lr_scale",
    "prior_adjustment": "logit_adjustment",
    "rate": "lr",
    "val_share": "val_fraction",
    "workers": "num_workers",
}

# Keys whose values depend on the clock, on the machine's load or on the version: left out on both sides.
UNSTABLE_KEYS = {
    "format_version": "rises when keys are renamed",
    "affectlens_timeline": "the same, of timelines",
    "version": "the same, of films' records",
    "date": "when it was measured",
    "config_sha256": "of a config whose keys were renamed; the rest of it is compared",
    "seconds": "how long it took",
    "pictures_per_second": "how long it took",
}

# The same in text: (pattern, stand-in).
UNSTABLE_TEXT = (
    (r"[\d.,]+ (pictures|frames)(/s| a second)", "SPEED"),
    (r"\b[\d.,]+ ?(s|ms|seconds|minutes)\b", "TIME"),
    (r"\b\d+ steps?/s\b", "SPEED"),
    (r'"seconds": [\d.e-]+', '"seconds": TIME'),
    # The last column of the table of `explain compare`, whose title is "seconds".
    (r"(\(of \d+\) │) +[\d.,]+ │(?=\n)", r"\1 TIME │"),
)

# A run's settings as the first version of the package wrote them: the new checkout must still read them.
FORMER_SETTINGS = """\
network = "test_efficientnet"
weights = "none"
epochs = 2.0
batch_size = 8
learning_rate = 0.001
new_layers_rate = 2.0
average = 0.9
warmup = 0.2
mixup = 0.2
mix_share = 0.5
workers = 0
val_share = 0.25
checkpoint_every = 3

[preprocessing]
height = 64
width = 64
"""

# Fast options for methods of explanation whose cost is a choice.
CHEAP = {
    "smooth_gradient": ("samples=4",),
    "integrated_gradients": ("max_steps=33", "tolerance=0.1"),
    "rise": ("masks=64",),
    "lime": ("segments=12", "samples=40"),
    "shap": ("segments=12", "samples=40"),
    "occlusion": ("patch=0.25", "stride=0.25"),
}


# Every method of explanation besides the default model's own, `cam`.
OTHER_METHODS = (
    "gradient",
    "gradient_times_input",
    "smooth_gradient",
    "integrated_gradients",
    "grad_cam",
    "attention_rollout",
    "gradient_attention",
    "occlusion",
    "rise",
    "lime",
    "shap",
)


@dataclass(frozen=True)
class Job:
    """One command: its arguments, and files that are written into its folder before it runs."""

    name: str
    arguments: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()


def jobs(pictures: Path, films: Path, old_side: Path) -> Iterator[Job]:
    """List the commands in the order in which they run; later ones read what earlier ones wrote."""
    yield from _prediction_jobs(pictures)
    yield from _training_jobs(pictures)
    yield from _explanation_jobs(pictures)
    files = sorted(p for p in films.iterdir() if p.is_file() and not p.name.startswith("."))
    yield from _film_jobs(files[0], files[-1])
    yield from _jobs_on_former_files(pictures, old_side, files[0].stem)


def _prediction_jobs(pictures: Path) -> Iterator[Job]:
    yield Job("models", ("models",))
    yield Job("predict_text", ("predict", str(pictures), "--attributes"))
    yield Job("predict_json", ("predict", str(pictures), "--json", "--batch-size", "1"))
    for suffix in ("jsonl", "csv", "parquet"):
        yield Job(f"predict_{suffix}", ("predict", str(pictures), "--attributes", "--out", f"rows.{suffix}"))
    labelled = f"folder:{pictures}"
    yield Job("data_check", ("data", "check", labelled))
    scored = ("--data", labelled, "--split", "all", "--out", "scores.json")
    yield Job("evaluate", ("evaluate", "default", *scored))


def _training_jobs(pictures: Path) -> Iterator[Job]:
    labelled = f"folder:{pictures}"
    settings = (("settings.toml", FORMER_SETTINGS),)
    train = ("train", "plain", "--settings", "settings.toml", "--data", labelled, "--out", "run")
    yield Job("train_plain", (*train, "--seed", "3", "--dtype", "float32"), settings)
    small = [
        option
        for value in ("epochs=1", "batch_size=16", "weights=none", "workers=0", "val_share=0.25",
                      "network_options.backbone=resnet18", "preprocessing.height=64",
                      "preprocessing.width=64", "pictures_per_emotion=2")
        for option in ("--set", value)
    ]  # fmt: skip
    for recipe in ("mam_paper", "mlm_paper"):
        yield Job(f"train_{recipe}", ("train", recipe, "--data", labelled, "--out", "run", *small))
    yield Job("predict_trained", ("predict", str(pictures), "--json", "--model", "../train_plain/run/model"))


def _explanation_jobs(pictures: Path) -> Iterator[Job]:
    everything = sorted(p for p in pictures.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    labelled = [p for p in everything if p.parent != pictures]
    few = [str(p) for p in labelled[:: max(1, len(labelled) // 3)][:3]]
    formats = ("--format", "png,html,npz,json,wheel,plutchik")
    yield Job("explain_default", ("explain", *few, *formats, "--story", "--out", "out"))
    yield Job("explain_all", ("explain", few[0], "--all", "--no-faithfulness", "--out", "out"))
    two = ("--emotion", "awe", "--emotion", "fear", "--against", "sadness")
    yield Job("explain_two", ("explain", few[0], *two, "--format", "png,json", "--out", "out"))
    yield Job("explain_methods", ("explain", "methods"))
    for method in OTHER_METHODS:
        options = [option for value in CHEAP.get(method, ()) for option in ("--set", value)]
        given = (few[1], "--method", method, *options, "--no-faithfulness", "--format", "npz,json")
        yield Job(f"explain_{method}", ("explain", *given, "--out", "out"))
    compared = ("--methods", "cam,gradient", "--pictures", "2", "--checked", "1", "--split", "all")
    yield Job("explain_compare", ("explain", "compare", f"folder:{pictures}", *compared, "--out", "out.json"))
    yield Job("explain_filters", ("explain", "filters", few[0], "--steps", "4"))


def _film_jobs(first: Path, last: Path) -> Iterator[Job]:
    span = ("--begin", "0", "--end", "6", "--out", "out")
    formats = ("--format", "html,png,csv,jsonl,parquet,srt,vtt,chapters,edl,otio")
    yield Job("film_every", ("film", str(first), *span, "--every", "0.5", *formats, "--explain", "peaks"))
    moods = ("--subtitles", "moods", "--timecode", "01:00:00:00")
    yield Job("film_moods", ("film", str(first), *span, "--shots", "--format", "srt,vtt,edl,otio", *moods))
    yield Job("film_keyframes", ("film", str(last), "--out", "out", "--keyframes", "--format", "html,csv"))
    yield Job("film_render", ("film", str(last), "--out", "out", "--every", "1", "--render", "bar"))
    for align in ("time", "shots"):
        both = (f"../film_every/out/{first.stem}", f"../film_keyframes/out/{last.stem}")
        yield Job(f"film_compare_{align}", ("film", "compare", *both, "--align", align))


def _jobs_on_former_files(pictures: Path, old_side: Path, film: str) -> Iterator[Job]:
    """What the old checkout wrote, read by both."""
    yield Job("former_card", ("models", "show", str(old_side / "train_plain" / "run" / "model")))
    model = str(old_side / "train_mam_paper" / "run" / "model")
    yield Job("former_model", ("predict", str(pictures), "--json", "--model", model))
    watched = str(old_side / "film_every" / "out" / film)
    yield Job("former_timeline", ("film", "compare", watched, watched))


def run_side(checkout: Path, side: Path, todo: Sequence[Job]) -> None:
    """Run each job that has not run yet in a folder of its own, with `checkout`'s package."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout / "src"),
        "COLUMNS": "110",
        "NO_COLOR": "1",
        "PYTHONHASHSEED": "0",
        # Sums are divided among threads, and their last bits depend on how.
        "OMP_NUM_THREADS": "1",
    }
    pending = [job for job in todo if not (side / job.name / "exit.txt").exists()]
    for job in pending:
        (side / job.name).mkdir(parents=True, exist_ok=True)
        for name, text in job.files:
            (side / job.name / name).write_text(text, encoding="utf-8")
    if pending:
        commands = json.dumps([(str(side / job.name), job.arguments) for job in pending])
        subprocess.run([sys.executable, "-c", RUNNER], input=commands, text=True, env=environment, check=True)


# Comparison: every function returns the first difference in words, or "" where there is none. A difference
# that begins with WORDING is of words alone: every number is the same.
WORDING = "wording: "


def compare_values(old: Any, new: Any, where: str = "") -> str:
    """Compare JSON-like values by value, with renamed keys, without unstable ones."""
    return worst(_differences(old, new, where))


def worst(differences: Iterator[str]) -> str:
    """Return the first difference that is more than wording, or else the first."""
    found = list(differences)
    return next((one for one in found if not one.startswith(WORDING)), found[0] if found else "")


def _differences(old: Any, new: Any, where: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _differences_by_key(old, new, where)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{where} has {len(old)} and {len(new)} items"
        for number, (a, b) in enumerate(zip(old, new, strict=False)):
            yield from _differences(a, b, f"{where}[{number}]")
    elif isinstance(old, str) and isinstance(new, str):
        if old[:1] == new[:1] == "{":  # JSON within JSON
            yield from _differences(json.loads(old), json.loads(new), where)
        elif stable(old) != stable(new):
            yield f"{wording(old, new)}{where}: {short(old)} -> {short(new)}"
    else:
        both_nan = isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new)
        if old != new and not both_nan:
            yield f"{where}: {short(old)} -> {short(new)}"


def _differences_by_key(old: dict[str, Any], new: dict[str, Any], where: str) -> Iterator[str]:
    # Only where the new side has the new name: `rate` is also OpenTimelineIO's word for frames per second.
    renamed = {key: now for key, now in FORMER_KEYS.items() if key not in new and now in new}
    old = {renamed.get(k, k): v for k, v in old.items() if k not in UNSTABLE_KEYS}
    new = {k: v for k, v in new.items() if k not in UNSTABLE_KEYS}
    for key in [*old, *(k for k in new if k not in old)]:
        if key in old and key in new:
            yield from _differences(old[key], new[key], f"{where}.{key}")
        else:
            yield f"{where}.{key} is only in the {'old' if key in old else 'new'}"


def wording(old: str, new: str) -> str:
    """Return `WORDING` where two texts have the same numbers in the same order, else nothing.

    >>> wording("judged 12 pictures", "12 pictures predicted"), wording("1 and 2", "1 and 3")
    ('wording: ', '')
    """
    a, b = (re.findall(r"\d+(?:[.,:]\d+)*", stable(text)) for text in (old, new))
    return WORDING if a == b else ""


def compare_json(old: bytes, new: bytes) -> str:
    return compare_values(json.loads(old), json.loads(new))


def compare_json_lines(old: bytes, new: bytes) -> str:
    a, b = ([json.loads(line) for line in side.decode().splitlines()] for side in (old, new))
    return compare_values(a, b)


def compare_toml(old: bytes, new: bytes) -> str:
    return compare_values(tomllib.loads(old.decode()), tomllib.loads(new.decode()))


def compare_csv(old: bytes, new: bytes) -> str:
    a, b = (list(csv.DictReader(io.StringIO(side.decode()))) for side in (old, new))
    return compare_values(a, b)


def compare_parquet(old: bytes, new: bytes) -> str:
    a, b = (pq.read_table(io.BytesIO(side)).to_pylist() for side in (old, new))
    return compare_values(a, b)


def compare_text(old: bytes, new: bytes) -> str:
    """Compare by lines; numbers that depend on the clock are replaced on both sides."""
    whole = [stable(side.decode(errors="replace")) for side in (old, new)]
    for number, (a, b) in enumerate(zip_longest(*(text.splitlines() for text in whole)), start=1):
        if a != b:
            return f"{wording(*whole)}line {number}: {short(a)} -> {short(b)}"
    return ""


def compare_pixels(old: bytes, new: bytes) -> str:
    """Compare pictures by size and by pixels, after decoding."""
    a, b = (np.asarray(Image.open(io.BytesIO(side)).convert("RGBA"), dtype=np.int16) for side in (old, new))
    difference = compare_arrays(a, b, "pixels")
    if not difference or a.shape != b.shape:
        return difference
    rows, columns, _ = np.nonzero(a != b)
    region = f"rows {rows.min()} to {rows.max()}, columns {columns.min()} to {columns.max()}"
    return f"{difference}, {region} of {a.shape[0]} x {a.shape[1]}"


def compare_npz(old: bytes, new: bytes) -> str:
    """Compare the arrays of two archives by name; object arrays are refused, never unpickled."""
    with np.load(io.BytesIO(old), allow_pickle=False) as a, np.load(io.BytesIO(new)) as b:
        left, right = ({name: np.asarray(side[name]) for name in side.files} for side in (a, b))
    left = {FORMER_KEYS.get(name, name): value for name, value in left.items()}
    if left.keys() != right.keys():
        return f"arrays {sorted(left)} -> {sorted(right)}"
    return next((d for name in left if (d := compare_arrays(left[name], right[name], name))), "")


def compare_arrays(old: NDArray[Any], new: NDArray[Any], name: str) -> str:
    if old.dtype.kind == new.dtype.kind == "U":
        return compare_values(old.tolist(), new.tolist(), name)
    if old.shape != new.shape or old.dtype != new.dtype:
        return f"{name}: {old.dtype}{old.shape} -> {new.dtype}{new.shape}"
    if np.array_equal(old, new, equal_nan=old.dtype.kind == "f"):
        return ""
    gap = np.abs(old.astype(np.float64) - new.astype(np.float64))
    return f"{name}: largest difference {np.nanmax(gap):.3g}, in {np.count_nonzero(gap):,} of {gap.size:,}"


def compare_films(old: bytes, new: bytes) -> str:
    """Compare films frame by frame."""
    import av

    def frames(side: bytes) -> Iterator[NDArray[Any]]:
        with av.open(io.BytesIO(side), mode="r") as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24").astype(np.int16)

    for number, (a, b) in enumerate(zip_longest(frames(old), frames(new))):
        if a is None or b is None:
            return f"frame {number} is only in the {'new' if a is None else 'old'}"
        if difference := compare_arrays(a, b, f"frame {number}"):
            return difference
    return ""


def compare_weights(old: bytes, new: bytes) -> str:
    """Compare safetensors files by the bytes of each tensor, and by notes in any order."""
    (old_notes, a), (new_notes, b) = _tensors(old), _tensors(new)
    if difference := compare_values(old_notes, new_notes, "notes"):
        return difference
    if a.keys() != b.keys():
        return f"tensors: {short(sorted(a.keys() ^ b.keys()))} only in one"
    unlike = [name for name in a if a[name] != b[name]]
    return f"{len(unlike)} of {len(a)} tensors differ, first {unlike[0]}" if unlike else ""


def _tensors(side: bytes) -> tuple[dict[str, str], dict[str, tuple[str, list[int], str]]]:
    """Read a safetensors file: its notes, and by name each tensor's type, shape and hash."""
    size = 8 + int.from_bytes(side[:8], "little")
    header = json.loads(side[8:size])
    notes = header.pop("__metadata__", {})
    hashes = {
        name: hashlib.sha256(side[size + tensor["data_offsets"][0] : size + tensor["data_offsets"][1]])
        for name, tensor in header.items()
    }
    return notes, {name: (t["dtype"], t["shape"], hashes[name].hexdigest()) for name, t in header.items()}


class _Page(HTMLParser):
    """The visible text of a page and the pictures in it, in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.hidden = 0
        self.words: list[str] = []
        self.pictures: list[tuple[str, bytes]] = []  # type and content
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in ("script", "style")
        for _, value in attrs:
            if value and (found := re.match(r"data:image/([\w+.-]+);base64,(.*)", value, re.DOTALL)):
                self.pictures.append((found[1], base64.b64decode(found[2])))

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.words += stable(data).split()


def compare_pages(old: bytes, new: bytes) -> str:
    """Compare pages as a reader sees them: visible words, and the embedded pictures by pixels."""
    return worst(_differences_of_pages(_Page(old.decode()), _Page(new.decode())))


def _differences_of_pages(a: _Page, b: _Page) -> Iterator[str]:
    for number, (left, right) in enumerate(zip_longest(a.words, b.words)):
        if left != right:
            before, after = (" ".join(side.words[max(0, number - 2) : number + 5]) for side in (a, b))
            yield f"{wording(' '.join(a.words), ' '.join(b.words))}{short(before)} -> {short(after)}"
            break
    if len(a.pictures) != len(b.pictures):
        yield f"{len(a.pictures)} and {len(b.pictures)} pictures"
    for number, ((kind, old), (_, new)) in enumerate(zip(a.pictures, b.pictures, strict=False), start=1):
        compare = compare_text if kind == "svg+xml" else compare_pixels
        if difference := compare(old, new):
            yield f"picture {number}: {difference}"


COMPARISONS: dict[str, Callable[[bytes, bytes], str]] = {
    ".json": compare_json,
    ".otio": compare_json,
    ".jsonl": compare_json_lines,
    ".csv": compare_csv,
    ".toml": compare_toml,
    ".parquet": compare_parquet,
    ".npz": compare_npz,
    ".png": compare_pixels,
    ".jpg": compare_pixels,
    ".html": compare_pages,
    ".mp4": compare_films,
    ".mkv": compare_films,
    ".safetensors": compare_weights,
}


def stable(text: str) -> str:
    """Replace what depends on the clock.

    >>> stable("Epoch 1: 120 pictures/s")
    'Epoch 1: SPEED'
    """
    for pattern, stand_in in UNSTABLE_TEXT:
        text = re.sub(pattern, stand_in, text)
    return text


def short(value: object, width: int = 60) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= width else text[: width - 3] + "..."


def compare_sides(old: Path, new: Path, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each file of either side and its first difference, empty where both are equal."""
    for name in names:
        found = {p.relative_to(side) for side in (old, new) for p in (side / name).rglob("*") if p.is_file()}
        found -= {Path(name, given) for given in ("settings.toml",)}
        for file in sorted(found):
            if not (old / file).exists() or not (new / file).exists():
                yield file.as_posix(), f"only in the {'old' if (old / file).exists() else 'new'}"
                continue
            compare = COMPARISONS.get(file.suffix.lower(), compare_text)
            yield file.as_posix(), compare((old / file).read_bytes(), (new / file).read_bytes())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both sides, print the table, and return the exit status."""
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path, metavar="OLD_CHECKOUT")
    parser.add_argument("new", type=Path, metavar="NEW_CHECKOUT")
    parser.add_argument("--pictures", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--films", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--work", type=Path, default=Path("build/compare"), metavar="DIR")
    parser.add_argument("--only", default="", metavar="WORD", help="run and compare commands named like it")
    parser.add_argument("--side", choices=("old", "new"), help="run one side and compare nothing")
    given = parser.parse_args(arguments)
    work = given.work.resolve()
    sides = {"old": given.old.resolve(), "new": given.new.resolve()}
    names: list[str] = []
    for side, checkout in sides.items():
        todo = [
            job
            for job in jobs(given.pictures.resolve(), given.films.resolve(), work / "old")
            if given.only in job.name
        ]
        names = [job.name for job in todo]
        if given.side in (None, side):
            run_side(checkout, work / side, todo)
    return 0 if given.side else _report(compare_sides(work / "old", work / "new", names))


def _report(rows: Iterator[tuple[str, str]]) -> int:
    counts = {"equal": 0, "worded": 0, "differing": 0}
    for file, difference in rows:
        kind = "differing" if difference else "equal"
        kind = "worded" if difference.startswith(WORDING) else kind
        counts[kind] += 1
        print(f"{file:64} {kind:10}{difference.removeprefix(WORDING)}".rstrip())
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return 1 if counts["differing"] else 0


if __name__ == "__main__":
    sys.exit(main())
