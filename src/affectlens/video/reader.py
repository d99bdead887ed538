"""An open film, and its frames with their true times.

Letters: H x W pixels of a frame as shown, h x w as scaled.
"""

import re
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from affectlens.colour import HDR
from affectlens.errors import PictureError, VideoDamaged, VideoUnreachable
from affectlens.images import Animation, Pixels, animation_of, read_frames
from affectlens.machine import usable_cores
from affectlens.video.look import Look, Turn, shown_size, turn_of
from affectlens.video.opening import (
    ADDRESS,
    MAX_FRAME_PIXELS,
    check_frame_size,
    is_live,
    open_container,
    reason_of,
    video_stream,
    without_password,
)

UNKNOWN_RATE = 25  # frames a second, where a film states neither times nor rate
# Seconds that no film exceeds: 10,000 hours, more than a camera sends in a year.
MOST_SECONDS = 10_000 * 3600.0
_TIMECODE = re.compile(r"\d\d:\d\d:\d\d[:;]\d\d\d?")
_BROKEN_IN_A_ROW = 10_000  # packets, after which nothing more is expected


@dataclass(frozen=True, kw_only=True)
class Film:
    """A film as it is shown: upright, with square pixels.

    Attributes:
        name: path or address as given, without a password
        duration: seconds from 0 to the end of the last frame; None of what has no end, as a camera
        width, height: as shown
        frame_rate: frames a second, on average; None where the file does not state it
        variable: whether frames follow one another at uneven times, as far as they were decoded
        rotation: degrees clockwise by which stored frames are turned: 0, 90, 180 or 270
        mirrored: whether stored frames are mirrored left to right, before they are turned
        pixel_aspect: width of a stored pixel by its height
        codec: ffmpeg's name of the picture's coding
        bits: of a stored colour value
        has_sound: whether there is a sound track
        hdr: the transfer curve where it is not that of ordinary films: "PQ" or "HLG"; shown tone mapped
        interlaced: whether frames are made of two fields, as far as they were decoded
        live: a camera or stream that is read as it comes
        timecode: of the first frame, as the file states it, HH:MM:SS:FF; None where it does not
        bars: shares of height and width that black bars take at the top, bottom, left and right; None where
            there are none, or where none were searched
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
    timecode: str | None = None
    bars: tuple[float, float, float, float] | None = None


@dataclass
class Decoded:
    """What came out of a decoder so far.

    `end` is the second at which the last frame ends; `even` whether all frames followed one another at
    the same time; `orderly` whether all had increasing timestamps, so that a frame can be found again.
    """

    frames: int = 0
    broken: int = 0
    undated: int = 0
    dropped: int = 0
    end: float = 0.0
    interlaced: bool = False
    even: bool = True
    orderly: bool = True


class Frame:
    """One decoded frame. It holds the decoder's memory: take what is needed, and let it go.

    Attributes:
        second: its timestamp
        number: in the order shown, from 0; None where frames were passed over before it
        key: whether it is a keyframe
    """

    def __init__(
        self, second: float, number: int | None, key: bool, raw: "av.VideoFrame", look: "Look"
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
    the decoder's, 0 for as many as there are cores. With `keyframes`, all other frames are passed
    over, undecoded. `hardware` is one of `hardware()`; frames that it cannot decode, the CPU does.
    Raises `VideoError` where there is no film to be read, and `SettingsError` for hardware that is not there.
    """

    def __init__(
        self, source: str | Path, *, threads: int = 0, keyframes: bool = False, hardware: str | None = None
    ) -> None:
        self.source, self._keyframes = str(source), keyframes
        self.name = without_password(self.source)
        self.decoded = Decoded()
        self.live = is_live(self.source)
        self._sought = False
        self._last: Fraction | None = None  # the time of the frame before
        self._between: Fraction | None = None  # two frames, at the beginning
        self._shift = Fraction(0)  # added after timestamps went back
        self._looks: dict[Any, Look] = {}
        is_file = not self.live and not ADDRESS.match(self.source)
        animation = animation_of(Path(source)) if is_file else None
        self.of_pictures = animation is not None
        if animation is not None:
            self.film = _film_of_pictures(self.name, animation)
            return
        self.container = open_container(self.source, self.live, hardware)
        # Held while ffmpeg reads or decodes: a container that is closed then takes the process with it.
        self._reading, self._closed = threading.Lock(), threading.Event()
        # Frames from the beginning, of which the first was decoded already: opening needs it.
        self._begun: Iterator[av.VideoFrame] | None = None
        self._first: av.VideoFrame | None = None
        try:
            self.stream = video_stream(self.container, self.name)
            self._prepare(threads)
            if not self.live:
                self._begun = self._raw_frames()
                self._first = next(self._begun, None)
            self.origin = self._find_origin()
            self.film = self._describe()
        except BaseException:
            self.container.close()
            raise

    def __enter__(self) -> "Video":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the film. Frames that are still held stay good.

        Where another thread is reading, it closes it as soon as what it waits for has come.
        """
        if self.of_pictures or self._closed.is_set():
            return
        self._closed.set()
        if self._reading.acquire(blocking=False):
            self._begun = self._first = None
            self.container.close()
            self._reading.release()

    def frames(self) -> Iterator[Frame]:
        """Decode from the beginning, or from where `seek` went; counts go to `decoded`.

        Raises `VideoDamaged` where not a single frame can be decoded, and `VideoUnreachable` where a stream
        breaks off before it gave one.
        """
        if self.of_pictures:
            yield from self._picture_frames()
            return
        for raw in self._frames_from_here():
            second = float(self.time_of(raw))
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
        if self.of_pictures or self.live:
            return False
        try:
            offset = int((second + float(self.origin)) * av.time_base)
            self.container.seek(offset, backward=True)
            self._begun = self._first = None
        except (av.error.FFmpegError, OverflowError):
            return False
        self._sought = True
        self._forget_times()
        return True

    def rewind(self) -> None:
        """Open the film's file once more, for those who need every packet from its beginning."""
        self._begun = self._first = None
        self._forget_times()
        self.container.close()
        self.container = open_container(self.source, self.live, None)
        self.stream = video_stream(self.container, self.name)
        self._prepare(0)

    def _forget_times(self) -> None:
        self._shift, self._last, self._between = Fraction(0), None, None

    # ------------------------------------------------------------------------------------------- opening

    def _prepare(self, threads: int) -> None:
        context = self.stream.codec_context
        context.options = {**context.options, "max_pixels": str(MAX_FRAME_PIXELS)}
        context.thread_count = threads or usable_cores()
        # Threads that work on frames side by side are several times faster, but hold frames back.
        alone = self.live or self._keyframes
        context.thread_type = "SLICE" if alone else "AUTO"
        if self._keyframes:
            context.skip_frame = "NONKEY"
        rate = self.stream.average_rate or self.stream.guessed_rate or self.stream.base_rate
        self._rate = rate if rate and 0 < rate < 1000 else None
        self._step = 1 / Fraction(self._rate or UNKNOWN_RATE)  # how long it lasts

    def _find_origin(self) -> Fraction:
        """The timestamp, in seconds, that players show as 0."""
        # AVI has no such times; ffmpeg's are late by reordered frames.
        if self.container.format.name == "avi" and self._first is not None:
            return (self._first.pts or 0) * (self._first.time_base or Fraction(0))
        start = self.container.start_time
        return Fraction(start, av.time_base) if start is not None else Fraction(0)

    def _describe(self) -> Film:
        stream, context = self.stream, self.stream.codec_context
        turn = turn_of(self._first) if self._first is not None else Turn()
        aspect = float(stream.sample_aspect_ratio or context.sample_aspect_ratio or 1) or 1.0
        height, width = shown_size(context.height, context.width, aspect, turn)
        pixel_format = context.format
        bits = max((c.bits for c in pixel_format.components), default=8) if pixel_format else 8
        return Film(
            name=self.name,
            duration=self._possible_duration(),
            width=width,
            height=height,
            frame_rate=float(self._rate) if self._rate else None,
            rotation=turn.degrees,
            mirrored=turn.mirrored,
            pixel_aspect=aspect,
            codec=context.name,
            bits=bits,
            has_sound=bool(self.container.streams.audio),
            hdr=HDR.get(int(context.color_trc)),
            live=self.live,
            timecode=self._timecode(),
        )

    def _timecode(self) -> str | None:
        """The timecode of the first frame, from the picture track, one of timecode, or the file."""
        tagged: list[Any] = [self.stream, *self.container.streams.data, self.container]
        stated = [each.metadata.get("timecode", "") for each in tagged]
        return next((text for text in stated if _TIMECODE.fullmatch(text)), None)

    def _possible_duration(self) -> float | None:
        """How long the file states that it lasts; None where that is nothing, or more than a film can."""
        stated = None if self.live else self._stated_duration()
        return stated if stated is None or stated <= MOST_SECONDS else None

    def _stated_duration(self) -> float | None:
        stream = self.stream
        if stream.duration and stream.time_base:
            start = (stream.start_time or 0) * stream.time_base
            return float(stream.duration * stream.time_base + start - self.origin)
        return self.container.duration / av.time_base if self.container.duration else None

    # ------------------------------------------------------------------------------------------ decoding

    def _frames_from_here(self) -> Iterator["av.VideoFrame"]:
        """Frames from where the film stands: its beginning, or where `seek` went."""
        begun, first = self._begun, self._first
        self._begun = self._first = None
        if first is not None:
            yield first
        yield from begun if begun is not None else self._raw_frames()

    def _packets(self) -> Generator[list["av.VideoFrame"], None, None]:
        """The frames of each packet in turn, decoded while nothing else uses the container."""
        packets = self.container.demux(self.stream)
        while True:
            with self._reading:
                if self._closed.is_set():
                    return
                try:
                    packet = next(packets, None)
                    frames = None if packet is None else self._decode(packet)
                finally:
                    if self._closed.is_set():
                        self.container.close()
            if frames is None or self._closed.is_set():
                return
            yield frames

    def _raw_frames(self) -> Iterator["av.VideoFrame"]:
        """Demux and decode; go on after what is broken."""
        broken_in_a_row = 0
        while broken_in_a_row < _BROKEN_IN_A_ROW:
            try:
                for decoded in self._packets():
                    for frame in decoded:
                        broken_in_a_row = 0
                        if frame.is_corrupt:
                            self.decoded.broken += 1
                        yield frame
                return
            except (av.error.EOFError, av.error.ExitError, StopIteration):
                return
            except av.error.FFmpegError as error:
                if self.live or ADDRESS.match(self.source):
                    if not self.decoded.frames:
                        raise VideoUnreachable(
                            self.name, f"the stream broke off ({reason_of(error)})."
                        ) from error
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

    def time_of(self, raw: "av.VideoFrame") -> Fraction:
        """The second of the next decoded frame from the film's beginning; always later than the one before.

        Counts frames whose time had to be made up.
        """
        base = raw.time_base or self.stream.time_base
        if self.live and self._last is None and raw.pts is not None and base is not None:
            self.origin = raw.pts * base  # cameras count from when they were switched on, or from 1970
        stamped = None if raw.pts is None or base is None else raw.pts * base - self.origin + self._shift
        expected = Fraction(0) if self._last is None else self._last + self._step
        if stamped is None:
            self.decoded.undated += 1
            self.decoded.orderly = False
        # A clock that was set back, as where films were joined, or a time that is damaged.
        elif stamped > MOST_SECONDS or (self._last is not None and stamped <= self._last):
            self._shift += expected - stamped
            self.decoded.undated += 1
            self.decoded.orderly = False
            stamped = None
        exact = expected if stamped is None else stamped
        if self._last is not None:
            between = exact - self._last
            self._between = self._between or between
            # Matroska rounds to milliseconds, which does not count as uneven.
            if abs(between - self._between) > self._between / 10 + Fraction(1, 900):
                self.decoded.even = False
        lasts = raw.duration * base if raw.duration and base else None
        usual = 1 / Fraction(self._rate) if self._rate else self._step
        self._step = lasts if lasts and lasts <= MOST_SECONDS else usual
        self._last = exact
        return exact

    def _note(self, raw: "av.VideoFrame", second: float) -> None:
        self.decoded.frames += 1
        self.decoded.end = max(self.decoded.end, second + float(self._step))
        self.decoded.interlaced |= bool(raw.interlaced_frame)

    def _look_of(self, raw: "av.VideoFrame") -> "Look":
        """How to show frames of this kind; streams may change it on the way."""
        turn = turn_of(raw)
        key = (raw.width, raw.height, raw.format.name, raw.colorspace, raw.color_range, raw.color_trc, turn)
        if key not in self._looks:
            self._looks[key] = Look(raw, turn, self.film.pixel_aspect)
        return self._looks[key]

    def _picture_frames(self) -> Iterator[Frame]:
        for number, (second, lasts, pixels) in enumerate(_pictures(self.source)):
            self.decoded.frames += 1
            self.decoded.end = second + lasts
            raw = av.VideoFrame.from_ndarray(pixels, "rgb24")
            yield Frame(second, number, True, raw, Look(raw, Turn(), 1.0))


def _pictures(source: str) -> Iterator[tuple[float, float, Pixels]]:
    """Pictures of an animation. Raises `VideoDamaged`, as for any film."""
    try:
        yield from read_frames(Path(source))
    except PictureError as error:
        raise VideoDamaged(source, error.reason) from error


def _film_of_pictures(name: str, animation: Animation) -> Film:
    check_frame_size(name, animation.width, animation.height)
    return Film(
        name=name,
        duration=animation.duration,
        height=animation.height,
        width=animation.width,
        frame_rate=animation.frames / animation.duration if animation.duration else None,
        codec="webp",
    )
