"""A film, written again with something drawn over its pictures.

What is not drawn stays as it is: packets of sound and subtitles are copied byte by byte, every frame keeps
its own time, stored frames keep their turning, pixel shape and colour tags, chapters and titles stay. Where
times go back, as in recordings that were joined, all goes on from there, and frames without a time get one.
The pictures are coded anew, as H.264 by x264 at a quality at which the difference is hardly seen, from 8 or
10 bits to as many.

The film is written to a temporary file, which gets its name when all is written: a killed run leaves nothing
that looks finished.

A container that has no time before 0 (Matroska) shows all of a film later where its sound begins before its
pictures, by some hundredths of a second; what belongs together stays together.

Letters: H x W pixels of a drawing, as people see it: upright, square pixels.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, NamedTuple

import av
import av.error
import av.filter
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from numpy.typing import NDArray

from affectlens.errors import NotAVideo, OutputError, VideoDamaged
from affectlens.files import atomic_write
from affectlens.video.opening import reason_of
from affectlens.video.reader import Film, Video

QUALITY = 18  # x264's constant rate factor; its makers call 17 to 18 visually lossless
SAME_CONTAINER = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
OTHER_CONTAINER = ".mkv"  # takes nearly every kind of sound
_EVEN_CHROMA = "yuv420p"
_KEPT = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")


class Drawing(NamedTuple):
    """What lies over the film from a moment on.

    Attributes:
        second: when it begins; it ends where the next begins
        picture: uint8 (H, W, 4): red, green, blue, and opacity from 0 to 255
        left, top: where it lies on the film as shown, in pixels from its left and upper edge
    """

    second: float
    picture: NDArray[np.uint8]
    left: int
    top: int


@dataclass(frozen=True, kw_only=True)
class Written:
    """How far the writing has come: seconds of the film, and frames."""

    second: float
    frames: int


def suffix_for(source: Path) -> str:
    """The suffix of a film written from another: its own where that can hold H.264, else that of Matroska.

    >>> suffix_for(Path("a.MOV")), suffix_for(Path("a.webm"))
    ('.mov', '.mkv')
    """
    suffix = source.suffix.lower()
    return suffix if suffix in SAME_CONTAINER else OTHER_CONTAINER


def write_film(
    file: Path, source: Path | str, draw: Callable[[Film], Iterator[Drawing]]
) -> Generator[Written, None, None]:
    """Write `source` to `file` with what `draw` gives for it, in the order of time; yield how far it is.

    All drawings have one size. The suffix of `file` is one of `SAME_CONTAINER`. The file is there when the
    iteration has ended; stopping it before leaves nothing. Raises `VideoError` where the film cannot be
    read, and `OutputError` where it cannot be written.
    """
    if file.suffix.lower() not in SAME_CONTAINER:
        raise OutputError(f"{file}: films are written as {', '.join(SAME_CONTAINER)}. Choose such a suffix.")
    if "libx264" not in av.codecs_available:
        raise OutputError(
            f"{file} cannot be written: this PyAV has no x264. Install PyAV from PyPI: pip install av."
        )
    with Video(source) as video:
        if video.of_pictures or video.live:
            raise NotAVideo(
                video.name, "an animation or a live source is not written again. Give a film's file."
            )
        if file.exists() and Path(source).exists() and file.samefile(source):
            raise OutputError(f"{file} is the film itself. Name another file.")
        video.rewind()
        with atomic_write(file) as out:
            disk: Any = _Disk(out)
            try:
                with av.open(disk, "w", format=SAME_CONTAINER[file.suffix.lower()]) as container:
                    yield from _Copy(video, container, draw(video.film)).run()
            except av.error.FFmpegError as error:
                if disk.error is not None:
                    raise disk.error from None
                # Other films can be written all the same.
                reason = f"it cannot be written again with a drawing over it ({reason_of(error)})."
                raise VideoDamaged(video.name, reason) from error


class _Disk:
    """A file that ffmpeg writes; it remembers why that failed, which ffmpeg does not."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        with self._remembered():
            return self._file.write(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        with self._remembered():
            return self._file.seek(offset, whence)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            raise


class _Copy:
    """One film on its way from one container to another."""

    def __init__(
        self, video: Video, out: "av.container.OutputContainer", drawings: Iterator[Drawing]
    ) -> None:
        self.video, self.out, self.drawings = video, out, drawings
        self.source = video.stream
        self.base = self.source.time_base or Fraction(1, 90_000)
        self.pixels = _pixel_format(self.source.codec_context.pix_fmt)
        self.copied = {
            stream.index: target
            for stream in video.container.streams
            if stream.type in ("audio", "subtitle") and (target := _template(out, stream)) is not None
        }
        for attached in video.container.streams.attachments:  # fonts of subtitles
            with suppress(ValueError, av.error.FFmpegError):
                out.add_attachment(attached.name or "", attached.mimetype or "", attached.data or b"")
        self.clocks = {index: _Clock() for index in self.copied}
        self.last: int | None = None  # time of the frame before
        self.target: Any = None
        self.over: _Over | None = None
        self.frames = 0
        with suppress(ValueError, av.error.FFmpegError):
            out.set_chapters(video.container.chapters())
        out.metadata.update(video.container.metadata)

    def run(self) -> Iterator[Written]:
        """Copy, draw and code, packet by packet."""
        waiting: list[Any] = []  # packets before the first frame: the pictures' track must be known first
        # Of these tracks alone: those of data, as timecode and chapters, have no packets that can be decoded.
        wanted = [s for s in self.video.container.streams if s is self.source or s.index in self.copied]
        for packet in self.video.container.demux(wanted):
            index = packet.stream.index  # the packets that end a track state no `stream_index`
            if index == self.source.index:
                for frame in self._decoded(packet):
                    self._date(frame)
                    self._begin(frame, waiting)
                    yield from self._drawn(frame)
            elif index in self.copied and packet.dts is not None:
                self.clocks[index].set(packet)
                packet.stream = self.copied[index]
                if self.target is None:
                    waiting.append(packet)
                else:
                    self.out.mux(packet)
        if self.target is None or self.over is None:
            raise NotAVideo(self.video.name, "not one frame of it can be decoded.")
        yield from self._coded(self.over.finish())
        self.out.mux(self.target.encode(None))

    def _decoded(self, packet: Any) -> list[Any]:
        with suppress(av.error.EOFError, av.error.InvalidDataError):  # what is broken is left out
            return list(packet.decode())
        return []

    def _date(self, frame: Any) -> None:
        """Give a frame the time at which it was watched, which is later than that of the one before."""
        pts = round((self.video.time_of(frame) + self.video.origin) / self.base)
        frame.pts = pts if self.last is None else max(pts, self.last + 1)
        frame.time_base = self.base
        self.last = frame.pts

    def _begin(self, frame: Any, waiting: list[Any]) -> None:
        """Open the pictures' track, once the first frame shows how it is turned."""
        if self.target is not None:
            return
        rate = self.source.average_rate or Fraction(25)
        target: Any = self.out.add_stream(
            "libx264", rate=rate, options={"crf": str(QUALITY), "preset": "medium"}
        )
        context = self.source.codec_context
        target.width, target.height, target.pix_fmt = frame.width, frame.height, self.pixels
        target.time_base = target.codec_context.time_base = self.base
        if context.sample_aspect_ratio:
            target.codec_context.sample_aspect_ratio = context.sample_aspect_ratio
        for tag in ("color_range", "colorspace", "color_primaries", "color_trc"):
            setattr(target.codec_context, tag, getattr(context, tag))
        target.metadata.update(self.source.metadata)
        matrix = _matrix(frame)
        if matrix is not None:
            target.set_display_matrix(matrix)
        self.target = target
        self.over = _Over(frame, self.base, self.pixels, self.video, self.drawings)
        self.out.start_encoding()
        self.out.mux(waiting)
        waiting.clear()

    def _drawn(self, frame: Any) -> Iterator[Written]:
        assert self.over is not None
        yield from self._coded(self.over.lay(frame))

    def _coded(self, frames: Iterator[Any]) -> Iterator[Written]:
        for frame in frames:
            # Which frames are keyframes is x264's to choose.
            frame.pict_type = 0
            self.out.mux(self.target.encode(frame))
            self.frames += 1
            yield Written(second=float((frame.pts or 0) * self.base - self.video.origin), frames=self.frames)


class _Clock:
    """Times of the packets of a track that is copied, which go on where they would go back."""

    def __init__(self) -> None:
        self.shift, self.end = 0, 0
        self.last: int | None = None

    def set(self, packet: Any) -> None:
        """Set a packet's times so that none is before those of the one before."""
        if self.last is not None and packet.dts + self.shift < self.last:
            self.shift = self.end - packet.dts
        packet.dts += self.shift
        if packet.pts is not None:
            packet.pts += self.shift
        self.last, self.end = packet.dts, packet.dts + (packet.duration or 1)


class _Over:
    """Lays drawings on frames, by ffmpeg's `overlay`: it knows every pixel format, and is quick."""

    def __init__(
        self, first: Any, base: Fraction, pixels: str, video: Video, drawings: Iterator[Drawing]
    ) -> None:
        self.base, self.video, self.drawings = base, video, drawings
        self.stored, self.format = (first.width, first.height), first.format.name
        self.next = self._prepared(next(drawings, None))
        self.graph = av.filter.Graph()
        buffer = self.graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=base
        )
        end = self.graph.add("buffersink")
        kept = self.graph.add("format", f"pix_fmts={pixels}")
        kept.link_to(end)
        if self.next is None:
            buffer.link_to(kept)
        else:
            _, picture, left, top = self.next
            above = self.graph.add_buffer(
                width=picture.width, height=picture.height, format=picture.format, time_base=base
            )
            lay = self.graph.add("overlay", f"x={left}:y={top}:format=auto:eof_action=repeat")
            buffer.link_to(lay, 0, 0)
            above.link_to(lay, 0, 1)
            lay.link_to(kept)
        self.is_first = True
        self.graph.configure()

    def lay(self, frame: Any) -> Iterator[Any]:
        """Add a frame; yield those that are ready."""
        # The filter lets a frame through once it knows the drawing that follows the one on it.
        while self.next is not None:
            start, picture, *_ = self.next
            # Never later than the first frame.
            picture.pts = min(start, frame.pts) if self.is_first else start
            self.is_first = False
            self.graph.vpush(picture, 1)
            self.next = self._prepared(next(self.drawings, None))
            if self.next is None:
                self.graph.vpush(None, 1)
            elif start > frame.pts:
                break
        self.graph.vpush(self._like_first(frame), 0)
        yield from self._ready()

    def _like_first(self, frame: Any) -> Any:
        """Bring a frame to size and format of the first: a recording may change both, and a film has one."""
        if (frame.width, frame.height) == self.stored and frame.format.name == self.format:
            return frame
        return frame.reformat(*self.stored, format=self.format)

    def finish(self) -> Iterator[Any]:
        """Yield what is left."""
        self.graph.vpush(None, 0)
        yield from self._ready()

    def _ready(self) -> Iterator[Any]:
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                frame = self.graph.vpull()
                frame.time_base = self.base
                yield frame

    def _prepared(self, drawing: Drawing | None) -> tuple[int, Any, int, int] | None:
        """Bring a drawing to the film's stored frames: (time, frame, left, top)."""
        if drawing is None:
            return None
        film = self.video.film
        picture, left, top = as_stored(drawing, film)
        height, width = picture.shape[:2]
        on_its_side = film.rotation in (90, 270)
        across = self.stored[0] / (film.height if on_its_side else film.width)
        down = self.stored[1] / (film.width if on_its_side else film.height)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgba")
        size = max(1, round(width * across)), max(1, round(height * down))
        if size != (width, height):
            frame = frame.reformat(width=size[0], height=size[1])
        frame.time_base = self.base
        start = round((Fraction(drawing.second) + self.video.origin) / self.base)
        return start, frame, round(left * across), round(top * down)


def as_stored(drawing: Drawing, film: Film) -> tuple[NDArray[np.uint8], int, int]:
    """Turn a drawing as the film's stored frames are turned: (picture, left, top)."""
    picture, left, top = drawing.picture, drawing.left, drawing.top
    width, height = film.width, film.height
    for _ in range(film.rotation // 90):  # against the clock, where showing turns with it
        left, top = top, width - left - picture.shape[1]
        picture = np.rot90(picture)
        width, height = height, width
    if film.mirrored:
        left, picture = width - left - picture.shape[1], picture[:, ::-1]
    return picture, left, top


def _template(out: "av.container.OutputContainer", stream: Any) -> Any:
    """A track like another one; None where the container cannot hold it, as subtitles that are pictures."""
    try:
        target = out.add_stream_from_template(stream)
    except (ValueError, av.error.FFmpegError):
        return None
    target.metadata.update(stream.metadata)
    return target


def _pixel_format(given: str | None) -> str:
    """The pixel format to code: the film's own where x264 has it, of full range as of limited, else 4:2:0."""
    plain = (given or "").replace("yuvj", "yuv")
    return plain if plain in _KEPT else _EVEN_CHROMA if "10" not in plain else "yuv420p10le"


def _matrix(frame: Any) -> list[int] | None:
    """The nine numbers by which a frame is turned when shown; None where it is not."""
    held: Any = frame.side_data
    for index in range(len(held)):
        if held[index].type == SideDataType.DISPLAYMATRIX:
            return [int(value) for value in np.frombuffer(bytes(held[index]), dtype=np.int32)[:9]]
    return None
