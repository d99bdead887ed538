"""Are ratings of a film's frames those of its pictures, and what do title cards and fades do to its means?

`--ratings` holds `oasis-dev` and `emdt-dev`, photographs that people rated (`benchmarks/ratings.py`). Every
third of them in the order of names, cut at the centre to 3:2, is shown for a second in a film of H.264.

    coding   mean rating of each shot compared with the rating of the photograph itself, and how many of
             people's means lie in the interval of .9 around either. The ratings of these photographs are
             among those that the default model's were fitted to, so that both fractions are higher than on
             others: only their difference means something here
    cards    the same film with a title card of two seconds after every fifth photograph, for each design:
             how many of the cards' frames are marked as unusual, how far a film's means move by the cards,
             and how far they would if unusual frames counted
    fades    photographs darkened towards black: how many are black to the sampler, how many are marked as
             unusual, and the mean probability of fear and sadness
    faded    a film in which every photograph comes from black in a second, stays for one and goes in one: how
             many of its frames the fades dim, how far they move the film's means, and how far they would if
             such frames counted

    python benchmarks/film_ratings.py --ratings FOLDER [--model NAME] [--out FILE] [--only PART]
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from affectlens.film.events import WatchFinished, WatchRequest
from affectlens.film.predictions import FramePredictor
from affectlens.film.report.curves import sample_spans
from affectlens.film.sampler import is_black
from affectlens.film.shots import COLUMNS, ROWS
from affectlens.film.timeline import Timeline
from affectlens.film.watch import watch
from affectlens.images import resize
from affectlens.inference.engine import Engine, load_engine
from affectlens.machine import describe
from affectlens.ratings import rescaled

RESULT = Path(__file__).parent / "results" / "film_ratings.json"
HEIGHT, WIDTH, RATE = 256, 384, 25
EVERY_THIRD, CARD_AFTER = 3, 5
LEVELS = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.0)  # of light, as a fade mixes it with black
DESIGNS = {
    "white on black": ((0, 0, 0), (255, 255, 255)),
    "black on white": ((255, 255, 255), (0, 0, 0)),
    "yellow on blue": ((20, 40, 110), (250, 220, 90)),
}
TEXTS = ("THREE YEARS LATER", "A film by\nHannah Berg", "Chapter Two\nThe Harbour", "Based on a true story")

PARTS = ("coding", "cards", "fades", "faded")

Picture = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ratings", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--only", choices=PARTS, help="One of the parts; the others stay as they were.")
    arguments = parser.parse_args()
    engine = load_engine(arguments.model)
    pictures, people = rated_pictures(arguments.ratings)
    plain = watched(engine, [(picture, 1.0) for picture in pictures])
    measured: dict[str, Callable[[], Any]] = {
        "coding": lambda: coding(engine, plain, pictures, people),
        "cards": lambda: {name: cards(engine, plain, pictures, name) for name in DESIGNS},
        "fades": lambda: fades(engine, pictures),
        "faded": lambda: faded_film(engine, plain, pictures),
    }
    about = {
        "date": str(date.today()),
        "machine": describe(),
        "model": engine.card.name,
        "weights": engine.card.weights_hash,
        "photographs": len(pictures),
    }
    former = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.only else {}
    if former.get("weights", about["weights"]) != about["weights"]:
        parser.error(f"{arguments.out} is of other weights: measure all of it anew.")
    parts = {name: part() for name, part in measured.items() if arguments.only in (None, name)}
    document = {**about, **former, **parts}
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(parts, indent=1))


def rated_pictures(folder: Path) -> tuple[list[Picture], NDArray[np.float64]]:
    """Return photographs, uint8 (HEIGHT, WIDTH, 3), and people's mean valence and arousal, 1 to 9: (N, 2)."""
    pictures, rows = [], []
    for name, scale in (("oasis-dev", (1, 7)), ("emdt-dev", (1, 9))):
        lines = (folder / name / "ratings.tsv").read_text(encoding="utf-8").splitlines()
        header, *cells = (line.split("\t") for line in lines)
        for row in sorted(cells)[::EVERY_THIRD]:
            values = dict(zip(header, row, strict=True))
            with Image.open(folder / name / values["file"]) as opened:
                pictures.append(cut(opened.convert("RGB")))
            rows.append([rescaled(float(values[f"{each}_mean"]), scale) for each in ("valence", "arousal")])
    return pictures, np.array(rows)


def cut(picture: Image.Image) -> Picture:
    """Cut a picture at its centre to 3:2 and bring it to the film's size."""
    scale = max(WIDTH / picture.width, HEIGHT / picture.height)
    across, down = min(WIDTH / scale, picture.width), min(HEIGHT / scale, picture.height)
    left, top = (picture.width - across) / 2, (picture.height - down) / 2
    box = (left, top, left + across, top + down)
    return np.asarray(picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box))


def watched(engine: Engine, parts: Iterable[tuple[Picture, float]]) -> Timeline:
    """Write a film of pictures with their seconds, and watch it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "film.mp4"
        with av.open(str(file), "w") as out:
            stream: Any = out.add_stream("libx264", rate=RATE, options={"crf": "23"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            number = 0
            for picture, seconds in parts:
                for _ in range(round(seconds * RATE)):
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
                    frame.pts, frame.time_base = number, Fraction(1, RATE)
                    out.mux(stream.encode(frame))
                    number += 1
            out.mux(stream.encode(None))
        *_, last = watch(WatchRequest(source=str(file), engine=engine))
        assert isinstance(last, WatchFinished)
        return last.timeline


def coding(
    engine: Engine, timeline: Timeline, pictures: Sequence[Picture], people: NDArray[np.float64]
) -> dict[str, Any]:
    """Compare the ratings of shots with those of the photographs that they show."""
    fit, predict = engine.card.preprocessing.fit_pixels, FramePredictor(engine)
    alone = [predict([fit(picture)])[0] for picture in pictures]
    still = np.array([each.ratings for each in alone])
    # By the sample nearest to the middle of each photograph's second, whatever shots were found.
    seconds = np.array([sample.second for sample in timeline.samples])
    near = [int(np.abs(seconds - (index + 0.6)).argmin()) for index in range(len(pictures))]
    shown = np.array([timeline.samples[index].ratings for index in near])
    marks = [timeline.samples[index].unusual for index in near]
    found: dict[str, Any] = {
        "unusual_photographs": sum(each.unusual is True for each in alone),
        "unusual_frames": sum(mark is True for mark in marks),
        "shots": len(timeline.shots),
    }
    for column, scale in enumerate(timeline.scales):
        apart = np.abs(shown[:, column] - still[:, column])
        half = scale.half_width()
        found[scale.name] = {
            "mean_difference": float(apart.mean()),
            "highest_difference": float(apart.max()),
            "half_width": half,
            "people_within_of_photographs": float((np.abs(still - people)[:, column] <= half).mean()),
            "people_within_of_frames": float((np.abs(shown - people)[:, column] <= half).mean()),
        }
    return found


def cards(engine: Engine, plain: Timeline, pictures: Sequence[Picture], design: str) -> dict[str, Any]:
    """Compare a film's means with and without title cards, and with unusual frames counted."""
    parts: list[tuple[Picture, float]] = []
    spans: list[tuple[float, float]] = []
    second = 0.0
    for index, picture in enumerate(pictures):
        parts.append((picture, 1.0))
        second += 1.0
        if index % CARD_AFTER == CARD_AFTER - 1:
            parts.append((card_of(design, TEXTS[len(spans) % len(TEXTS)]), 2.0))
            spans.append((second, second + 2.0))
            second += 2.0
    timeline = watched(engine, parts)
    inside = [s for s in timeline.samples if any(a + 0.1 < s.second < b - 0.1 for a, b in spans)]
    counted = watched(_Unmarked(engine), parts)
    return {
        "cards": len(spans),
        "frames_of_cards": len(inside),
        "unusual": sum(sample.unusual is True for sample in inside) / max(1, len(inside)),
        "moved_by_cards": moved(plain, timeline),
        "moved_if_unusual_counted": moved(plain, counted),
    }


class _Unmarked:
    """The same engine without a score of unusual pictures: all frames count."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.card, self.heads = engine, replace(engine.card, unusual={}), engine.heads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def moved(one: Timeline, other: Timeline) -> dict[str, float]:
    """By how much the means of two films differ: total variation distance, and each rating."""
    emotions = float(np.abs(np.subtract(one.emotions, other.emotions)).sum() / 2)
    ratings = np.subtract(other.ratings, one.ratings).tolist()
    return {"emotions": emotions, **dict(zip(one.rating_names, ratings, strict=True))}


def faded_film(engine: Engine, plain: Timeline, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Compare a film's means with and without fades around each photograph, and with their frames counted."""
    steps = [step / RATE for step in range(RATE)]  # of light, over a second
    parts: list[tuple[Picture, float]] = []
    for picture in pictures:
        ramp = [(np.rint(picture * light).astype(np.uint8), 1 / RATE) for light in steps]
        parts += [*ramp, (picture, 1.0), *ramp[::-1]]
    timeline = watched(engine, parts)
    spans = sample_spans(timeline)
    weights = [end - begin for begin, end in spans]
    emotions, ratings = (
        np.average([getattr(sample, name) for sample in timeline.samples], axis=0, weights=weights)
        for name in ("emotions", "ratings")
    )
    counted = replace(timeline, emotions=tuple(emotions.tolist()), ratings=tuple(ratings.tolist()))
    return {
        "frames": len(timeline.samples),
        "black": timeline.counts.black,
        "faded": sum(sample.faded for sample in timeline.samples),
        "shots": len(timeline.shots),
        "moved_by_fades": moved(plain, timeline),
        "moved_if_faded_counted": moved(plain, counted),
    }


def card_of(design: str, text: str) -> Picture:
    ground, ink = DESIGNS[design]
    picture = Image.new("RGB", (WIDTH, HEIGHT), ground)
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    pen, letters = ImageDraw.Draw(picture), ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), 24)
    pen.multiline_text((WIDTH / 2, HEIGHT / 2), text, ink, letters, anchor="mm", align="center")
    return np.asarray(picture)


def fades(engine: Engine, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Predict darkened photographs, at each level of light."""
    fit, predict = engine.card.preprocessing.fit_pixels, FramePredictor(engine)
    words = engine.card.vocabulary
    dark = [words.index(word) for word in ("fear", "sadness")]
    found = {}
    for level in LEVELS:
        shown = [np.rint(picture * level).astype(np.uint8) for picture in pictures]
        answers = [predict([fit(picture)])[0] for picture in shown]
        black = [is_black(resize(picture, ROWS, COLUMNS)) for picture in shown]
        left = [each for each, is_dark in zip(answers, black, strict=True) if not is_dark]
        found[str(level)] = {
            "black": float(np.mean(black)),
            "unusual_of_others": float(np.mean([each.unusual is True for each in left])) if left else None,
            "fear_and_sadness_of_others": (
                float(np.mean([sum(each.emotions[i] for i in dark) for each in left])) if left else None
            ),
            "valence_of_others": float(np.mean([each.ratings[0] for each in left])) if left else None,
        }
    return found


if __name__ == "__main__":
    main()
