"""Shots are found where they begin, whatever moves, flickers or flashes in them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from affectlens.film.shots import COLUMNS, ROWS, Boundary, Decided, ShotDetector, Thumbnail
from affectlens.video import Video
from film_scenes import Change, Recipe, f1, make


def thumbnails(recipe: Recipe) -> tuple[list[Thumbnail], list[Change]]:
    frames, changes = make(recipe)
    rows, columns = recipe.height // ROWS, recipe.width // COLUMNS
    small = []
    for frame in frames:
        blocks = frame[: ROWS * rows, : COLUMNS * columns].reshape(ROWS, rows, COLUMNS, columns, 3)
        small.append(blocks.mean(axis=(1, 3)).astype(np.uint8))
    return small, changes


def found_in(
    frames: list[Thumbnail], rate: float = 25, detector: ShotDetector | None = None
) -> list[Boundary]:
    detector = detector or ShotDetector()
    found = []
    for number, frame in enumerate(frames):
        found += detector.add(number / rate, frame)
    return found + detector.finish()


SMALL = {"height": ROWS * 2, "width": COLUMNS * 2}


@pytest.mark.parametrize(
    ("title", "recipe", "least"),
    [
        ("still", {"motion": 0.0, "noise": 0.0, "flashes": 0.0}, 1.0),
        ("moving", {"motion": 0.15}, 0.9),
        ("hasty", {"motion": 0.5}, 0.9),
        ("grainy", {"noise": 10.0}, 0.9),
        ("short shots", {"shortest": 0.4, "longest": 1.0, "gradual": 0.0}, 0.95),
        ("cuts and flashes", {"gradual": 0.0, "flashes": 1.0}, 0.95),
        ("gradual", {"gradual": 1.0, "flashes": 0.0}, 0.85),
    ],
)
def test_shots_are_found_in_films_with_known_cuts(title: str, recipe: dict[str, float], least: float) -> None:
    right = wrong = missed = 0
    for seed in range(2):
        frames, changes = thumbnails(Recipe(seed=seed, scenes=9, **SMALL, **recipe))  # type: ignore[arg-type]
        counts = f1([boundary.second for boundary in found_in(frames)], changes)
        right, wrong, missed = right + counts[0], wrong + counts[1], missed + counts[2]
    score = 2 * right / (2 * right + wrong + missed)
    assert score >= least, f"{title}: {right} right, {wrong} wrong, {missed} missed"


def test_a_cut_is_found_at_the_very_frame_and_every_kind_is_distinguished() -> None:
    found: Counter[tuple[str, str]] = Counter()
    for seed in range(3):
        frames, changes = thumbnails(
            Recipe(seed=seed, scenes=8, flashes=0.0, gradual=0.6, motion=0.05, **SMALL)
        )
        for boundary in found_in(frames):
            near = [c for c in changes if c.start - 0.1 <= boundary.second <= c.end + 0.1]
            for change in near:
                found[change.begins, boundary.begins] += 1
                if change.begins == "cut":
                    assert boundary.second == pytest.approx(change.second, abs=1e-6)
                    assert boundary.transition == 0
                else:
                    assert abs(boundary.second - change.second) < 0.3 * (change.end - change.start) + 0.1
    agreed = sum(count for (true, predicted), count in found.items() if true == predicted)
    assert agreed >= 0.9 * sum(found.values()) and len({true for true, _ in found}) == 3, found


def still(level: float, seed: int = 0) -> Thumbnail:
    random = np.random.default_rng(seed)
    values = np.kron(random.uniform(40, 200, (6, 8, 3)), np.ones((6, 8, 1))) * level
    made: Thumbnail = values.clip(0, 255).astype(np.uint8)
    return made


def test_a_flash_is_not_a_cut() -> None:
    frames = [still(1.0)] * 30 + [np.full((ROWS, COLUMNS, 3), 250, np.uint8)] * 2 + [still(1.0)] * 30
    assert found_in(frames) == []


def test_light_that_changes_slowly_is_not_a_dissolve() -> None:
    frames = [still(1.0 - 0.6 * number / 60) for number in range(60)] + [still(0.4)] * 60
    assert found_in(frames) == []


def test_a_camera_that_moves_over_one_scene_finds_nothing() -> None:
    frames, _ = thumbnails(Recipe(scenes=1, shortest=12, longest=12, motion=0.3, seed=5, **SMALL))
    assert found_in(frames) == []


def test_a_cut_to_black_and_a_fade_from_it_are_one_boundary() -> None:
    black = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    into = [still(number / 20, 1) for number in range(20)]
    found = found_in([still(1.0)] * 40 + [black] * 10 + into + [still(1.0, 1)] * 40)
    assert [boundary.begins for boundary in found] == ["fade"] and 1.6 <= found[0].second <= 2.4


def test_writing_that_appears_is_neither_cut_nor_dissolve() -> None:
    frames = [still(1.0).copy() for _ in range(100)]
    for number, frame in enumerate(frames):
        share = min(1.0, max(0.0, (number - 30) / 25))
        frame[12:22, 20:50] = frame[12:22, 20:50] * (1 - share) + 255 * share
        if number >= 80:
            frame[28:32, 8:56] = 255
    assert found_in(frames) == []


def test_a_fade_in_from_black_is_not_a_cut() -> None:
    frames = [still(max(0.0, number - 20) / 60) for number in range(80)] + [still(1.0)] * 40
    assert found_in(frames) == []


def fades_in(frames: list[Thumbnail], detector: ShotDetector | None = None) -> list[tuple[float, float]]:
    detector = detector or ShotDetector()
    found_in(frames, detector=detector)
    return [(round(span.begin, 2), round(span.end, 2)) for span in detector.fades]


BLACK_FRAME, WHITE_FRAME = (np.full((ROWS, COLUMNS, 3), level, np.uint8) for level in (0, 255))


@pytest.mark.parametrize("length", [0.4, 1.0, 1.6])
def test_frames_that_a_fade_dims_are_known_on_both_sides_and_at_the_ends_of_a_film(length: float) -> None:
    """Frames below 80 % of the light of a fade in at 0.4 s, one out to black, in again, and one out."""
    ramp = [still(step / (25 * length)) for step in range(round(25 * length))]
    shown, black = [still(1.0)] * 75, [BLACK_FRAME] * 10
    frames = black + ramp + shown + ramp[::-1] + black + ramp + shown + ramp[::-1] + black
    found = fades_in(frames)
    edges = [0.4, 3.4 + 2 * length, 3.8 + 2 * length, 6.8 + 4 * length]  # of black
    assert len(found) == 4
    for (begin, end), edge, side in zip(found, edges, (1, -1, 1, -1), strict=True):
        dark, dimmed = (begin, end) if side > 0 else (end, begin)
        assert dark == pytest.approx(edge, abs=0.05 + 0.1 * length)  # a tenth of the light shows nothing
        assert dimmed == pytest.approx(edge + side * 0.8 * length, abs=0.13)


def test_a_fade_to_white_dims_frames_too_and_cuts_dark_scenes_and_flashes_none() -> None:
    share = [step / 25 for step in range(25)]
    washed = [(still(1.0) * (1 - part) + 255 * part).astype(np.uint8) for part in share]
    assert len(fades_in([still(1.0)] * 50 + washed + [WHITE_FRAME] * 20)) == 1
    assert fades_in([still(1.0)] * 50 + [BLACK_FRAME] * 30 + [still(1.0, 1)] * 50) == []
    assert fades_in([still(0.2)] * 100) == []
    assert fades_in([still(1.0 - 0.6 * step / 60) for step in range(60)] + [still(0.4)] * 60) == []
    assert fades_in([still(1.0)] * 50 + [WHITE_FRAME] * 2 + [still(1.0)] * 50) == []


def test_a_scene_that_grows_brighter_long_after_a_fade_is_not_dimmed_by_it() -> None:
    frames = [BLACK_FRAME] * 10 + [still(0.5 * step / 12) for step in range(12)] + [still(0.5)] * 25
    frames += [still(0.5 + 0.5 * step / 25) for step in range(25)] + [still(1.0)] * 75
    ((_, end),) = fades_in(frames)
    assert end < 0.88


def test_a_detector_that_continues_within_a_fade_finds_it_once() -> None:
    ramp = [still(step / 25) for step in range(25)]
    frames = [still(1.0)] * 100 + ramp[::-1] + [BLACK_FRAME] * 10 + ramp + [still(1.0, 1)] * 150
    complete = fades_in(frames)
    assert len(complete) == 2
    for stop in (115, 140, 210):
        first = ShotDetector()
        for number in range(stop):
            first.add(number / 25, frames[number])
        second = ShotDetector(Decided(first.decided.until, first.decided.last))
        for number in range(max(0, stop - 180), len(frames)):
            second.add(number / 25, frames[number])
        second.finish()
        spans = [*first.fades, *second.fades]
        assert [(round(s.begin, 2), round(s.end, 2)) for s in spans] == complete


def test_shots_of_a_real_film_are_those_that_people_see(shared: Path) -> None:
    path = shared / "fixtures" / "video" / "big-buck-bunny-30s.mp4"
    if not path.is_file():
        pytest.skip(f"no film at {path}")
    detector, found = ShotDetector(), []
    with Video(path) as video:
        for frame in video.frames():
            found += detector.add(frame.second, frame.small(ROWS, COLUMNS))
    found += detector.finish()
    # It begins with a fade from black; writing comes and goes; a bird that flaps its wings fills a third.
    assert [round(boundary.second, 2) for boundary in found] == [11.88, 15.75, 23.04]
    (fade,) = detector.fades
    assert fade.begin < 1 < fade.end < 2.5  # it is there at 2.2 s


def test_cuts_between_plain_colours_are_found() -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (20, 20, 20)]
    frames = [np.full((ROWS, COLUMNS, 3), colour, np.uint8) for colour in colours for _ in range(25)]
    assert [(b.second, b.begins) for b in found_in(frames)] == [(1.0, "cut"), (2.0, "cut"), (3.0, "cut")]


def test_keyframes_far_apart_are_compared_one_by_one() -> None:
    frames = [still(1.0, seed) for seed in (0, 0, 0, 1, 1, 2)]
    assert [boundary.second for boundary in found_in(frames, rate=0.5)] == [6.0, 10.0]
    assert [boundary.second for boundary in found_in(frames, rate=0.1)] == [30.0, 50.0]


def test_a_detector_that_continues_in_the_middle_of_a_film_decides_alike() -> None:
    frames, _ = thumbnails(Recipe(scenes=10, motion=0.2, seed=3, **SMALL))
    complete = found_in(frames)
    for stop in (150, 333):
        first = ShotDetector()
        early = [b for number in range(stop) for b in first.add(number / 25, frames[number])]
        second = ShotDetector(Decided(first.decided.until, first.decided.last))
        late = []
        for number in range(max(0, stop - 180), len(frames)):
            late += second.add(number / 25, frames[number])
        assert early + late + second.finish() == complete


def test_a_suspected_cut_is_known_at_once() -> None:
    detector = ShotDetector()
    suspected = []
    for number, frame in enumerate([still(1.0)] * 30 + [still(1.0, 1)] * 5):
        detector.add(number / 25, frame)
        suspected.append(detector.suspects)
    assert suspected == [number == 30 for number in range(35)]
