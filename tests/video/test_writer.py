"""A film that is written again keeps all that is not drawn."""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from affectlens.errors import NotAVideo, OutputError, VideoDamaged, VideoNotFound
from affectlens.video import Film, Video
from affectlens.video.writer import Drawing, as_stored, suffix_for, write_film
from films import plain, write

SIZE = (160, 96)
STEPS = (0, 40, 80, 120, 300, 340, 500, 540, 580, 900)  # milliseconds at which frames come: unevenly


def make_film(
    file: Path,
    *,
    sound: str | None = "aac",
    rotation: int = 0,
    pixels: str = "yuv420p",
    aspect: Fraction | None = None,
) -> Path:
    """A short grey film at uneven times, each frame lighter than the one before, with a tone."""
    with av.open(file, "w") as out:
        video: Any = out.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = *SIZE, pixels
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(-rotation)
        audio: Any = out.add_stream(sound, rate=48_000, layout="mono") if sound else None
        out.metadata["title"] = "a title"
        out.start_encoding()
        for number, milliseconds in enumerate(STEPS):
            level = np.full((SIZE[1], SIZE[0], 3), 40 + 10 * number, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(level, format="rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio:
            wave = np.sin(np.arange(48_000) * 0.06).astype(np.float32)[None] * 0.3
            tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            tone.sample_rate, tone.pts = 48_000, 0
            out.mux(audio.encode(tone))
            out.mux(audio.encode(None))
    return file


def sound_of(file: Path) -> list[tuple[Fraction, bytes]]:
    """Time and bytes of each packet of sound."""
    with av.open(file) as container:
        stream = container.streams.audio[0]
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(stream)
            if packet.pts is not None and packet.time_base is not None
        ]


def frames_of(file: Path) -> list[tuple[float, Any]]:
    with Video(file) as video:
        return [(frame.second, frame.pixels()) for frame in video.frames()]


def red(film: Film) -> Iterator[Drawing]:
    """Red at the lower right, at first a little and from 0.3 s on quite."""
    picture = np.zeros((20, 40, 4), dtype=np.uint8)
    picture[..., 0] = 255
    for second, opacity in ((0.0, 128), (0.3, 255)):
        picture = picture.copy()
        picture[..., 3] = opacity
        yield Drawing(second, picture, film.width - 40, film.height - 20)


def written(file: Path, source: Path, draw: Any = red) -> Path:
    assert [step.frames for step in write_film(file, source, draw)] == list(range(1, len(STEPS) + 1))
    return file


@pytest.mark.parametrize(("suffix", "sound"), [(".mp4", "aac"), (".mkv", "libopus"), (".mov", "pcm_s16le")])
def test_sound_is_copied_bit_for_bit_at_its_own_times(tmp_path: Path, suffix: str, sound: str) -> None:
    source = make_film(tmp_path / f"a{suffix}", sound=sound)
    assert sound_of(written(tmp_path / f"b{suffix}", source)) == sound_of(source)


def test_frames_keep_their_uneven_times(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mp4")
    times = [second for second, _ in frames_of(written(tmp_path / "b.mp4", source))]
    assert times == pytest.approx([ms / 1000 for ms in STEPS], abs=1e-6)
    into_matroska = [second for second, _ in frames_of(written(tmp_path / "b.mkv", source))]
    later = into_matroska[0]  # Matroska has no time before 0, where AAC begins in mp4
    assert 0 <= later < 0.03
    assert into_matroska == pytest.approx([second + later for second in times], abs=0.0011)
    other = make_film(tmp_path / "c.mkv", sound="libopus")
    assert [s for s, _ in frames_of(written(tmp_path / "d.mkv", other))] == [s for s, _ in frames_of(other)]


def test_each_drawing_lies_from_its_moment_on_where_it_should_and_nowhere_else(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mp4")
    before, after = frames_of(source), frames_of(written(tmp_path / "b.mp4", source))
    for number, ((second, was), (_, now)) in enumerate(zip(before, after, strict=True)):
        level = int(was.mean())
        corner = now[-16:-4, -36:-4].reshape(-1, 3).mean(axis=0)
        share = 0.5 if second < 0.3 else 1.0
        assert corner[0] == pytest.approx(level + share * (255 - level), abs=12), number
        assert corner[1] == pytest.approx((1 - share) * level, abs=12), number
        assert np.abs(now[:60, :110].astype(int) - was[:60, :110]).max() <= 4


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_film_stays_turned_and_what_is_drawn_is_upright(tmp_path: Path, rotation: int) -> None:
    source = make_film(tmp_path / "a.mp4", rotation=rotation)
    target = written(tmp_path / "b.mp4", source)
    with Video(source) as one, Video(target) as other:
        assert one.film.rotation == other.film.rotation == rotation
        assert (one.film.width, one.film.height) == (other.film.width, other.film.height)
    _, now = frames_of(target)[-1]
    assert now[-10, -20][0] > 200 > now[-10, -60][0]
    assert now[-30, -20][0] < 200


def test_oblong_pixels_stay_oblong_and_drawings_keep_their_shape(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mp4", aspect=Fraction(2, 1))
    target = written(tmp_path / "b.mp4", source)
    with Video(target) as video:
        assert (video.film.pixel_aspect, video.film.width) == (2.0, 320)
    _, now = frames_of(target)[-1]
    reddish = (now[..., 0] > 180) & (now[..., 1] < 90)
    assert reddish.any(axis=0).sum() == pytest.approx(40, abs=4)
    assert reddish.any(axis=1).sum() == pytest.approx(20, abs=2)


def test_films_that_were_joined_are_written_with_times_that_go_on(tmp_path: Path) -> None:
    first, second = (write(tmp_path / f"{n}.ts", [plain((80, 90, 100), *size)] * 10, sound=True)
                     for n, size in enumerate([(64, 96), (128, 160)]))  # fmt: skip
    source = tmp_path / "joined.ts"
    source.write_bytes(first.read_bytes() + second.read_bytes())
    for _ in write_film(tmp_path / "b.mkv", source, red):
        pass
    was, now = frames_of(source), frames_of(tmp_path / "b.mkv")
    assert len(now) == len(was) == 20
    later = now[0][0] - was[0][0]
    assert [s for s, _ in now] == pytest.approx([s + later for s, _ in was], abs=0.0021)
    assert {pixels.shape for _, pixels in now} == {(64, 96, 3)}
    times = [pts for pts, _ in sound_of(tmp_path / "b.mkv")]
    assert times == sorted(times) and len(times) == len(sound_of(source))


def test_a_film_without_times_is_written_complete(tmp_path: Path) -> None:
    source = write(tmp_path / "a.h264", [plain((80, 90, 100), 64, 96)] * 12)
    for _ in write_film(tmp_path / "b.mkv", source, red):
        pass
    was, now = frames_of(source), frames_of(tmp_path / "b.mkv")
    assert [s for s, _ in now] == pytest.approx([s for s, _ in was], abs=0.0011)
    assert len(now) == 12


def test_ten_bits_stay_ten(tmp_path: Path) -> None:
    target = written(tmp_path / "b.mp4", make_film(tmp_path / "a.mp4", pixels="yuv420p10le"))
    with Video(target) as video:
        assert video.film.bits == 10


def test_a_film_without_sound_or_drawings_is_written_too_and_titles_stay(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mp4", sound=None)
    target = written(tmp_path / "b.mp4", source, lambda film: iter(()))
    assert len(frames_of(target)) == len(STEPS)
    with av.open(target) as container:
        assert container.metadata["title"] == "a title"


def test_what_is_interrupted_leaves_no_file_and_the_old_one_stays(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mp4")
    target = tmp_path / "b.mp4"
    target.write_text("old")
    steps = write_film(target, source, red)
    next(steps)
    steps.close()
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_a_disk_that_is_full_is_an_error_of_the_file_and_another_one_of_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_film(tmp_path / "a.mp4")

    def broken(*_: object) -> None:
        raise av.error.InvalidDataError(1, "broken")

    with monkeypatch.context() as changed:
        changed.setattr("affectlens.video.writer.atomic_write", _onto_a_full_disk)
        with pytest.raises(OutputError, match=r"b\.mp4 cannot be written: No space left"):
            list(write_film(tmp_path / "b.mp4", source, red))
    monkeypatch.setattr("affectlens.video.writer._Over.lay", broken)
    with pytest.raises(VideoDamaged, match=r"a\.mp4: it cannot be written again"):
        list(write_film(tmp_path / "b.mp4", source, red))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_what_cannot_be_is_refused_with_what_to_do(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mp4", sound=None)
    with pytest.raises(OutputError, match=r"\.mp4, \.m4v, \.mov, \.mkv"):
        list(write_film(tmp_path / "b.avi", source, red))
    with pytest.raises(OutputError, match="is the film itself"):
        list(write_film(source, source, red))
    with pytest.raises(VideoNotFound):
        list(write_film(tmp_path / "b.mp4", tmp_path / "gone.mp4", red))
    with pytest.raises(NotAVideo, match="live"):
        list(write_film(tmp_path / "b.mp4", "/dev/video0", red)) if Path("/dev/video0").exists() else _raise()
    assert suffix_for(Path("a.ts")) == ".mkv"


@contextmanager
def _onto_a_full_disk(file: Path) -> Iterator[Any]:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    try:
        yield Full()
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror}.") from error


def _raise() -> None:
    raise NotAVideo("/dev/video0", "no camera here; live sources are refused in any case")


def test_turning_and_mirroring_a_drawing_is_undone_by_showing_it() -> None:
    picture = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    for rotation in (0, 90, 180, 270):
        for mirrored in (False, True):
            film = Film(name="a", duration=1.0, width=20, height=10, frame_rate=25.0, rotation=rotation,
                        mirrored=mirrored)  # fmt: skip
            stored, left, top = as_stored(Drawing(0.0, picture, 4, 5), film)
            on_side = rotation in (90, 270)
            whole = np.zeros((20, 10, 4) if on_side else (10, 20, 4), dtype=np.uint8)
            whole[top : top + stored.shape[0], left : left + stored.shape[1]] = stored
            shown = whole[:, ::-1] if mirrored else whole
            shown = np.rot90(shown, -rotation // 90)
            assert shown.shape == (10, 20, 4)
            np.testing.assert_array_equal(shown[5:7, 4:7], picture)


def with_chapters(file: Path) -> Path:
    """The film with chapters, which MP4 stores as a track of data."""
    source = make_film(file.with_name(f"plain{file.suffix}"))
    with av.open(source) as given, av.open(file, "w") as out:
        targets = {stream.index: out.add_stream_from_template(stream) for stream in given.streams}
        second = Fraction(1, 1000)
        out.set_chapters(
            [
                {"id": 1, "start": 0, "end": 400, "time_base": second, "metadata": {"title": "one"}},
                {"id": 2, "start": 400, "end": 900, "time_base": second, "metadata": {"title": "two"}},
            ]
        )
        if file.suffix == ".mkv":
            out.add_attachment("font.ttf", "font/ttf", b"a font")
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = targets[packet.stream.index]
                out.mux(packet)
    return file


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_chapters_tracks_of_data_and_fonts_stay(tmp_path: Path, suffix: str) -> None:
    source = with_chapters(tmp_path / f"a{suffix}")
    with av.open(source) as container:
        assert {"data", "attachment"} & {stream.type for stream in container.streams}
    file = written(tmp_path / f"b{suffix}", source)
    assert sound_of(file) == sound_of(source)
    with av.open(file) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["one", "two"]
        fonts = [bytes(font.data) for font in container.streams.attachments]
        assert fonts == ([b"a font"] if suffix == ".mkv" else [])


def test_timecode_stays(tmp_path: Path) -> None:
    source = tmp_path / "a.mov"
    even = write(tmp_path / "even.mov", [plain((90, 90, 90))] * 25)
    with av.open(even) as given, av.open(source, "w") as out:
        target = out.add_stream_from_template(given.streams.video[0])
        target.metadata["timecode"] = "01:00:00:00"
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = target
                out.mux(packet)
    assert list(write_film(tmp_path / "b.mov", source, red))
    with av.open(tmp_path / "b.mov") as container:
        assert container.streams.video[0].metadata["timecode"] == "01:00:00:00"
