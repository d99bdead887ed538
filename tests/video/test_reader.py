"""Frames come with their true times and colours, upright, whatever the film is like."""

import os
import socket
import sys
import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorTrc
from PIL import Image

from affectlens.errors import (
    NotAVideo,
    SettingsError,
    VideoDamaged,
    VideoError,
    VideoNotFound,
    VideoUnreachable,
)
from affectlens.images import Pixels
from affectlens.video import (
    Film,
    NewestFrames,
    Video,
    frame_at,
    frames_at,
    hardware,
    is_live,
    opening,
    without_password,
)
from films import BLUE, GREEN, HEIGHT, RED, WIDTH, plain, scene, write, write_tone
from streams import send

PNG = b"\x89PNG\r\n\x1a\n"
COLOURS = (RED, GREEN, BLUE)


def colour_of(pixels: Pixels) -> tuple[int, ...]:
    return tuple(round(float(value)) for value in pixels.mean(axis=(0, 1)))


def is_like(pixels: Pixels, colour: tuple[int, int, int], tolerance: int = 8) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(colour_of(pixels), colour, strict=True))


def seen(path: Path, **options: object) -> tuple[Film, list[float], list[Pixels], Video]:
    with Video(path, threads=1, **options) as video:  # type: ignore[arg-type]
        frames = [(frame.second, frame.pixels()) for frame in video.frames()]
    return video.film, [second for second, _ in frames], [pixels for _, pixels in frames], video


@pytest.fixture
def three_colours(tmp_path: Path) -> Path:
    """Red, green and blue, a second each, 25 frames a second."""
    return write(tmp_path / "colours.mp4", [plain(colour) for colour in COLOURS for _ in range(25)])


def test_a_red_film_is_red_and_its_times_are_those_of_its_frames(three_colours: Path) -> None:
    film, seconds, pictures, video = seen(three_colours)
    assert (film.height, film.width, film.frame_rate, film.codec) == (HEIGHT, WIDTH, 25.0, "h264")
    assert seconds == pytest.approx([number / 25 for number in range(75)])
    assert [is_like(pictures[number], COLOURS[number // 25]) for number in (0, 24, 25, 49, 50, 74)] == [
        True
    ] * 6
    assert film.duration == pytest.approx(3.0)
    assert video.decoded.end == pytest.approx(3.0)
    assert video.decoded.even and video.decoded.orderly and not video.decoded.broken


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi", "mov", "webm"])
def test_every_container_begins_at_second_zero(tmp_path: Path, suffix: str) -> None:
    codec = {"avi": "mpeg4", "webm": "libvpx-vp9"}.get(suffix, "libx264")
    options = {"bf": "2"} if suffix == "avi" else {"crf": "12"}
    path = write(
        tmp_path / f"film.{suffix}",
        [plain(c) for c in COLOURS for _ in range(5)],
        codec=codec,
        options=options,
    )
    _, seconds, pictures, _ = seen(path)
    assert seconds == pytest.approx([number / 25 for number in range(15)], abs=0.0011)
    assert is_like(pictures[4], RED, 12) and is_like(pictures[5], GREEN, 12)


def test_a_stream_without_timestamps_gets_them_by_its_rate_and_counts_them(tmp_path: Path) -> None:
    path = write(tmp_path / "film.h264", [plain(RED)] * 10)
    _, seconds, _, video = seen(path)
    assert seconds == pytest.approx([number / 25 for number in range(10)])
    assert video.decoded.undated == 10 and not video.decoded.orderly


def test_uneven_times_are_kept_to_the_millisecond(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.5, 0.533, 2.0, 2.001]
    path = write(
        tmp_path / "film.mkv", [scene(number).astype(np.uint8) for number in range(6)], seconds=times
    )
    _, seconds, _, video = seen(path)
    assert seconds == pytest.approx(times, abs=1e-6)
    assert not video.decoded.even


def test_a_clock_that_is_set_back_goes_on_instead(tmp_path: Path) -> None:
    first = write(tmp_path / "a.ts", [plain(RED)] * 10)
    second = write(tmp_path / "b.ts", [plain(BLUE)] * 10)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    _, seconds, pictures, video = seen(joined)
    assert len(seconds) == 20 and all(a < b for a, b in pairwise(seconds))
    assert seconds[-1] == pytest.approx(0.76, abs=0.05)
    assert is_like(pictures[-1], BLUE) and not video.decoded.orderly


def quarters() -> np.ndarray:
    """Red, green above; blue, white below."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:24, :32], picture[:24, 32:], picture[24:, :32], picture[24:, 32:] = RED, GREEN, BLUE, (255,) * 3
    return picture


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_frames_are_turned_as_players_turn_them(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    def turn(stream: "av.VideoStream") -> None:
        stream.set_display_rotation(-degrees, hflip=mirrored)  # ffmpeg counts against the clock

    path = write(tmp_path / "film.mp4", [quarters()] * 3, prepare=turn, pixel_format="yuv444p")
    film, _, pictures, _ = seen(path)
    expected = np.rot90(quarters(), -degrees // 90)
    if mirrored:  # here after turning; as mirroring before it, that is turning the other way
        expected, degrees = expected[:, ::-1], 360 - degrees
    assert (film.rotation, film.mirrored) == (degrees, mirrored)
    assert (film.height, film.width) == expected.shape[:2]
    shown = pictures[0].astype(int)
    assert np.abs(shown - expected)[8:16, 8:16].max() < 30 and np.abs(shown - expected).mean() < 12


def test_oblong_pixels_are_made_square(tmp_path: Path) -> None:
    def anamorphic(stream: "av.VideoStream") -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    film, _, pictures, _ = seen(write(tmp_path / "film.mkv", [plain(RED)] * 3, prepare=anamorphic))
    assert (film.height, film.width) == (HEIGHT, round(WIDTH * 4 / 3)) == pictures[0].shape[:2]
    assert film.pixel_aspect == pytest.approx(4 / 3)


def test_ten_bits_keep_their_colours(tmp_path: Path) -> None:
    film, _, pictures, _ = seen(write(tmp_path / "film.mkv", [plain(GREEN)] * 3, pixel_format="yuv420p10le"))
    assert film.bits == 10 and is_like(pictures[0], GREEN)


def hdr_film(path: Path, stored: float, transfer: ColorTrc) -> Path:
    """A grey film of one stored value, in 0..1, in the colours of HDR."""

    def as_hdr(raw: "av.VideoFrame") -> "av.VideoFrame":
        made = raw.reformat(format="yuv420p10le", dst_colorspace="bt2020", dst_color_range=1)
        made.color_trc, made.color_primaries, made.colorspace, made.color_range = transfer, 9, 9, 1
        return made

    def tag(stream: "av.VideoStream") -> None:
        context = stream.codec_context
        context.color_trc, context.color_primaries = int(transfer), int(ColorPrimaries.BT2020)
        context.colorspace, context.color_range = 9, 1

    grey = plain((round(stored * 255),) * 3)
    return write(path, [grey] * 3, pixel_format="yuv420p10le", prepare=tag, frame=as_hdr)


@pytest.mark.parametrize("transfer", [ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67])
def test_hdr_is_tone_mapped_so_that_white_is_bright_and_highlights_differ_from_it(
    tmp_path: Path, transfer: ColorTrc
) -> None:
    white, highlight = (0.58, 0.72) if transfer == ColorTrc.SMPTE2084 else (0.75, 0.97)
    levels = []
    for number, stored in enumerate((0.0, 0.3, white, highlight)):
        film, _, pictures, _ = seen(hdr_film(tmp_path / f"{number}.mkv", stored, transfer))
        assert film.hdr == ("PQ" if transfer == ColorTrc.SMPTE2084 else "HLG")
        assert max(colour_of(pictures[0])) - min(colour_of(pictures[0])) <= 3
        levels.append(colour_of(pictures[0])[0])
    assert levels[0] <= 2 and levels == sorted(levels)
    assert 190 <= levels[2] <= 245, "diffuse white, 203 cd/m2, leaves room above"
    assert levels[3] - levels[2] >= 10, "what is brighter than white still differs from it"


def test_broken_packets_are_counted_and_decoding_goes_on(tmp_path: Path) -> None:
    pictures = [
        np.random.default_rng(n).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8) for n in range(40)
    ]
    path = write(tmp_path / "film.avi", pictures, codec="png", pixel_format="rgb24", options={})
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 8] == PNG]
    for start in starts[10:13]:  # wipe out three frames' width and height
        data[start + 16 : start + 24] = bytes(8)
    path.write_bytes(data)
    _, seconds, _, video = seen(path)
    assert video.decoded.broken == 3
    assert len(seconds) == 37 and seconds[-1] == pytest.approx(39 / 25)


def test_a_film_of_nothing_but_broken_packets_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "film.avi", [plain(RED)] * 5, codec="png", pixel_format="rgb24", options={})
    data = bytearray(path.read_bytes())
    for at in range(len(data) - 60):
        if data[at : at + 8] == PNG:
            data[at + 16 : at + 24] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(VideoDamaged, match="not one frame"):
        seen(path)


@pytest.mark.parametrize(("suffix", "options"), [("gif", {}), ("png", {}), ("webp", {"lossless": True})])
def test_an_animated_picture_is_a_film_with_its_own_times(
    tmp_path: Path, suffix: str, options: dict[str, Any]
) -> None:
    path = tmp_path / f"film.{suffix}"
    first, *rest = [Image.fromarray(plain(colour)) for colour in COLOURS]
    first.save(path, save_all=True, append_images=rest, duration=[100, 300, 500], **options)
    film, seconds, pictures, video = seen(path)
    assert seconds == pytest.approx([0, 0.1, 0.4])
    assert [is_like(picture, colour) for picture, colour in zip(pictures, COLOURS, strict=True)] == [True] * 3
    assert video.decoded.end == pytest.approx(0.9)
    assert (film.height, film.width) == (HEIGHT, WIDTH)


def test_an_animated_picture_that_breaks_off_is_a_damaged_film(tmp_path: Path) -> None:
    path = tmp_path / "film.webp"
    first, *rest = [Image.fromarray(scene(seed).astype(np.uint8)) for seed in range(3)]
    first.save(path, save_all=True, append_images=rest, duration=100)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(VideoDamaged, match=r"film\.webp"):
        seen(path)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    dot = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    dot.paste((255, 0, 0, 255), (0, 0, 8, 8))
    clear.save(path, save_all=True, append_images=[dot], duration=100, disposal=2)
    pictures = seen(path)[2]
    assert is_like(pictures[0], (255, 255, 255)) and is_like(pictures[1][:8, :8], RED)


def test_keyframes_alone_are_those_that_are_stored_whole(tmp_path: Path) -> None:
    path = write(
        tmp_path / "film.mp4", [plain(RED)] * 50, options={"g": "10", "sc_threshold": "0", "bf": "0"}
    )
    with Video(path, keyframes=True) as video:
        assert [frame.second for frame in video.frames()] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])


def test_a_large_frame_is_shrunk_to_twice_what_is_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", [plain(RED, 600, 1000)] * 2)
    with Video(path) as video:
        frame = next(iter(video.frames()))
        assert frame.pixels((96, 96)).shape == (192, 320, 3)
        assert frame.pixels((1000, 1000)).shape == (600, 1000, 3)
        assert frame.small(36, 64).shape == (36, 64, 3) and frame.small(36, 64).dtype == np.uint8
        assert frame.small(36, 64)[10, 10].tolist() == pytest.approx(list(RED), abs=6)


def test_colours_of_hd_are_bt709_where_a_film_does_not_specify_them(tmp_path: Path) -> None:
    """A strong green comes out another where the matrix is mistaken."""

    def hd(raw: "av.VideoFrame") -> "av.VideoFrame":
        return raw.reformat(format="yuv420p", dst_colorspace="itu709")

    green = (40, 180, 60)
    picture = seen(write(tmp_path / "film.mp4", [plain(green, 720, 64)] * 2, frame=hd))[2][0]
    assert is_like(picture, green, 4)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "h264", "gif"])
def test_the_frame_at_a_second_is_the_one_on_screen(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film.{suffix}"
    if suffix == "gif":
        first, *rest = [Image.fromarray(plain(colour)) for colour in COLOURS]
        first.save(path, save_all=True, append_images=rest, duration=1000)
    else:
        write(path, [plain(c) for c in COLOURS for _ in range(25)], options={"g": "12", "crf": "12"})
    for second, colour in [
        (0, RED),
        (0.97, RED),
        (1.0, GREEN),
        (1.96, GREEN),
        (2.0, BLUE),
        (99, BLUE),
        (-1, RED),
    ]:
        assert is_like(frame_at(path, second), colour), second


def test_frames_at_many_seconds_come_in_order_each_with_its_time(tmp_path: Path) -> None:
    pictures = [plain((number * 2, 0, 0)) for number in range(120)]
    path = write(tmp_path / "film.mp4", pictures, rate=10, options={"g": "30", "crf": "1"})
    wanted = [11.95, 0.05, 0.3, 6.0, 6.04]
    found = list(frames_at(path, wanted))
    assert [second for second, _ in found] == pytest.approx([0.0, 0.3, 6.0, 6.0, 11.9])
    assert [colour_of(p)[0] for _, p in found] == pytest.approx([0, 6, 120, 120, 238], abs=3)


def test_a_sound_track_is_noticed(tmp_path: Path) -> None:
    assert seen(write(tmp_path / "film.mp4", [plain(RED)] * 5, sound=True))[0].has_sound


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w") as out:
        write_tone(out, out.add_stream("aac", rate=44100), 10)
    with pytest.raises(NotAVideo, match="only sound"):
        Video(path)


def test_a_picture_a_text_a_folder_and_nothing_are_each_their_own_error(tmp_path: Path) -> None:
    Image.fromarray(plain(RED)).save(tmp_path / "picture.jpg")
    (tmp_path / "text.mp4").write_text("no film at all " * 50)
    (tmp_path / "empty.mp4").touch()
    for name, kind, words in [
        ("picture.jpg", NotAVideo, "affectlens predict"),
        ("text.mp4", NotAVideo, "not a film"), (".", NotAVideo, "folder"),
        ("empty.mp4", VideoDamaged, "zero bytes"), ("gone.mp4", VideoNotFound, "spelling"),
    ]:  # fmt: skip
        with pytest.raises(kind, match=words):
            Video(tmp_path / name)


def test_a_film_that_was_cut_off_is_an_error_with_that_reason(three_colours: Path) -> None:
    three_colours.write_bytes(three_colours.read_bytes()[:2000])
    with pytest.raises(VideoError, match=r"cut off|not a film"):
        Video(three_colours)


def test_an_address_where_no_one_answers_is_an_error_without_its_password() -> None:
    with pytest.raises(VideoUnreachable, match="cannot be opened") as caught:
        Video("tcp://me:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)
    assert without_password("rtsp://me:secret@host/1") == "rtsp://me:***@host/1"
    assert without_password("https://host/a:b@c.mp4") == "https://host/a:b@c.mp4"


def test_an_address_that_is_silent_is_an_error_within_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, and never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/film.mp4"
        assert not is_live(address)
        began = time.monotonic()
        with pytest.raises(VideoUnreachable, match="cannot be opened"):
            Video(address)
    assert time.monotonic() - began < 3


def test_hardware_that_is_not_there_is_a_setting_that_cannot_be(three_colours: Path) -> None:
    assert all(isinstance(name, str) for name in hardware())
    with pytest.raises(SettingsError, match="not a decoding hardware"):
        Video(three_colours, hardware="abacus")


def test_of_a_live_source_only_the_newest_frame_is_kept(free_port: int) -> None:
    sender = threading.Thread(target=send, args=(free_port, 100, 0.01), daemon=True)
    sender.start()
    seconds = []
    with Video(f"tcp://127.0.0.1:{free_port}?listen=1") as video:
        assert video.live and video.film.duration is None
        newest = NewestFrames(video)
        for frame in newest:
            seconds.append(frame.second)
            time.sleep(0.1)  # ten times slower than frames come
        newest.close()
    sender.join()
    assert seconds == sorted(seconds)
    assert video.decoded.dropped >= 50
    assert len(seconds) + video.decoded.dropped == video.decoded.frames


@pytest.fixture
def free_port() -> int:
    """A port that no one listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_real_films_decode_whole(shared: Path) -> None:
    folder = shared / "fixtures" / "video"
    films = (
        sorted(path for path in folder.iterdir() if path.suffix in {".mp4", ".mkv"})
        if folder.is_dir()
        else []
    )
    if not films:
        pytest.skip(f"no films in {folder}")
    for path in films:
        with Video(path) as video:
            seconds = [frame.second for frame in video.frames()]
        assert seconds[0] == pytest.approx(0, abs=0.1) and seconds == sorted(set(seconds))
        assert video.film.duration == pytest.approx(video.decoded.end, abs=0.2)


# ------------------------------------------------------------------------------------------ hostile, endless


@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXTINF:1,\nother.mp4\n", "ffconcat version 1.0\nfile other.mp4\n", "file other.mp4\n",
     "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", '<?xml version="1.0"?>\n<MPD></MPD>'],
)  # fmt: skip
@pytest.mark.parametrize("name", ["list.m3u8", "film.mp4"])
def test_a_list_of_other_files_is_refused_under_any_name(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(NotAVideo, match="list of other files"):
        Video(tmp_path / name)


def test_no_format_that_opens_other_files_is_ever_tried() -> None:
    allowed = opening._formats().split(",")
    assert {"mov", "mp4", "matroska", "avi", "mpegts", "png_pipe"} <= set(allowed)
    assert not {"hls", "concat", "dash", "sdp", "image2", "lavfi", "v4l2"} & set(allowed)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(NotAVideo, match="pipe"):
        Video(tmp_path / "pipe.mp4")


def test_a_film_below_dev_is_a_film() -> None:
    assert not is_live("/dev/shm/film.mkv")
    assert is_live("/dev/video0")


def test_a_film_is_opened_once(three_colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, Any]] = []
    real: Any = av.open

    def noted(*given: Any, **more: Any) -> Any:
        opened.append(more)
        return real(*given, **more)

    monkeypatch.setattr(av, "open", noted)
    with Video(three_colours) as video:
        complete = [frame.second for frame in video.frames()]
    assert len(opened) == 1
    assert opened[0]["timeout"]
    with Video(three_colours) as video:
        assert video.seek(0.0)
        assert [frame.second for frame in video.frames()] == complete


def test_frames_of_absurd_size_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, three_colours: Path
) -> None:
    monkeypatch.setattr(opening, "MAX_FRAME_PIXELS", 1_000)
    with pytest.raises(NotAVideo, match="pixels are more than"):
        Video(three_colours)
    path = tmp_path / "a.webp"
    Image.new("RGB", (64, 48)).save(path, save_all=True, append_images=[Image.new("RGB", (64, 48), "red")])
    with pytest.raises(NotAVideo, match="64 x 48 pixels are more"):
        Video(path)


def test_a_container_is_not_closed_while_another_thread_reads_it(three_colours: Path) -> None:
    video = Video(three_colours)
    with video._reading:  # as a thread that waits for the next packet
        video.close()
        assert video.container.streams.video  # open still
    frames = video.frames()
    assert len(list(frames)) <= 1  # the one that was decoded before


def test_a_closed_live_source_is_left_at_once(free_port: int) -> None:
    sender = threading.Thread(target=send, args=(free_port, 30, 0.05), daemon=True)
    sender.start()
    with Video(f"tcp://127.0.0.1:{free_port}?listen=1") as video:
        newest = NewestFrames(video)
        next(iter(newest))
        begun = time.monotonic()
        newest.close()
        assert time.monotonic() - begun < 2
