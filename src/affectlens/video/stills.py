"""Single frames of a film, by their seconds."""

from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from affectlens.errors import SettingsError, VideoDamaged
from affectlens.images import Pixels
from affectlens.video.reader import Frame, Video

# Seconds up to which two times are the same.
SAME_TIME = 1e-6
# Seconds from which on seeking is quicker than decoding.
_FAR = 4.0


def frame_at(source: str | Path, second: float, at_least: tuple[int, int] | None = None) -> Pixels:
    """The frame that is on screen at a second: uint8 (3, h, w), as `Frame.pixels` gives it.

    That is the last whose timestamp is not later; before the first frame, the first. After the end, the last.
    Raises `VideoError`.
    """
    return next(pixels for _, pixels in frames_at(source, [second], at_least))


def stills(
    source: str | Path, seconds: Iterable[float], longest: int | None = None
) -> Iterator[tuple[float, Pixels]]:
    """The frames on screen at several seconds, in order of time, for people to look at: (second, pixels).

    As `frames_at`, but with the second that was requested, and with pixels whose longer side has `longest`
    at most. What a damaged film no longer yields is left out. Raises `VideoError` where nothing can be read.
    """
    wanted = sorted(seconds)
    try:
        found = frames_at(source, wanted, longest=longest)
        for second, (_, pixels) in zip(wanted, found, strict=False):
            yield second, pixels
    except VideoDamaged:
        with Video(source):  # raises where it is not only this part
            return


def frames_at(
    source: str | Path,
    seconds: Iterable[float],
    at_least: tuple[int, int] | None = None,
    *,
    longest: int | None = None,
) -> Iterator[tuple[float, Pixels]]:
    """The frames on screen at several seconds, in order of time: (timestamp of the frame, pixels).

    Goes from one to the next by seeking where that is far. Raises `VideoError`, and `SettingsError` for live
    sources, which have no other time than now.
    """
    wanted = sorted(seconds)
    with Video(source) as video:
        if video.live:
            raise SettingsError(f"{video.name} is live: no earlier second of it can be read.")
        index = 0
        while index < len(wanted):
            index = yield from _frames_from(video, wanted, index, at_least, longest)


def _frames_from(
    video: Video, wanted: list[float], index: int, at_least: tuple[int, int] | None, longest: int | None
) -> Generator[tuple[float, Pixels], None, int]:
    """Seek to one second; yield its frame, and those of the next ones that are near."""
    before: Frame | None = None
    sought = index
    for frame in _landing_before(video, wanted[index]):
        while index < len(wanted) and before is not None and frame.second > wanted[index] + SAME_TIME:
            yield before.second, before.pixels(at_least, longest=longest)
            index += 1
        if index == len(wanted) or (index > sought and wanted[index] > frame.second + _FAR):
            return index
        before = frame
    if before is None:
        raise VideoDamaged(video.name, f"no frame can be decoded at second {wanted[index]:g}.")
    for _ in wanted[index:]:
        yield before.second, before.pixels(at_least, longest=longest)
    return len(wanted)


def _landing_before(video: Video, second: float) -> Iterator[Frame]:
    """Decode from a keyframe that is not after a second; earlier again where an index is wrong."""
    for back in (0.0, 2.0, 10.0, 60.0):
        if not video.seek(max(0.0, second - back)):
            break
        frames = video.frames()
        first = next(frames, None)
        if first is not None and (first.second <= second + SAME_TIME or second - back <= 0):
            yield first
            yield from frames
            return
    with Video(video.source) as again:  # nothing to seek by, or no luck: from the beginning
        yield from again.frames()
