"""The page in a real browser."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from affectlens.film.report.page import FilmPictures, write_page
from browsers import chromium
from rated import rated
from timelines import film_of, timeline_of

SECONDS = 22


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page and its film, in VP8, which every Chromium plays."""
    folder = tmp_path_factory.mktemp("film")
    with av.open(folder / "a film.webm", "w") as out:
        stream: Any = out.add_stream(
            "libvpx", rate=5, options={"deadline": "realtime", "cpu-used": "8", "g": "5"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for number in range(SECONDS * 5):
            frame = av.VideoFrame.from_ndarray(
                np.full((36, 64, 3), 2 * number, dtype=np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = number, Fraction(1, 5)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    timeline = timeline_of(film=film_of(SECONDS, name="a film.webm"))
    write_page(folder / "out" / "report.html", timeline, FilmPictures(), folder / "a film.webm")
    return folder / "out" / "report.html"


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desk", "telephone"])
def page(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.goto(report.as_uri())
    wait_until(opened, "document.getElementById('film').readyState >= 1")
    yield opened
    context.close()
    assert problems == []


def wait_until(page: Page, condition: str) -> None:
    """Wait for a condition of the page, whose policy forbids playwright's own way of waiting."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true: {condition}")


def time_of(page: Page) -> float:
    return float(page.evaluate("document.getElementById('film').currentTime"))


def playhead_of(page: Page) -> float:
    """Where the playhead stands, as a second of the film."""
    return float(page.evaluate("parseFloat(document.querySelector('.head').style.left)")) * SECONDS / 100


def test_a_click_on_the_chart_seeks_in_the_film(page: Page) -> None:
    box = page.locator("#chart").bounding_box()
    assert box is not None
    page.locator("#chart").click(position={"x": box["width"] / 2, "y": 40})
    assert time_of(page) == pytest.approx(SECONDS / 2, abs=0.1)
    assert playhead_of(page) == pytest.approx(SECONDS / 2, abs=0.1)
    assert page.locator("#when").inner_text() == "0:11.0, shot 3" or page.locator("#when").inner_text() == (
        "0:10.9, shot 3"
    )
    assert page.locator("#now tr").nth(7).inner_text().split()[0] == "fear"


def test_arrow_keys_go_from_frame_to_frame_and_shot_to_shot(page: Page) -> None:
    chart = page.locator("#chart")
    chart.focus()
    seconds = []
    for key in (
        "ArrowRight",
        "ArrowRight",
        "ArrowLeft",
        "Shift+ArrowRight",
        "Shift+ArrowRight",
        "End",
        "Home",
    ):
        chart.press(key)
        seconds.append(time_of(page))
    assert seconds == pytest.approx([0.5, 1.0, 0.5, 4.0, 7.0, SECONDS, 0.0], abs=0.05)
    chart.press("Shift+ArrowRight")
    assert (chart.get_attribute("aria-valuetext") or "").startswith("0:04.0: awe 40\N{NO-BREAK SPACE}%")


def test_a_button_of_a_mood_and_a_shot_of_the_strip_seek(page: Page) -> None:
    page.locator("section", has_text="Moods").locator("tbody button").nth(1).click()
    assert time_of(page) == pytest.approx(7.0, abs=0.05)
    page.locator("#strip button").nth(3).click()
    assert time_of(page) == pytest.approx(12.0, abs=0.05)
    assert page.locator("#strip button").nth(3).get_attribute("aria-current") == "true"
    page.locator("#strip button").nth(0).focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.second") == "4.000"


def test_the_playhead_follows_the_film(page: Page) -> None:
    page.evaluate("document.getElementById('film').currentTime = 13")
    wait_until(page, "document.getElementById('when').textContent.includes('shot 4')")
    assert playhead_of(page) == pytest.approx(13, abs=0.1)


def test_nothing_is_wider_than_the_screen_and_words_of_the_chart_are_not_stretched(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    words = page.locator(".stack .word")
    assert words.count() >= 1
    box = words.first.bounding_box()
    assert box is not None and 8 < box["height"] < 30


def test_a_film_that_was_moved_is_requested_and_found_again(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "deep" / "report.html"
    alone.parent.mkdir()
    alone.write_bytes(report.read_bytes())
    page = browser.new_page()
    page.goto(alone.as_uri())
    page.locator("#missing").wait_for(state="visible")
    page.locator("#chart").focus()
    page.keyboard.press("Shift+ArrowRight")  # the page works without it
    assert page.locator("#when").inner_text() == "0:04.0, shot 2"
    page.locator("#pick").set_input_files(report.parent.parent / "a film.webm")
    wait_until(page, "document.getElementById('film').readyState >= 1")
    page.locator("#missing").wait_for(state="hidden")
    assert time_of(page) == pytest.approx(4.0, abs=0.05)
    page.close()


def test_the_page_can_be_printed(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert not page.locator("video").is_visible()
    assert page.locator(".stack").is_visible()
    page.close()


def test_ratings_follow_the_playhead_and_an_unusual_frame_is_named(browser: Browser, tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", rated(timeline_of(), 2), FilmPictures())
    opened = browser.new_page(viewport={"width": 390, "height": 844})
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto((tmp_path / "report.html").as_uri())
    assert opened.locator("#rated").inner_text() == "valence 5.0, arousal 5.0"
    opened.locator("#chart").press("End")
    assert opened.locator("#rated").inner_text() == "valence 6.0, arousal 6.0"
    opened.locator(".strip button.unusual").click()
    assert opened.locator("#when").inner_text().endswith("shot 2, unusual frame")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert problems == []
