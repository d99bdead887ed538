"""Film -> frames with their true times: upright, square pixels, sRGB. The only file that imports PyAV.

What a film looks like is decided once, here:

    time            the frame's own timestamp, less that of the film's beginning, as players show it. A frame
                    without one follows the frame before by its duration; so does one whose timestamp goes
                    back
    turning         the display matrix is applied: 90, 180, 270 degrees, mirrored
    pixel shape     oblong pixels are made square, by widening
    colour          limited or full range as stated; where the matrix is not stated, that of HD from 720 lines
                    on, else that of SD, as players do
    PQ, HLG (HDR)   tone mapped to sRGB for a screen of 203 cd/m2, see `_as_sdr`
    transparency    laid on white, as `images` does
    two fields      shown as they are stored, interwoven; `Film.interlaced` says so

Frames come one after the other and are scaled as they come, so that memory does not grow with the film's
length and hardly with its size. A packet that cannot be decoded is counted, and decoding goes on.

Letters: H x W pixels of a frame as shown, h x w as scaled.
"""

import os
import re
import stat
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import av
import av.error
import numpy as np
import torch
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from affectlens.errors import (
    NotAVideo,
    PictureError,
    SettingsError,
    VideoDamaged,
    VideoDenied,
    VideoError,
    VideoNotFound,
    VideoUnreachable,
)
from affectlens.images import Pixels, is_animated_webp, read_frames

# Of the suffixes that films have; what a file is, its content decides.
FILM_SUFFIXES = frozenset({
    ".3gp", ".apng", ".asf", ".avi", ".flv", ".gif", ".h264", ".hevc", ".ivf", ".m2ts", ".m2v", ".m4v",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".webp", ".wmv",
    ".y4m",
})  # fmt: skip

OPEN_SECONDS, READ_SECONDS = 15.0, 15.0  # that an address may keep us waiting
HD_LINES, HD_COLUMNS = 720, 1280  # from either on, colours are BT.709 where a film does not say
SAME_TIME = 1e-6  # seconds by which two times are the same
UNKNOWN_RATE = 25.0  # frames a second, where a film states neither times nor rate
_BROKEN_IN_A_ROW = 10_000  # packets, after which nothing more is expected
_LIVE = re.compile(
    r"(?i)(rtsps?|rtmps?|rtp|srt|udp|tcp|rist|mms)://|/dev/|v4l2:|avfoundation:|dshow:|gdigrab:|x11grab:"
)
_ADDRESS = re.compile(r"(?i)([a-z][a-z0-9+.-]+)://")
_PICTURES = re.compile(r"image2|.*_pipe$|ico")  # ffmpeg's formats for single pictures
_UNSPECIFIED, _PQ, _HLG = 2, 16, 18  # of ITU-T H.273: matrix and transfer, PQ, HLG
_HDR = {_PQ: "PQ", _HLG: "HLG"}


@dataclass(frozen=True, kw_only=True)
class Film:
    """A film as it is shown: upright, with square pixels.

    Attributes:
        name: path or address as given, without a password
        duration: seconds from 0 to the end of the last frame; None of what has no end, as a camera
        width, height: as shown
        frame_rate: frames a second, on average; None where the file does not say
        variable: whether frames follow one another at uneven times, as far as they were looked at
        rotation: degrees clockwise by which stored frames are turned: 0, 90, 180 or 270
        mirrored: whether stored frames are mirrored left to right, before they are turned
        pixel_aspect: width of a stored pixel by its height
        codec: ffmpeg's name of the picture's coding
        bits: of a stored colour value
        has_sound: whether there is a sound track
        hdr: the transfer curve where it is not that of ordinary films: "PQ" or "HLG"; shown tone mapped
        interlaced: whether frames are made of two fields, as far as they were looked at
        live: a camera or stream that is read as it comes
    """

    name: str
    duration: float | None
    width: int
    height: int
    frame_rate: float | None
    variable: bool = False
    rotation: int = 0
    mirrored: bool = False
    pixel_aspect: float = 1.0
    codec: str = ""
    bits: int = 8
    has_sound: bool = False
    hdr: str | None = None
    interlaced: bool = False
    live: bool = False


@dataclass
class Decoded:
    """What came out of a decoder so far.

    `end` is the second at which the last frame ends; `even` whether all frames followed one another at
    the same time; `orderly` whether all had timestamps that went on, so that a place can be found again.
    """

    frames: int = 0
    broken: int = 0
    undated: int = 0
    dropped: int = 0
    end: float = 0.0
    interlaced: bool = False
    even: bool = True
    orderly: bool = True


class Turn(NamedTuple):
    """How stored frames become upright: mirrored left to right or not, then turned clockwise."""

    degrees: int = 0
    mirrored: bool = False

    @property
    def on_its_side(self) -> bool:
        """Whether height and width change places."""
        return self.degrees in (90, 270)


class Frame:
    """One decoded frame. It holds the decoder's memory: take what is needed, and let it go.

    Attributes:
        second: its timestamp
        number: in the order shown, from 0; None where frames were passed over before it
        key: whether it is stored whole
    """

    def __init__(
        self, second: float, number: int | None, key: bool, raw: "av.VideoFrame", look: "_Look"
    ) -> None:
        self.second, self.number, self.key = second, number, key
        self._raw, self._look = raw, look

    def small(self, height: int, width: int) -> NDArray[np.uint8]:
        """A thumbnail to compare frames by: uint8 (height, width, 3), neither turned nor tone mapped.

        Quick: a tenth of a millisecond for a frame of 854 x 480. Each pixel is the mean of 2 x 2 that were
        interpolated, so that fine noise does not count.
        """
        twice = self._look.thumbnail(self._raw, 2 * height, 2 * width)
        four = twice[0::2, 0::2].astype(np.uint16) + twice[1::2, 0::2] + twice[0::2, 1::2] + twice[1::2, 1::2]
        return (four // 4).astype(np.uint8)

    def pixels(self, at_least: tuple[int, int] | None = None, *, longest: int | None = None) -> Pixels:
        """The frame as people see it: uint8 (3, h, w), upright sRGB with square pixels.

        With `at_least`, (height, width), it is shrunk to no less than twice that on both sides, as
        `images.read_pixels` does it; with `longest`, to a longer side of that many pixels. It is never
        enlarged; without either, it has its full size.
        """
        return self._look.pixels(self._raw, at_least, longest)


class Video:
    """An open film, as a context manager.

    `source` is a file, an address (`https://...`, `rtsp://...`) or a camera (`/dev/video0`). `threads` are
    the decoder's, 0 for as many as there are cores. With `keyframes`, frames that are not stored whole are
    passed over, undecoded. `hardware` is one of `hardware()`; frames that it cannot decode, the CPU does.
    Raises `VideoError` where there is no film to be read, and `SettingsError` for hardware that is not there.
    """

    def __init__(
        self, source: str | Path, *, threads: int = 0, keyframes: bool = False, hardware: str | None = None
    ) -> None:
        self._source, self._keyframes = str(source), keyframes
        self.name = without_password(self._source)
        self.decoded = Decoded()
        self.live = is_live(self._source)
        self._sought = False
        self._last: Fraction | None = None  # the time of the frame before
        self._between: Fraction | None = None  # two frames, at the beginning
        self._shift = Fraction(0)  # added after timestamps went back
        self._looks: dict[Any, _Look] = {}
        self._of_pictures = (
            not self.live and not _ADDRESS.match(self._source) and is_animated_webp(Path(source))
        )
        if self._of_pictures:
            self.film = _film_of_pictures(self.name, self._source)
            return
        self._container = _open(self._source, self.live, hardware)
        try:
            self._stream = _video_stream(self._container, self.name)
            self._prepare(threads)
            self._origin = self._find_origin()
            self.film = self._describe()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "Video":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the film. Frames that are still held stay good."""
        if not self._of_pictures:
            self._container.close()

    def frames(self) -> Iterator[Frame]:
        """Decode from the beginning, or from where `seek` went; counts go to `decoded`.

        Raises `VideoDamaged` where not a single frame can be decoded, and `VideoUnreachable` where a stream
        breaks off before it gave one.
        """
        if self._of_pictures:
            yield from self._picture_frames()
            return
        for raw in self._raw_frames():
            second = self._second(raw)
            number = None if self._keyframes or self._sought else self.decoded.frames
            self._note(raw, second)
            yield Frame(second, number, bool(raw.key_frame), raw, self._look_of(raw))
        if not self.decoded.frames and not self._sought:
            raise VideoDamaged(
                self.name,
                f"not one frame could be decoded; {self.decoded.broken:,} packets are broken. "
                "Copy or download it again.",
            )

    def seek(self, second: float) -> bool:
        """Go to a keyframe at or before a second; False where this film cannot, and nothing has changed.

        Frames after that have no number.
        """
        if self._of_pictures or self.live:
            return False
        try:
            offset = int((second + float(self._origin)) * av.time_base)
            self._container.seek(offset, backward=True)
        except (av.error.FFmpegError, OverflowError):
            return False
        self._sought, self._shift, self._last, self._between = True, Fraction(0), None, None
        return True

    # ------------------------------------------------------------------------------------------- opening

    def _prepare(self, threads: int) -> None:
        context = self._stream.codec_context
        context.thread_count = threads or os.cpu_count() or 1
        # Threads that work on frames side by side are several times faster, but hold frames back.
        alone = self.live or self._keyframes
        context.thread_type = "SLICE" if alone else "AUTO"
        if self._keyframes:
            context.skip_frame = "NONKEY"
        rate = self._stream.average_rate or self._stream.guessed_rate or self._stream.base_rate
        self._rate = rate if rate and 0 < rate < 1000 else None
        self._step = 1 / Fraction(self._rate or UNKNOWN_RATE)  # how long it lasts

    def _find_origin(self) -> Fraction:
        """The timestamp, in seconds, that players show as 0."""
        if (
            self._container.format.name == "avi"
        ):  # it has no such times; ffmpeg's are late by reordered frames
            with (
                suppress(VideoError, av.error.FFmpegError),
                closing(_open(self._source, False, None)) as container,
            ):
                for frame in container.decode(video=0):
                    return (frame.pts or 0) * (frame.time_base or Fraction(0))
        start = self._container.start_time
        return Fraction(start, av.time_base) if start is not None else Fraction(0)

    def _describe(self) -> Film:
        stream, context = self._stream, self._stream.codec_context
        first = None if self.live else _first_frame(self._source)
        turn = _turn_of(first) if first is not None else Turn()
        aspect = float(stream.sample_aspect_ratio or context.sample_aspect_ratio or 1) or 1.0
        height, width = _shown_size(context.height, context.width, aspect, turn)
        pixel_format = context.format
        bits = max((c.bits for c in pixel_format.components), default=8) if pixel_format else 8
        return Film(
            name=self.name,
            duration=self._stated_duration(),
            width=width,
            height=height,
            frame_rate=float(self._rate) if self._rate else None,
            rotation=turn.degrees,
            mirrored=turn.mirrored,
            pixel_aspect=aspect,
            codec=context.name,
            bits=bits,
            has_sound=bool(self._container.streams.audio),
            hdr=_HDR.get(int(context.color_trc)),
            live=self.live,
        )

    def _stated_duration(self) -> float | None:
        if self.live:
            return None
        stream = self._stream
        if stream.duration and stream.time_base:
            start = (stream.start_time or 0) * stream.time_base
            return float(stream.duration * stream.time_base + start - self._origin)
        return self._container.duration / av.time_base if self._container.duration else None

    # ------------------------------------------------------------------------------------------ decoding

    def _raw_frames(self) -> Iterator["av.VideoFrame"]:
        """Demux and decode; go on after what is broken."""
        broken_in_a_row = 0
        while broken_in_a_row < _BROKEN_IN_A_ROW:
            try:
                for packet in self._container.demux(self._stream):
                    for frame in self._decode(packet):
                        broken_in_a_row = 0
                        if frame.is_corrupt:
                            self.decoded.broken += 1
                        yield frame
                return
            except (av.error.EOFError, av.error.ExitError, StopIteration):
                return
            except av.error.FFmpegError as error:
                if self.live or _ADDRESS.match(self._source):
                    if not self.decoded.frames:
                        raise VideoUnreachable(self.name, f"the stream broke off ({_why(error)}).") from error
                    return
                self.decoded.broken += 1
                broken_in_a_row += 1

    def _decode(self, packet: "av.Packet[Any]") -> list["av.VideoFrame"]:
        try:
            return packet.decode()
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self.decoded.broken += 1
            return []

    def _second(self, raw: "av.VideoFrame") -> float:
        """A frame's time from the film's beginning. Counts frames whose time had to be made up."""
        base = raw.time_base or self._stream.time_base
        if self.live and self._last is None and raw.pts is not None and base is not None:
            self._origin = raw.pts * base  # cameras count from when they were switched on, or from 1970
        stamped = None if raw.pts is None or base is None else raw.pts * base - self._origin + self._shift
        expected = Fraction(0) if self._last is None else self._last + self._step
        if stamped is None:
            self.decoded.undated += 1
            self.decoded.orderly = False
        elif (
            self._last is not None and stamped <= self._last
        ):  # a clock that was set back, as where films were joined
            self._shift += expected - stamped
            self.decoded.undated += 1
            self.decoded.orderly = False
            stamped = None
        exact = expected if stamped is None else stamped
        if self._last is not None:
            between = exact - self._last
            self._between = self._between or between
            # Matroska rounds to milliseconds, which is no unevenness.
            if abs(between - self._between) > self._between / 10 + Fraction(1, 900):
                self.decoded.even = False
        lasts = raw.duration * base if raw.duration and base else None
        self._step = lasts if lasts else (1 / Fraction(self._rate) if self._rate else self._step)
        self._last = exact
        return float(exact)

    def _note(self, raw: "av.VideoFrame", second: float) -> None:
        self.decoded.frames += 1
        self.decoded.end = max(self.decoded.end, second + float(self._step))
        self.decoded.interlaced |= bool(raw.interlaced_frame)

    def _look_of(self, raw: "av.VideoFrame") -> "_Look":
        """How to show frames of this kind; streams may change it on the way."""
        turn = _turn_of(raw)
        key = (raw.width, raw.height, raw.format.name, raw.colorspace, raw.color_range, raw.color_trc, turn)
        if key not in self._looks:
            self._looks[key] = _Look(raw, turn, self.film.pixel_aspect)
        return self._looks[key]

    def _picture_frames(self) -> Iterator[Frame]:
        for number, (second, lasts, pixels) in enumerate(_pictures(self._source)):
            self.decoded.frames += 1
            self.decoded.end = second + lasts
            array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
            raw = av.VideoFrame.from_ndarray(array, "rgb24")
            yield Frame(second, number, True, raw, _Look(raw, Turn(), 1.0))


class NewestFrames:
    """A live source's frames, always the newest: what came meanwhile is dropped and counted.

    A thread reads and decodes as fast as frames come, so that none is older than it takes to decode one,
    however slow its user is. Iterate over it; it ends with the source, or after `close`. `size` is that of
    the thumbnail which is taken of every frame in the thread.
    """

    def __init__(self, video: Video) -> None:
        self.video = video
        self._newest: Frame | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="newest-frames", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._changed:
                while self._newest is None and not self._ended:
                    # With a limit, or an interrupt from the keyboard would wait for the next frame.
                    self._changed.wait(0.2)
                frame, self._newest = self._newest, None
                if frame is None:
                    if self._error is not None:
                        raise self._error
                    return
            yield frame

    def close(self) -> None:
        """Stop reading, and wait for the thread, which a dead source keeps for `READ_SECONDS` at most."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(READ_SECONDS + 1)

    def _read(self) -> None:
        try:
            for frame in self.video.frames():
                with self._changed:
                    if self._ended:
                        return
                    self.video.decoded.dropped += self._newest is not None
                    self._newest = frame
                    self._changed.notify_all()
        except BaseException as error:  # raised where the frames are used
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()


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

    As `frames_at`, but with the second that was asked for, and with pixels whose longer side has `longest`
    at most. What a damaged film no longer gives is left out. Raises `VideoError` where nothing can be read.
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
            raise SettingsError(f"{video.name} is live: there is no going back to a second of it.")
        place = 0
        while place < len(wanted):
            place = yield from _frames_from(video, wanted, place, at_least, longest)


_FAR = 4.0  # seconds that are rather sought than decoded


def _frames_from(
    video: Video, wanted: list[float], place: int, at_least: tuple[int, int] | None, longest: int | None
) -> Generator[tuple[float, Pixels], None, int]:
    """Seek to one second; yield its frame, and those of the next ones that are near."""
    before: Frame | None = None
    sought = place
    for frame in _landing_before(video, wanted[place]):
        while place < len(wanted) and before is not None and frame.second > wanted[place] + SAME_TIME:
            yield before.second, before.pixels(at_least, longest=longest)
            place += 1
        if place == len(wanted) or (place > sought and wanted[place] > frame.second + _FAR):
            return place
        before = frame
    if before is None:
        raise VideoDamaged(video.name, f"no frame can be decoded at second {wanted[place]:g}.")
    for _ in wanted[place:]:
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
    with Video(video._source) as again:  # nothing to seek by, or no luck: from the beginning
        yield from again.frames()


def hardware() -> list[str]:
    """Names of the decoding hardware that this PyAV was built for; whether it is here, opening tells."""
    return list(hwdevices_available())


def is_live(source: str) -> bool:
    """Whether an address is of a camera or a stream that is read as it comes.

    >>> is_live("rtsp://camera/1"), is_live("/dev/video0"), is_live("https://host/film.mp4")
    (True, True, False)
    """
    return bool(_LIVE.match(source))


def without_password(source: str) -> str:
    """An address as it may be shown and stored.

    >>> without_password("rtsp://me:secret@camera/1")
    'rtsp://me:***@camera/1'
    """
    return re.sub(r"(?i)^([a-z][a-z0-9+.-]*://[^/@:]*):[^/@]*@", r"\1:***@", source)


# ------------------------------------------------------------------------------------------------- looks


class _Look:
    """How frames of one kind become pictures: what is found out once for all of them."""

    def __init__(self, raw: "av.VideoFrame", turn: Turn, aspect: float) -> None:
        self.turn, self.transfer = turn, int(raw.color_trc)
        self.height, self.width = _shown_size(raw.height, raw.width, aspect, Turn())  # before it is turned
        self.has_alpha = any(component.is_alpha for component in raw.format.components)
        hd = raw.height >= HD_LINES or raw.width >= HD_COLUMNS
        # What PyAV takes for None is SD whatever the size; and RGB has no such matrix.
        self.matrix = Colorspace.ITU709 if raw.colorspace == _UNSPECIFIED and hd else None
        self._small, self._large = VideoReformatter(), VideoReformatter()

    def thumbnail(self, raw: "av.VideoFrame", height: int, width: int) -> NDArray[np.uint8]:
        made = self._small.reformat(
            raw, width, height, "rgb24", src_colorspace=self.matrix,
            interpolation=Interpolation.FAST_BILINEAR, threads=1,
        )  # fmt: skip
        return made.to_ndarray()  # type: ignore[return-value]

    def pixels(self, raw: "av.VideoFrame", at_least: tuple[int, int] | None, longest: int | None) -> Pixels:
        height, width = self._size(at_least, longest)
        hdr = self.transfer in _HDR
        kind = "rgb48le" if hdr else "rgba" if self.has_alpha else "rgb24"
        made = self._large.reformat(
            raw, width, height, kind, src_colorspace=self.matrix,
            interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
            threads=1,
        )  # fmt: skip
        array: NDArray[Any] = made.to_ndarray()
        if hdr:
            array = _as_sdr(array, self.transfer)
        elif self.has_alpha:
            array = _on_white(array)
        if self.turn.mirrored:
            array = array[:, ::-1]
        array = np.rot90(array, -self.turn.degrees // 90)
        return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)

    def _size(self, at_least: tuple[int, int] | None, longest: int | None) -> tuple[int, int]:
        """Height and width of the picture before it is turned."""
        scale = 1.0
        if at_least is not None:
            needed = tuple(reversed(at_least)) if self.turn.on_its_side else at_least
            scale = min(scale, 2 * max(needed[0] / self.height, needed[1] / self.width))
        if longest is not None:
            scale = min(scale, longest / max(self.height, self.width))
        return max(1, round(self.height * scale)), max(1, round(self.width * scale))


def _shown_size(height: int, width: int, aspect: float, turn: Turn) -> tuple[int, int]:
    """(H, W) upright, with square pixels: a pixel's shorter side is stretched, so that nothing is lost."""
    if aspect >= 1:
        width = max(1, round(width * aspect))
    else:
        height = max(1, round(height / aspect))
    return (width, height) if turn.on_its_side else (height, width)


def _turn_of(raw: "av.VideoFrame") -> Turn:
    """Read the display matrix: nine numbers, row by row; the first two of the first two rows turn."""
    for data in _side_data(raw):
        if data.type == SideDataType.DISPLAYMATRIX:
            a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].astype(float)
            mirrored = a * d - b * c < 0
            if mirrored:  # undo the mirroring, which is applied to the stored frame first
                a, b = -a, -b
            degrees = round(np.degrees(np.arctan2(b, a)) / 90) % 4 * 90
            return Turn(int(degrees), bool(mirrored))
    return Turn()


def _side_data(raw: "av.VideoFrame") -> Iterator[Any]:
    held: Any = raw.side_data
    for place in range(len(held)):
        yield held[place]


def _on_white(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 4) with opacity -> (h, w, 3) on a white page."""
    opacity = array[..., 3:].astype(np.float32) / 255
    return (array[..., :3] * opacity + 255 * (1 - opacity)).round().astype(np.uint8)


# --------------------------------------------------------------------------------------------------- HDR

WHITE = 203.0  # cd/m2 of a white page in HDR films, and of the screen that they are shown on here (BT.2408)
PEAK = (
    1000.0  # cd/m2 that films are taken to be mastered for: the greatest that most screens and graders have
)
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


def _as_sdr(array: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
    """Tone map PQ or HLG to sRGB: uint16 (h, w, 3) -> uint8 (h, w, 3).

    Transfer curves: ITU-R BT.2100. Brightness: the curve of ITU-R BT.2390 (section 5.4), from `PEAK` to
    `WHITE` cd/m2, applied to the greatest of red, green and blue, so that no colour changes its hue. Colours:
    BT.2087, and those that sRGB does not have are cut off.
    """
    table = _light_of(transfer)
    light = table[array >> 4]  # (h, w, 3), cd/m2
    if transfer == _HLG:  # what the screen adds: a power of the scene's luminance, 1.2 for 1000 cd/m2
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
        light = light * (np.maximum(luminance, 1e-6) / PEAK)[..., None] ** np.float32(0.2)
    brightest = light.max(axis=2, keepdims=True)
    mapped = _from_pq(_compressed(_to_pq(np.minimum(brightest, PEAK))))
    light = light * (mapped / np.maximum(brightest, 1e-6))
    linear = np.clip(light @ _BT2020_TO_BT709.T / WHITE, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (shown * 255).round().astype(np.uint8)  # type: ignore[no-any-return]


@lru_cache(maxsize=2)
def _light_of(transfer: int) -> NDArray[np.float32]:
    """Light, in cd/m2, of each of 4096 stored values; of HLG, before what the screen adds."""
    stored = np.linspace(0, 1, 4096)
    if transfer == _PQ:
        return _from_pq(stored).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(stored <= 0.5, stored**2 / 3, (np.exp((stored - c) / a) + b) / 12)
    return (scene * PEAK).astype(np.float32)


def _to_pq(light: NDArray[Any]) -> NDArray[Any]:
    power = (np.maximum(light, 0) / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2  # type: ignore[no-any-return]


def _from_pq(stored: NDArray[Any]) -> NDArray[Any]:
    power = stored ** (1 / _M2)
    return 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _compressed(stored: NDArray[Any]) -> NDArray[Any]:
    """BT.2390's curve on PQ values: the same up to a knee, then a spline that ends at the screen's white."""
    source, target = float(_to_pq(np.array(PEAK))), float(_to_pq(np.array(WHITE)))
    value, top = stored / source, target / source
    knee = 1.5 * top - 0.5
    t = np.clip((value - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * top
    )
    return np.where(value < knee, value, spline) * source


# ----------------------------------------------------------------------------------------------- opening


def _open(source: str, live: bool, hardware_name: str | None) -> "av.container.InputContainer":
    options = {"fflags": "nobuffer", "rtsp_transport": "tcp"} if live else {}
    accelerator = None
    if hardware_name is not None:
        if hardware_name not in hwdevices_available():
            known = ", ".join(hwdevices_available()) or "none"
            raise SettingsError(f"{hardware_name!r} is no decoding hardware of this PyAV. Known: {known}.")
        accelerator = HWAccel(hardware_name, allow_software_fallback=True)
    is_address = bool(_ADDRESS.match(source))
    kind = "v4l2" if source.startswith("/dev/") else None
    if not is_address and not live:
        _refuse_what_is_no_file(source)
    name = without_password(source)
    try:
        return av.open(
            source,
            format=kind,
            options=options,
            timeout=(OPEN_SECONDS, READ_SECONDS) if is_address or live else None,
            hwaccel=accelerator,
        )
    except (av.error.FFmpegError, OSError, NotImplementedError, ValueError, RuntimeError) as error:
        raise _said(name, error, is_address or live, hardware_name) from error


def _said(name: str, error: Exception, remote: bool, hardware_name: str | None) -> Exception:
    """Our error for one of ffmpeg's."""
    why = _why(error)
    if hardware_name is not None and isinstance(error, (NotImplementedError, RuntimeError, ValueError)):
        return SettingsError(f"{name} cannot be decoded by {hardware_name} here: {why}. Leave it out.")
    if isinstance(error, (av.error.FileNotFoundError, FileNotFoundError)):
        return VideoNotFound(name, "nothing can be found at this path. Check its spelling.")
    if isinstance(error, (av.error.PermissionError, PermissionError)):
        return VideoDenied(name, "it may not be read. Change its rights, or those of the user.")
    if remote:
        return VideoUnreachable(name, f"it cannot be opened ({why}). Check the address, and that it is on.")
    if "moov" in why.lower():
        return VideoDamaged(name, f"it was cut off or never finished ({why}).")
    return NotAVideo(name, f"no film that can be read here ({why}). Check that it is one, and whole.")


def _refuse_what_is_no_file(source: str) -> None:
    path = Path(source)
    try:
        status = path.stat()
    except PermissionError as error:
        raise VideoDenied(source, "no permission to look at it. Change the rights of its folder.") from error
    except (OSError, ValueError) as error:
        raise VideoNotFound(
            source, f"nothing can be found at this path ({_why(error)}). Check its spelling."
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise NotAVideo(source, "this is a folder. Expected a film.")
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise VideoDamaged(source, "the file is empty: zero bytes. Copy or download it again.")


def _why(error: BaseException) -> str:
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    log = getattr(error, "log", None)
    if log and log[1]:
        words = f"{words}; {log[1][2].strip()}" if isinstance(log[1], tuple) and len(log[1]) > 2 else words
    return str(words)


def _video_stream(container: "av.container.InputContainer", name: str) -> "av.video.stream.VideoStream":
    """The picture track: the best by ffmpeg's rules, but never the cover of a record."""
    if _PICTURES.fullmatch(container.format.name):
        raise NotAVideo(name, "this is a picture and no film. Use `affectlens predict`.")
    films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not films:
        kinds = sorted({stream.type for stream in container.streams})
        if not kinds:
            raise VideoDamaged(name, "it was cut off or never finished: there is no track in it.")
        sound = "only sound" if "audio" in kinds else "no picture track"
        raise NotAVideo(name, f"there is {sound} in it: {', '.join(kinds)}. Expected a film.")
    best = container.streams.best("video")
    chosen = best if best in films else max(films, key=lambda s: s.width * s.height)
    if not chosen.codec_context:
        raise NotAVideo(name, "its picture track is coded in a way that is not known here.")
    return chosen


def _first_frame(source: str) -> "av.VideoFrame | None":
    """The first frame, which carries the display matrix. None where it cannot be decoded."""
    with suppress(av.error.FFmpegError, OSError), av.open(source) as container:
        stream = _video_stream(container, source)
        for packet in container.demux(stream):
            with suppress(av.error.FFmpegError):
                for frame in packet.decode():
                    return frame
    return None


def _pictures(source: str) -> Iterator[tuple[float, float, Pixels]]:
    """Pictures of an animation; what is wrong with it is said as of any film."""
    try:
        yield from read_frames(Path(source))
    except PictureError as error:
        raise VideoDamaged(source, error.reason) from error


def _film_of_pictures(name: str, source: str) -> Film:
    duration, count, size = 0.0, 0, (0, 0)
    for second, lasts, pixels in _pictures(source):
        duration, count, size = second + lasts, count + 1, (pixels.shape[1], pixels.shape[2])
    rate = count / duration if duration else None
    return Film(name=name, duration=duration, height=size[0], width=size[1], frame_rate=rate, codec="webp")
