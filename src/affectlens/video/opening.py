"""Opening films, addresses and cameras; and an error with the reason where one cannot be opened."""

import re
import stat
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import av
import av.error
from av.codec.hwaccel import HWAccel, hwdevices_available

from affectlens.errors import (
    NotAVideo,
    PictureInsteadOfFilm,
    SettingsError,
    VideoDamaged,
    VideoDenied,
    VideoNotFound,
    VideoUnreachable,
)

# Time limits for an address or a camera; of a file, which may lie on a drive that is gone, that of reading.
OPEN_SECONDS, READ_SECONDS, FILE_SECONDS = 15.0, 15.0, 60.0
# Pixels of a frame: three times those of 8K. A file of some hundred bytes may state any size.
MAX_FRAME_PIXELS = 100_000_000
ADDRESS = re.compile(r"(?i)([a-z][a-z0-9+.-]+)://")
_LIVE = re.compile(
    r"(?i)(rtsps?|rtmps?|rtp|srt|udp|tcp|rist|mms)://|/dev/(video|v4l)|"
    r"v4l2:|avfoundation:|dshow:|gdigrab:|x11grab:"
)
# What reads other files, addresses or devices that it lists, which no film that was given should.
_PLAYLISTS = (
    "hls", "concat", "dash", "sdp", "rtsp", "rtp", "sap", "imf", "smoothstreaming", "webm_dash_manifest",
    "image2", "image2pipe", "lavfi", "avisynth", "vapoursynth", "avs", "tty", "video4linux2", "v4l2", "alsa",
    "fbdev", "oss", "kmsgrab", "x11grab", "txd", "ffmetadata",
)  # fmt: skip
_IS_PLAYLIST = re.compile(
    rb"\s*(#EXTM3U|ffconcat|file\s|v=0\r?\n|\[playlist|(<\?xml[^>]*>\s*)?<(MPD|SmoothStreamingMedia))"
)
_PICTURES = re.compile(r"image2|.*_pipe$|ico")  # ffmpeg's formats for single pictures


def hardware() -> list[str]:
    """Names of the decoding hardware that this PyAV was built for, whether the machine has it or not."""
    return list(hwdevices_available())


def is_live(source: str) -> bool:
    """Whether an address is of a camera or a stream that is read as it comes.

    >>> is_live("rtsp://camera/1"), is_live("/dev/video0"), is_live("/dev/shm/film.mkv")
    (True, True, False)
    """
    return bool(_LIVE.match(source))


def without_password(source: str) -> str:
    """An address as it may be shown and stored.

    >>> without_password("rtsp://me:secret@camera/1")
    'rtsp://me:***@camera/1'
    """
    return re.sub(r"(?i)^([a-z][a-z0-9+.-]*://[^/@:]*):[^/@]*@", r"\1:***@", source)


def open_container(source: str, live: bool, hardware_name: str | None) -> "av.container.InputContainer":
    """Open a file, an address or a camera. Raises `VideoError`, and `SettingsError` for unknown hardware."""
    options = {"fflags": "nobuffer", "rtsp_transport": "tcp"} if live else {"format_whitelist": _formats()}
    accelerator = None
    if hardware_name is not None:
        if hardware_name not in hwdevices_available():
            known = ", ".join(hwdevices_available()) or "none"
            raise SettingsError(f"{hardware_name!r} is not a decoding hardware of this PyAV. Known: {known}.")
        accelerator = HWAccel(hardware_name, allow_software_fallback=True)
    is_address = bool(ADDRESS.match(source))
    kind = "v4l2" if source.startswith("/dev/") else None
    if not is_address and not live:
        _check_is_file(source)
        options["protocol_whitelist"] = "file"
    if is_address and not live:
        del options["format_whitelist"]  # films are streamed as lists of their parts
    name = without_password(source)
    try:
        return av.open(
            source,
            format=kind,
            options=options,
            timeout=(OPEN_SECONDS, READ_SECONDS) if is_address or live else FILE_SECONDS,
            hwaccel=accelerator,
        )
    except (av.error.FFmpegError, OSError, NotImplementedError, ValueError, RuntimeError) as error:
        raise _as_ours(name, error, is_address or live, hardware_name) from error


@lru_cache(maxsize=1)
def _formats() -> str:
    """The formats that may be opened: all but those that open something else."""
    names = {name for joined in av.formats_available for name in joined.split(",")}
    return ",".join(sorted(names - set(_PLAYLISTS)))


def _as_ours(name: str, error: Exception, remote: bool, hardware_name: str | None) -> Exception:
    """Our error for one of ffmpeg's."""
    why = reason_of(error)
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
    return NotAVideo(name, f"not a film that can be read here ({why}). Check that it is one, and complete.")


def _check_is_file(source: str) -> None:
    path = Path(source)
    try:
        status = path.stat()
    except PermissionError as error:
        raise VideoDenied(source, "no permission to look at it. Change the rights of its folder.") from error
    except (OSError, ValueError) as error:
        raise VideoNotFound(
            source, f"nothing can be found at this path ({reason_of(error)}). Check its spelling."
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise NotAVideo(source, "this is a folder. Expected a film.")
    if not stat.S_ISREG(status.st_mode):  # opening it could wait forever
        raise NotAVideo(source, "this is a pipe, socket or device. Expected a file; save the film first.")
    if status.st_size == 0:
        raise VideoDamaged(source, "the file is empty: zero bytes. Copy or download it again.")
    with suppress(OSError), path.open("rb") as file:
        if _IS_PLAYLIST.match(file.read(256)):
            raise NotAVideo(source, "this is a list of other files or addresses. Give the films themselves.")


def reason_of(error: BaseException) -> str:
    """Ffmpeg's message for an error, with the last line of its log."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    log = getattr(error, "log", None)
    if log and log[1]:
        words = f"{words}; {log[1][2].strip()}" if isinstance(log[1], tuple) and len(log[1]) > 2 else words
    return str(words)


def video_stream(container: "av.container.InputContainer", name: str) -> "av.video.stream.VideoStream":
    """The picture track: the best by ffmpeg's rules, but never the cover of an album."""
    if _PICTURES.fullmatch(container.format.name):
        raise PictureInsteadOfFilm(name, "this is a picture, not a film. Use `affectlens predict`.")
    films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not films:
        kinds = sorted({stream.type for stream in container.streams})
        if not kinds:
            raise VideoDamaged(name, "it was cut off or never finished: there is no track in it.")
        sound = "only sound" if "audio" in kinds else "no picture track"
        raise NotAVideo(name, f"there is {sound} in it: {', '.join(kinds)}. Expected a film.")
    best = container.streams.best("video")
    chosen = best if best in films else max(films, key=lambda s: s.width * s.height)
    context = chosen.codec_context
    if not context:
        raise NotAVideo(name, "the coding of its picture track is unknown here.")
    check_frame_size(name, context.width, context.height)
    return chosen


def check_frame_size(name: str, width: int, height: int) -> None:
    """Raise `NotAVideo` for frames that have more pixels than any film."""
    if width * height > MAX_FRAME_PIXELS:
        limit = f"the {MAX_FRAME_PIXELS:,} that are allowed"
        raise NotAVideo(name, f"frames of {width:,} x {height:,} pixels are more than {limit}.")
