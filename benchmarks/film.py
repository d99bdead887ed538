"""How fast is a film watched, and how well are its shots found, compared with other ways to do it?

Speed, in seconds of film a second, all through the same network, a DeiT-Tiny with eight classes:

    affectlens                    `watch`, a frame every half second, and shots; also keyframes alone, and in
                                  bfloat16 where the processor multiplies it
    every frame, one at a time    as a well-known script does it: decode with OpenCV, predict each frame alone
    plain loop, pipeline          decode every frame with OpenCV, take one every half second, predict it
                                  by `transformers.pipeline`, one at a time, and in batches of eight; these
                                  also in bfloat16

Shots, on films made here, whose cuts, fades and dissolves are known: F1 and speed of ours and of
PySceneDetect's detectors as they come, alone and with its threshold detector for fades. A boundary counts as
found within 0.1 s of its transition.

Contenders take turns within each round, so that what else the machine does falls on all; medians count. The
way of every frame is measured on a part of the film, as it would take hours. Needs `scenedetect` and
`opencv-python-headless`, which nothing else here does.

    python benchmarks/film.py [--film FILE] [--weights FOLDER] [--pictures FOLDER] [--seconds 60] [--rounds 3]
                              [--seeds 6]
    python benchmarks/film.py --report

Both write docs/results/film.md, the second from the last result. Without `--film`, one of moving 1/f noise is
made; with `--pictures`, scenes show these instead of noise.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

import result_page
from affectlens.film.events import WatchFinished, WatchRequest
from affectlens.film.settings import FilmSettings
from affectlens.film.shots import COLUMNS, ROWS, ShotDetector
from affectlens.film.watch import watch
from affectlens.images import read_pixels
from affectlens.inference.engine import Engine, load_engine
from affectlens.machine import cpu_multiplies_bfloat16, describe
from affectlens.report.text import markdown_table
from affectlens.video import Video
from film_scenes import Picture, Recipe, f1, make
from noise import photographs
from predict import save_network

RESULT = Path(__file__).parent / "results" / "film.json"
OURS, OURS_FAST = "affectlens", "affectlens, bfloat16"
EVERY = 0.5
SEED_FRAMES = 100  # that the way of every frame is measured on
SHOT_FILMS = {
    "quiet": {"motion": 0.03, "noise": 1.0, "flashes": 0.0},
    "moving": {"motion": 0.2, "noise": 3.0},
    "hasty and grainy": {"motion": 0.5, "noise": 8.0, "flashes": 0.5},
    "fast cuts": {"shortest": 0.5, "longest": 1.5, "gradual": 0.0, "flashes": 0.2},
    "gradual": {"gradual": 1.0, "flashes": 0.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--film", type=Path, help="a film to measure speed on")
    parser.add_argument("--weights", type=Path, help="a folder with the network's weights; else random ones")
    parser.add_argument("--pictures", type=Path, help="pictures for the scenes of the films with known shots")
    parser.add_argument("--seconds", type=float, default=60, help="of film that speed is measured on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=6, help="films of each kind with known shots")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--report", action="store_true", help="write up the last result again")
    arguments = parser.parse_args()
    if not arguments.report:
        measure(arguments)
    document = json.loads(arguments.out.read_text(encoding="utf-8"))
    result_page.write(result_page.RESULTS / "film.md", "film.template.md", parts(document))


def measure(arguments: argparse.Namespace) -> None:
    """Measure everything, and keep it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = arguments.film or make_film(folder / "film.mp4", arguments.seconds)
        document = {
            "date": date.today().isoformat(),
            "machine": {**describe(), "others": others()},
            "settings": {
                "every": EVERY,
                "rounds": arguments.rounds,
                "real film": bool(arguments.film),
                "real pictures": bool(arguments.pictures),
                "seeds": arguments.seeds,
            },
            "speed": measure_speed(
                film, save_network(folder / "model", arguments.weights), arguments.seconds, arguments.rounds
            ),
            "shots": measure_shots(folder, arguments.pictures, arguments.seeds),
        }
    show(document)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=2) + "\n")


def others() -> dict[str, str]:
    """Versions of those that ours is compared with."""
    import cv2
    import scenedetect
    import transformers

    return {
        "opencv": cv2.__version__,
        "scenedetect": scenedetect.__version__,
        "transformers": transformers.__version__,
    }


# -------------------------------------------------------------------------------------------------- speed


def measure_speed(film: Path, model: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """Film-seconds a second of each contender, by rounds; all use the network in the folder `model`."""
    with Video(film) as video:
        about = asdict(video.film)
    about["name"] = film.name
    span = min(seconds, about["duration"] or seconds)
    settings, engine = FilmSettings(every=EVERY, end=span), load_engine(str(model))
    contenders: dict[str, Callable[[], float]] = {
        OURS: lambda: ours(film, engine, settings),
        "affectlens, without reuse": lambda: ours(film, engine, replace(settings, reuse=False)),
        "affectlens, keyframes": lambda: ours(film, engine, replace(settings, sampling="keyframes")),
    }
    predict = loop_predictor(model)
    contenders["plain loop, one at a time"] = lambda: plain_loop(film, predict, span, 1)
    contenders["plain loop, batches of 8"] = lambda: plain_loop(film, predict, span, 8)
    if cpu_multiplies_bfloat16():
        fast_engine = load_engine(str(model), precision="bfloat16")
        contenders[OURS_FAST] = lambda: ours(film, fast_engine, settings)
        fast_predict = loop_predictor(model, torch.bfloat16)
        contenders["plain loop, batches of 8, bfloat16"] = lambda: plain_loop(film, fast_predict, span, 8)
    contenders["every frame, one at a time"] = lambda: every_frame(film, predict, span)
    for contender in contenders.values():
        contender()  # what is only slow once
    taken: dict[str, list[float]] = {title: [] for title in contenders}
    for number in range(rounds):
        order = list(contenders)
        for title in order[number % len(order) :] + order[: number % len(order)]:
            taken[title].append(contenders[title]())
    medians = {title: statistics.median(values) for title, values in taken.items()}
    ratios = {
        ours: {
            title: statistics.median(a / b for a, b in zip(taken[ours], values, strict=True))
            for title, values in taken.items()
        }
        for ours in (OURS, OURS_FAST)
        if ours in taken
    }
    return {
        "film": about,
        "film_seconds_a_second": medians,
        "times_as_fast_is": ratios,
        "rounds": taken,
    }


def ours(film: Path, engine: Engine, settings: FilmSettings) -> float:
    """Seconds of film a second; loading is not counted, as for the others."""
    begun = 0.0
    for event in watch(WatchRequest(source=str(film), engine=engine, settings=settings)):
        begun = begun or time.perf_counter()  # the first event comes when the film is open
        if isinstance(event, WatchFinished):
            return (settings.end or 0) / (time.perf_counter() - begun)
    raise AssertionError("a film ends with its timeline")


def loop_predictor(model: Path, precision: torch.dtype | None = None) -> Callable[[Sequence[Picture]], Any]:
    """`transformers.pipeline` with the same network, as its users build it; or in another precision."""
    from transformers import pipeline

    options: dict[str, Any] = {"dtype": precision} if precision else {}
    predict: Any = pipeline("image-classification", model=str(model), **options)

    def predictions(pictures: Sequence[Picture]) -> list[Any]:
        return list(predict([Image.fromarray(picture) for picture in pictures], batch_size=len(pictures)))

    return predictions


def plain_loop(
    film: Path, predict: Callable[[Sequence[Picture]], list[Any]], span: float, batch: int
) -> float:
    """Decode every frame with OpenCV; predict one every half second."""
    import cv2

    begun = time.perf_counter()
    capture = cv2.VideoCapture(str(film))
    due, waiting = 0.0, list[Any]()
    while True:
        good, frame = capture.read()
        second = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if not good or second > span:
            break
        if second >= due:
            due += EVERY
            waiting.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        if len(waiting) == batch:
            predict(waiting)
            waiting = []
    if waiting:
        predict(waiting)
    capture.release()
    return span / (time.perf_counter() - begun)


def every_frame(film: Path, predict: Callable[[Sequence[Picture]], list[Any]], span: float) -> float:
    """Predict every frame alone, on a part of the film."""
    import cv2

    begun = time.perf_counter()
    capture = cv2.VideoCapture(str(film))
    frame_rate = capture.get(cv2.CAP_PROP_FPS)
    done = 0
    while done < min(SEED_FRAMES, span * frame_rate):
        good, frame = capture.read()
        if not good:
            break
        picture: Any = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        predict([picture])
        done += 1
    capture.release()
    speed: float = done / frame_rate / (time.perf_counter() - begun)
    return speed


def make_film(path: Path, seconds: float) -> Path:
    """A film of scenes of 1/f noise, 960 x 540."""
    recipe = Recipe(scenes=max(2, round(seconds / 2.75)), height=540, width=960, noise=2.0)
    frames, _ = make(recipe)
    return write(path, frames, recipe)


def write(path: Path, frames: Any, recipe: Recipe) -> Path:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(
            "libx264", rate=recipe.frame_rate, options={"preset": "veryfast", "crf": "20"}
        )
        stream.height, stream.width, stream.pix_fmt = recipe.height, recipe.width, "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        out.mux(stream.encode(None))
    return path


# -------------------------------------------------------------------------------------------------- shots


def measure_shots(folder: Path, pictures: Path | None, seeds: int) -> dict[str, Any]:
    """F1 of each detector on each kind of film, and frames a second, decoding included."""
    shown = read_pictures(pictures)
    detectors: dict[str, Callable[[Path], list[float]]] = {
        "affectlens": our_shots,
        "PySceneDetect, content": lambda film: their_shots(film, ("ContentDetector",)),
        "PySceneDetect, adaptive": lambda film: their_shots(film, ("AdaptiveDetector",)),
        "PySceneDetect, adaptive and threshold": lambda film: their_shots(
            film, ("AdaptiveDetector", "ThresholdDetector")
        ),
    }
    results: dict[str, Any] = {title: {} for title in detectors}
    spent = dict.fromkeys(detectors, 0.0)
    count = 0
    for kind, options in SHOT_FILMS.items():
        sums = {title: np.zeros(3, dtype=int) for title in detectors}
        for seed in range(seeds):
            recipe = Recipe(height=270, width=480, scenes=12, seed=seed, **options)  # type: ignore[arg-type]
            frames, changes = make(recipe, shown[seed * 12 :] if shown else ())
            film = write(folder / "shots.mp4", frames, recipe)
            count += round(duration(film) * recipe.frame_rate)
            for title, detect in detectors.items():
                begun = time.perf_counter()
                found = detect(film)
                spent[title] += time.perf_counter() - begun
                sums[title] += f1(found, changes)
        for title, (right, wrong, missed) in sums.items():
            score = 2 * right / max(1, 2 * right + wrong + missed)
            results[title][kind] = {
                "f1": round(float(score), 4),
                "right": int(right),
                "wrong": int(wrong),
                "missed": int(missed),
            }
    for title, seconds in spent.items():
        results[title]["frames_a_second"] = count / seconds
    return {"frames": count, "films_of_each_kind": seeds, "detectors": results}


def duration(film: Path) -> float:
    with Video(film) as video:
        return video.film.duration or 0.0


def read_pictures(folder: Path | None) -> list[Picture]:
    """The first few hundred pictures, spread over a folder."""
    if folder is None:
        return []
    paths = photographs(folder)
    chosen = paths[:: max(1, len(paths) // 400)]
    return [read_pixels(path, at_least=405) for path in chosen]


def our_shots(film: Path) -> list[float]:
    detector, found = ShotDetector(), []
    with Video(film) as video:
        for frame in video.frames():
            found += detector.add(frame.second, frame.small(ROWS, COLUMNS))
    return [boundary.second for boundary in found + detector.finish()]


def their_shots(film: Path, names: Sequence[str]) -> list[float]:
    import scenedetect

    video = scenedetect.open_video(str(film))
    manager = scenedetect.SceneManager()
    for name in names:
        manager.add_detector(getattr(scenedetect, name)())
    manager.detect_scenes(video)
    return [start.seconds for start, _ in manager.get_scene_list()][1:]


# --------------------------------------------------------------------------------------------------- page


def parts(document: dict[str, Any]) -> dict[str, str]:
    """The values of the template."""
    machine, settings, speed, shots = (document[key] for key in ("machine", "settings", "speed", "shots"))
    film = speed["film"]
    speeds = []
    for title, value in speed["film_seconds_a_second"].items():
        rounds = speed["rounds"][title]
        times = [f"{ratios[title]:.2f} times" for ratios in speed["times_as_fast_is"].values()]
        speeds.append([title, f"{value:.3g}", f"{min(rounds):.3g} to {max(rounds):.3g}", *times])
    titles = [f"{ours} is as fast" for ours in speed["times_as_fast_is"]]
    kinds = list(SHOT_FILMS)
    found = [f"| F1 | {' | '.join(kinds)} | frames/s |", "| --- |" + " ---: |" * (len(kinds) + 1)]
    for title, scores in shots["detectors"].items():
        cells = [f"{scores[kind]['f1']:.3f}" for kind in kinds]
        found.append(f"| {title} | {' | '.join(cells)} | {scores['frames_a_second']:.0f} |")
    sides = f"{film['width']} x {film['height']}, {film['frame_rate']:g} frames a second, {film['codec']}"
    scenes = "photographs" if settings["real pictures"] else "1/f noise"
    return {
        "SPEED_TEXT": (
            f"{film['name']} ({sides}), {film['duration']:g} s, on {machine['cores']} cores of "
            f"{machine['cpu']}; all use the same DeiT-Tiny. Medians of {settings['rounds']} rounds in "
            "which all take turns."
        ),
        "SPEED": markdown_table(["", "seconds of film a second", "range", *titles], speeds, left=1),
        "SEED_FRAMES": str(SEED_FRAMES),
        "SHOTS_TEXT": (
            f"{shots['films_of_each_kind']} films of each kind, {shots['frames']:,} frames in all, of scenes "
            f"with {scenes}; a boundary counts as found within 0.1 s of its transition. Frames a second "
            "include decoding."
        ),
        "SHOTS": "\n".join(found),
    }


def show(document: dict[str, Any]) -> None:
    speed = document["speed"]
    for title, value in speed["film_seconds_a_second"].items():
        print(f"{title:36} {value:8.2f} film-seconds/s   1 : {speed['times_as_fast_is'][OURS][title]:.2f}")
    for title, kinds in document["shots"]["detectors"].items():
        scores = ", ".join(
            f"{kind} {found['f1']:.3f}" for kind, found in kinds.items() if isinstance(found, dict)
        )
        print(f"{title:40} {kinds['frames_a_second']:7.0f} frames/s   F1: {scores}")


if __name__ == "__main__":
    main()
