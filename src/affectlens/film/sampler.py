"""Going through a film: every frame is looked at for shots, and some are picked to be judged.

All that the picking depends on is in a `Place`, which is written down now and then, so that a run that was
killed picks the same frames, in the same batches.
"""

import base64
import zlib
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from affectlens.errors import VideoDamaged, VideoUnreachable
from affectlens.film.settings import Request
from affectlens.film.shots import COLUMNS, MEMORY, ROWS, Boundary, Decided, ShotDetector, Thumbnail
from affectlens.images import Pixels
from affectlens.inference.engine import Engine
from affectlens.video import SAME_TIME, Frame, NewestFrames, Video

SETTLED = 0.12  # seconds after a cut, when compression has recovered, that a shot is first judged
FIRST_GAP = 0.5  # seconds between the first two judged frames of a shot, where few are; then twice that
LONGEST_BATCH = 30.0  # seconds of film after which a batch is judged, full or not
MOST_SAMPLES = 64  # of a batch, those included that are not judged anew
MARGIN = 2.0  # seconds that are decoded before what the shot detector remembers

# Frames look the same whose thumbnails differ by less than this on average, and in no block of 4 x 4 pixels,
# a sixteenth of the width, by that much; in levels. See `looks_same`.
SAME_MEAN, SAME_BLOCK = 0.5, 3.0


@dataclass
class Place:
    """How far a film was looked at, and all that what comes depends on.

    Attributes:
        second: of the last frame; what comes after it is new
        frames, broken, undated: counts up to there
        end: second at which the last frame ends
        batches: that were closed
        due: second from which on the next frame is judged
        opening: second from which on the first frame of what may be a new shot is judged
        gap: seconds to the next judged frame, where few of each shot are
        judged, reused: counts
        like: thumbnail of the last frame that was judged
        boundaries: where shots begin
        until, last: of the shot detector
    """

    second: float = float("-inf")
    frames: int = 0
    broken: int = 0
    undated: int = 0
    end: float = 0.0
    batches: int = 0
    due: float = float("-inf")
    opening: float | None = None
    gap: float = FIRST_GAP
    judged: int = 0
    reused: int = 0
    like: Thumbnail | None = None
    boundaries: list[Boundary] = field(default_factory=list)
    until: float = float("-inf")
    last: float = float("-inf")
    interlaced: bool = False
    even: bool = True
    orderly: bool = True

    def to_json(self) -> dict[str, Any]:
        like = None if self.like is None else base64.b64encode(zlib.compress(self.like.tobytes())).decode()
        return {**vars(self), "like": like, "boundaries": [list(b) for b in self.boundaries]}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Place":
        like = plain["like"]
        if like is not None:
            held = np.frombuffer(zlib.decompress(base64.b64decode(like)), np.uint8)
            like = held.reshape(ROWS, COLUMNS, 3)
        return cls(**{**plain, "like": like, "boundaries": [Boundary(*b) for b in plain["boundaries"]]})

    def copy(self) -> "Place":
        return replace(self, boundaries=list(self.boundaries))


@dataclass
class Batch:
    """Samples that are answered together: second and number of each, and pixels of those that are judged.

    Of a frame that looks like the last judged one before it, pixels are None. `place` is where it ends.
    """

    number: int
    seconds: list[float] = field(default_factory=list)
    frames: list[int | None] = field(default_factory=list)
    pixels: list[Pixels | None] = field(default_factory=list)
    place: Place = field(default_factory=Place)

    @property
    def fresh(self) -> list[Pixels]:
        return [pixels for pixels in self.pixels if pixels is not None]


class Looking:
    """Goes through a film: looks at every frame for shots, and picks those to be judged."""

    def __init__(self, request: Request, video: Video, engine: Engine, place: Place) -> None:
        self.request, self.video, self.place = request, video, place
        self.settings = request.settings
        self.preprocessing = engine.card.preprocessing
        self.together = 1 if video.live else engine.at_once(request.batch_size)
        self.detector = ShotDetector(Decided(place.until, place.last))
        self.ended_early: str | None = None

    @property
    def begin(self) -> float:
        """The second at which watching begins."""
        return self.settings.begin or 0.0

    @property
    def end(self) -> float | None:
        """The second at which watching ends, as far as it is known beforehand."""
        known = [end for end in (self.settings.end, self.video.film.duration) if end is not None]
        return min(known, default=None)

    def batches(self) -> Generator[Batch, None, None]:
        """Yield what is to be judged, from the place on, each batch with the place where it ends."""
        batch = Batch(self.place.batches)
        with closing(self._new_frames()) as frames:
            for frame in frames:
                self._look(frame, batch)
                if self._is_full(batch):
                    yield self._closed(batch)
                    batch = Batch(self.place.batches)
        self.place.boundaries += self._within(self.detector.finish())
        yield self._closed(batch)

    def _new_frames(self) -> Generator[Frame, None, None]:
        """Frames of the part that is watched and that were not looked at before."""
        place, video, stop = self.place, self.video, self.request.stop
        newest = NewestFrames(video) if video.live else None
        last = self.settings.end
        try:
            self._go_back()
            before = self._counted = place.broken, place.undated
            for frame in newest or video.frames():
                if stop is not None and stop.is_set():
                    self.ended_early = f"Watching was ended at {max(place.second, 0):.2f} s."
                    return
                if last is not None and frame.second >= last - SAME_TIME:
                    return
                if frame.second <= place.second:  # looked at in the run that was interrupted
                    self.detector.add(frame.second, frame.small(ROWS, COLUMNS))
                    decoded = video.decoded  # what was counted so far was counted then, too
                    before = self._counted[0] - decoded.broken, self._counted[1] - decoded.undated
                elif frame.second >= self.begin - SAME_TIME:
                    self._count(frame, *before)
                    yield frame
        except (VideoDamaged, VideoUnreachable) as error:
            if not place.frames:
                raise
            self.ended_early = str(error)
        finally:
            if newest is not None:
                newest.close()

    def _go_back(self) -> None:
        """Seek to before the place or the beginning; where that cannot be, decode from the start."""
        wanted = self.begin if self.place.second < 0 else self.place.second - MEMORY - MARGIN
        if wanted > MARGIN and self.place.orderly:
            self.video.seek(wanted)

    def _count(self, frame: Frame, broken: int, undated: int) -> None:
        place, decoded = self.place, self.video.decoded
        place.frames += 1
        place.second, place.end = frame.second, decoded.end
        place.broken, place.undated = broken + decoded.broken, undated + decoded.undated
        place.interlaced |= decoded.interlaced
        place.even &= decoded.even
        place.orderly &= decoded.orderly

    def _look(self, frame: Frame, batch: Batch) -> None:
        """Look at a frame for shots; add it to the batch where it is to be judged."""
        place = self.place
        thumbnail = frame.small(ROWS, COLUMNS)
        place.boundaries += self._within(self.detector.add(frame.second, thumbnail))
        place.until, place.last = self.detector.decided.until, self.detector.decided.last
        if not self._is_due(frame.second):
            return
        same = self.settings.reuse and place.like is not None and looks_same(place.like, thumbnail)
        batch.seconds.append(frame.second)
        batch.frames.append(self._number())
        if same:
            place.reused += 1
            batch.pixels.append(None)
        else:
            place.judged += 1
            place.like = thumbnail
            pixels = frame.pixels(self.preprocessing.at_least)
            batch.pixels.append(self.preprocessing.fit_pixels(pixels))

    def _number(self) -> int | None:
        """The frame's place among all of the film; None where some were passed over."""
        settings = self.settings
        whole = settings.begin is None and settings.sampling != "keyframes" and not self.video.live
        return self.place.frames - 1 if whole else None

    def _is_due(self, second: float) -> bool:
        """Whether a frame is to be judged; sets when the next one is."""
        place, settings = self.place, self.settings
        if self.detector.suspects and settings.sampling != "keyframes":
            place.opening = second + SETTLED
        opens = place.opening is not None and second >= place.opening - SAME_TIME
        if settings.sampling == "shots":
            if place.due == float("-inf"):
                opens = True
            elif not opens and second < place.due - SAME_TIME:
                return False
            place.gap = FIRST_GAP if opens else 2 * place.gap
            place.due = second + place.gap
            place.opening = None if opens else place.opening
            return True
        if second >= place.due - SAME_TIME:
            # Always a multiple of `every` from the beginning: the grid does not drift with uneven times.
            passed = np.floor((second - self.begin) / settings.every + SAME_TIME) if settings.every else 0
            place.due = self.begin + float(passed + 1) * settings.every if settings.every else second
            place.opening = None
            return True
        if opens:
            place.opening = None
        # A frame of the grid that comes soon will show the new shot as well.
        return opens and place.due - second > SETTLED

    def _within(self, boundaries: Iterable[Boundary]) -> list[Boundary]:
        return [boundary for boundary in boundaries if boundary.second > self.begin + SAME_TIME]

    def _is_full(self, batch: Batch) -> bool:
        if not batch.seconds:
            return False
        return (
            len(batch.fresh) >= self.together
            or len(batch.seconds) >= MOST_SAMPLES
            or self.place.second - batch.seconds[0] >= LONGEST_BATCH
        )

    def _closed(self, batch: Batch) -> Batch:
        self.place.batches += 1
        batch.place = self.place.copy()
        return batch


def looks_same(one: Thumbnail, other: Thumbnail) -> bool:
    """Whether two frames, by their thumbnails, look so much the same that one answer does for both.

    They do where the colours differ by less than `SAME_MEAN` levels on average and by less than `SAME_BLOCK`
    in every block of 4 x 4 pixels of the thumbnail. Of 74 such pairs of frames of three real films, 0.1 to
    0.8 s apart, the default model's answers differed by 0.014 on average and by 0.056 at most, in any one
    probability.
    """
    apart = np.abs(one.astype(np.int16) - other)
    if apart.mean() >= SAME_MEAN:
        return False
    blocks = apart.reshape(ROWS // 4, 4, COLUMNS // 4, 4, 3).mean(axis=(1, 3, 4))
    return bool(blocks.max() < SAME_BLOCK)
