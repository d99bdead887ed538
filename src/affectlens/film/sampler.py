"""Going through a film: every frame is checked for shots, and some are sampled for the model.

All that the sampling depends on is in a `SamplerState`, which is saved now and then, so that a run that was
killed samples the same frames, in the same batches.
"""

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from affectlens.errors import VideoDamaged, VideoUnreachable
from affectlens.film.bars import Bars, find_bars
from affectlens.film.events import WatchRequest
from affectlens.film.shots import (
    COLUMNS,
    MEMORY,
    ROWS,
    Boundary,
    Decided,
    FadeSpan,
    ShotDetector,
    Thumbnail,
)
from affectlens.images import Pixels
from affectlens.inference.engine import Engine
from affectlens.video import SAME_TIME, Frame, NewestFrames, Video

# Seconds after a cut, when compression has recovered, at which a shot is first sampled.
SETTLED = 0.12
# Seconds between the first two sampled frames of a shot with `sampling="shots"`; then twice that, and so on.
FIRST_GAP = 0.5
# Seconds of film after which a batch is closed, full or not.
LONGEST_BATCH = 30.0
# Samples of a batch, including those whose prediction is reused.
MOST_SAMPLES = 64
# Seconds that are decoded before what the shot detector remembers.
MARGIN = 2.0

# Frames look the same if the difference of their thumbnails is less than this on average, and less than that
# in every block of 4 x 4 pixels, a sixteenth of the width; in levels. See `looks_same`.
SAME_MEAN, SAME_BLOCK = 0.5, 3.0

# A frame is black where less than this share of its thumbnail reaches this level in any colour.
BLACK_LEVEL, BLACK_SHARE = 32, 0.01


@dataclass
class SamplerState:
    """How far a film was sampled, and all that the further sampling depends on.

    Attributes:
        second: timestamp of the last frame; what comes after it is new
        frames, broken, undated: counts up to there
        end: second at which the last frame ends
        batches: number of batches that were closed
        due: second from which on the next frame is sampled
        opening: second from which on the first frame of what may be a new shot is sampled
        gap: seconds to the next sampled frame with `sampling="shots"`
        predicted, reused: samples that the model sees, and those whose prediction is that of a frame before
        black: frames that show nothing, see `is_black`
        reference: thumbnail of the last frame that the model sees
        boundaries: where shots begin
        fades: which frames fades dim
        until, last: state of the shot detector
        interlaced, even, orderly: as in `video.Decoded`
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
    predicted: int = 0
    reused: int = 0
    black: int = 0
    reference: Thumbnail | None = None
    boundaries: list[Boundary] = field(default_factory=list)
    fades: list[FadeSpan] = field(default_factory=list)
    until: float = float("-inf")
    last: float = float("-inf")
    interlaced: bool = False
    even: bool = True
    orderly: bool = True

    def copy(self) -> "SamplerState":
        """A copy that further sampling does not change."""
        return replace(self, boundaries=list(self.boundaries), fades=list(self.fades))


@dataclass
class FrameBatch:
    """Samples that are predicted together: second and number of each, and the pixels that the model sees.

    Pixels are None for a frame that looks like the last one before it that the model sees. `state` is the
    sampler's where the batch ends.
    """

    number: int
    seconds: list[float] = field(default_factory=list)
    frames: list[int | None] = field(default_factory=list)
    pixels: list[Pixels | None] = field(default_factory=list)
    state: SamplerState = field(default_factory=SamplerState)

    @property
    def fresh(self) -> list[Pixels]:
        """The pixels that the model sees."""
        return [pixels for pixels in self.pixels if pixels is not None]


class FrameSampler:
    """Goes through a film: checks every frame for shots, and samples those that the model sees."""

    def __init__(self, request: WatchRequest, video: Video, engine: Engine, state: SamplerState) -> None:
        self.request, self.video, self.state = request, video, state
        self.settings = request.settings
        self.preprocessing = engine.card.preprocessing
        self.batch_size = 1 if video.live else engine.at_once(request.batch_size)
        self.detector = ShotDetector(Decided(state.until, state.last))
        self.ended_early: str | None = None
        self.bars = Bars() if video.live else find_bars(request.source, self.begin, self.end)

    def fitted(self, pixels: Pixels) -> Pixels:
        """Bring a frame to the network's size, without black bars: uint8, (H, W, 3) -> (h, w, 3)."""
        return self.preprocessing.fit_pixels(self.bars.cut(pixels))

    @property
    def begin(self) -> float:
        """The second at which watching begins."""
        return self.settings.begin or 0.0

    @property
    def end(self) -> float | None:
        """The second at which watching ends, as far as it is known beforehand."""
        known = [end for end in (self.settings.end, self.video.film.duration) if end is not None]
        return min(known, default=None)

    def batches(self) -> Generator[FrameBatch, None, None]:
        """Yield batches from the state on, each with the state where it ends."""
        batch = FrameBatch(self.state.batches)
        with closing(self._new_frames()) as frames:
            for frame in frames:
                self._check(frame, batch)
                if self._is_full(batch):
                    yield self._closed(batch)
                    batch = FrameBatch(self.state.batches)
        self.state.boundaries += self._within(self.detector.finish())
        self._take_fades()
        yield self._closed(batch)

    def _new_frames(self) -> Generator[Frame, None, None]:
        """Frames of the watched part that were not sampled before."""
        state, video, stop = self.state, self.video, self.request.stop
        newest = NewestFrames(video) if video.live else None
        last = self.settings.end
        try:
            self._seek()
            before = counted = state.broken, state.undated
            for frame in newest or video.frames():
                if stop is not None and stop.is_set():
                    self.ended_early = f"Watching was ended at {max(state.second, 0):.2f} s."
                    return
                if last is not None and frame.second >= last - SAME_TIME:
                    return
                # Frames of the run that was interrupted: only the shot detector needs them again.
                if frame.second <= state.second:
                    self.detector.add(frame.second, frame.small(ROWS, COLUMNS))
                    # What was counted so far was counted then, too.
                    decoded = video.decoded
                    before = counted[0] - decoded.broken, counted[1] - decoded.undated
                elif frame.second >= self.begin - SAME_TIME:
                    self._count(frame, *before)
                    yield frame
        except (VideoDamaged, VideoUnreachable) as error:
            if not state.frames:
                raise
            self.ended_early = str(error)
        finally:
            if newest is not None:
                newest.close()

    def _seek(self) -> None:
        """Seek to before the state or the beginning; where that is impossible, decode from the start."""
        wanted = self.begin if self.state.second < 0 else self.state.second - MEMORY - MARGIN
        if wanted > MARGIN and self.state.orderly:
            self.video.seek(wanted)

    def _count(self, frame: Frame, broken: int, undated: int) -> None:
        state, decoded = self.state, self.video.decoded
        state.frames += 1
        state.second, state.end = frame.second, decoded.end
        state.broken, state.undated = broken + decoded.broken, undated + decoded.undated
        state.interlaced |= decoded.interlaced
        state.even &= decoded.even
        state.orderly &= decoded.orderly

    def _check(self, frame: Frame, batch: FrameBatch) -> None:
        """Check a frame for shots; add it to the batch where it is sampled."""
        state = self.state
        thumbnail = frame.small(ROWS, COLUMNS)
        state.boundaries += self._within(self.detector.add(frame.second, thumbnail))
        self._take_fades()
        state.until, state.last = self.detector.decided.until, self.detector.decided.last
        if is_black(thumbnail):  # the next frame that shows something is sampled instead
            state.black += 1
            return
        if not self._is_due(frame.second):
            return
        reference = state.reference
        batch.seconds.append(frame.second)
        batch.frames.append(self._number())
        if self.settings.reuse and reference is not None and looks_same(reference, thumbnail):
            state.reused += 1
            batch.pixels.append(None)
        else:
            state.predicted += 1
            state.reference = thumbnail
            batch.pixels.append(self.fitted(frame.pixels(self.preprocessing.at_least)))

    def _take_fades(self) -> None:
        self.state.fades += self.detector.fades
        self.detector.fades.clear()

    def _number(self) -> int | None:
        """The frame's number in the complete film; None where some were passed over."""
        settings = self.settings
        complete = settings.begin is None and settings.sampling != "keyframes" and not self.video.live
        return self.state.frames - 1 if complete else None

    def _is_due(self, second: float) -> bool:
        """Whether a frame is sampled; sets when the next one is."""
        state, settings = self.state, self.settings
        if self.detector.suspects and settings.sampling != "keyframes":
            state.opening = second + SETTLED
        opens = state.opening is not None and second >= state.opening - SAME_TIME
        if settings.sampling == "shots":
            return self._is_due_in_shot(second, opens)
        if second >= state.due - SAME_TIME:
            # Always a multiple of `every` from the beginning: the grid does not drift with uneven times.
            passed = np.floor((second - self.begin) / settings.every + SAME_TIME) if settings.every else 0
            state.due = self.begin + float(passed + 1) * settings.every if settings.every else second
            state.opening = None
            return True
        if opens:
            state.opening = None
        # A frame of the grid that comes soon will show the new shot as well.
        return opens and state.due - second > SETTLED

    def _is_due_in_shot(self, second: float, opens: bool) -> bool:
        """The same with `sampling="shots"`; `opens` where the frame may be the first of a shot."""
        state = self.state
        if state.due == float("-inf"):
            opens = True
        elif not opens and second < state.due - SAME_TIME:
            return False
        state.gap = FIRST_GAP if opens else 2 * state.gap
        state.due = second + state.gap
        state.opening = None if opens else state.opening
        return True

    def _within(self, boundaries: Iterable[Boundary]) -> list[Boundary]:
        return [boundary for boundary in boundaries if boundary.second > self.begin + SAME_TIME]

    def _is_full(self, batch: FrameBatch) -> bool:
        if not batch.seconds:
            return False
        return (
            len(batch.fresh) >= self.batch_size
            or len(batch.seconds) >= MOST_SAMPLES
            or self.state.second - batch.seconds[0] >= LONGEST_BATCH
        )

    def _closed(self, batch: FrameBatch) -> FrameBatch:
        self.state.batches += 1
        batch.state = self.state.copy()
        return batch


def is_black(thumbnail: Thumbnail) -> bool:
    """Whether a frame shows nothing: of a fade, or between parts of a film. A model finds fear in it."""
    return bool((thumbnail.max(axis=2) >= BLACK_LEVEL).mean() < BLACK_SHARE)


def looks_same(one: Thumbnail, other: Thumbnail) -> bool:
    """Whether two frames, by their thumbnails, look so much the same that one prediction does for both.

    They do where the difference of colours is less than `SAME_MEAN` levels on average and less than
    `SAME_BLOCK` in every block of 4 x 4 pixels of the thumbnail. For 74 such pairs of frames of three real
    films, 0.1 to 0.8 s apart, the default model's predictions differed by 0.014 on average and by 0.056 at
    most, in any one probability.
    """
    apart = np.abs(one.astype(np.int16) - other)
    if apart.mean() >= SAME_MEAN:
        return False
    blocks = apart.reshape(ROWS // 4, 4, COLUMNS // 4, 4, 3).mean(axis=(1, 3, 4))
    return bool(blocks.max() < SAME_BLOCK)
