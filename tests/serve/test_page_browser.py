"""The page of the service in a real browser, against a real server: what people see and press."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

import films
from affectlens import Predictor
from affectlens.data.table import read as read_table
from affectlens.film.timeline import Timeline
from affectlens.images import encode_png
from affectlens.inference.output.read import read_rows_file
from affectlens.report.wheel import PLUTCHIK_WHEEL
from browsers import chromium
from rated import rated
from services import running
from timelines import CUT_SCRIPT, timeline_of

DESK: Any = {"viewport": {"width": 1280, "height": 900}}
TELEPHONE: Any = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
LEVELS = {"dark.png": 0, "grey.png": 120, "bright.png": 255}
expect.set_options(timeout=15_000)
NO_ANSWER = "The service does not answer. Is it still running? Then try again."
CARRY = """
([name, bytes, type]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], name, { type }));
  const options = { dataTransfer: carried, clipboardData: carried, bubbles: true, cancelable: true };
  HERE
}
"""
DROP = CARRY.replace(
    "HERE",
    "['dragover', 'drop'].forEach((kind) => document.body.dispatchEvent(new DragEvent(kind, options)));",
)
PASTE = CARRY.replace("HERE", "document.body.dispatchEvent(new ClipboardEvent('paste', options));")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(rated_graph: Path) -> Iterator[str]:
    with running(rated_graph, decoders=1) as found:
        yield found.address


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures whose upper left quarters differ, and so their valence: dark, grey and bright."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, level in LEVELS.items():
        pixels = np.random.default_rng(level).integers(60, 180, (90, 120, 3), dtype=np.uint8)
        pixels[:45, :60] = level
        (folder / name).write_bytes(encode_png(pixels))
    return [folder / name for name in LEVELS]


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A page, ready; nothing may have gone wrong in it by the end of the block."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    problems: list[str] = []
    page.on("console", lambda each: problems.append(each.text))
    page.on("pageerror", lambda each: problems.append(str(each)))
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    yield page
    assert problems == []
    context.close()


def carried(file: Path, kind: str = "image/png") -> tuple[str, list[int], str]:
    """What `DROP` and `PASTE` carry."""
    return file.name, list(file.read_bytes()), kind


def require_accessible(page: Page) -> None:
    """Fail for what axe finds serious or critical."""
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"][:100] for node in each["nodes"]]) for each in serious] == []


def require_no_wider_than_the_screen(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_dropped_picture_has_its_bars_and_each_emotion_a_map_of_its_own(
    browser: Browser, address: str, pictures: list[Path]
) -> None:
    with opened(browser, address, **DESK) as page:
        page.evaluate(DROP, carried(pictures[2]))
        rows = page.locator(".bars button")
        expect(rows).to_have_count(8)
        percents = [
            float(re.sub(r"[^\d.]", "", each)) for each in page.locator(".bars .value").all_inner_texts()
        ]
        assert percents == sorted(percents, reverse=True) and 90 < sum(percents) < 110
        expect(page.get_by_role("img", name=re.compile(r"bright.png: valence \d"))).to_be_visible()
        maps = []
        for index in (0, 1):
            rows.nth(index).click()
            word = rows.nth(index).locator(".word").inner_text()
            expect(page.locator(".stage .map")).to_have_attribute("data-emotion", word)
            expect(rows.nth(index)).to_have_attribute("aria-pressed", "true")
            maps.append(page.locator(".stage .map").get_attribute("src"))
        assert maps[0] != maps[1]
        page.locator(".fade input").fill("30")
        expect(page.locator(".stage .map")).to_have_css("opacity", "0.3")
        slider = page.locator(".fade").bounding_box()
        assert slider is not None and slider["width"] <= 281  # no wider than this small picture, or a thumb
        require_accessible(page)


def test_several_pictures_are_sorted_saved_and_compared(
    browser: Browser, address: str, pictures: list[Path], rated_graph: Path, tmp_path: Path
) -> None:
    with opened(browser, address, **TELEPHONE) as page:
        page.set_input_files("#files", pictures)
        names = page.locator(".tile .name")
        expect(names).to_have_text(list(LEVELS))
        page.select_option("#order", "valence")
        expect(names).to_have_text(["bright.png", "grey.png", "dark.png"])
        with page.expect_download() as saved:
            page.click("#save")
        saved.value.save_as(tmp_path / "saved.csv")
        for name in ("bright.png", "dark.png"):
            page.get_by_label(f"Compare {name}").check()
        page.get_by_role("button", name="Compare the two").click()
        sentences = page.locator(".finding")
        expect(sentences.nth(0)).to_contain_text(
            "bright.png is more pleasant than dark.png, and by more than noise"
        )
        expect(sentences.nth(1)).to_contain_text("No difference in arousal beyond noise")
        expect(page.locator(".key")).to_have_text(["bright.png", "dark.png"])
        assert page.locator(".plane .mark").count() == 2
        require_no_wider_than_the_screen(page)
        require_accessible(page)
    header = (tmp_path / "saved.csv").read_text().splitlines()[0]
    assert header.split(",") == Predictor.load(str(rated_graph)).row_schema(attributes=True).columns
    rows = read_rows_file(tmp_path / "saved.csv").rows
    assert [row.image for row in rows] == ["bright.png", "grey.png", "dark.png"]
    assert all(row.emotions and {"valence", "arousal"} == set(row.ratings) for row in rows)


def test_a_picture_that_cannot_be_read_is_reported_next_to_the_others(
    browser: Browser, address: str, pictures: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture at all")
    with opened(browser, address, **DESK) as page:
        page.set_input_files("#files", [pictures[0], broken])
        expect(page.locator(".tile img.unshown")).to_have_count(1)  # and no sign of a broken picture
        page.locator(".tile", has_text="could not be read").click()
        expect(page.get_by_role("heading", name="This picture could not be read")).to_be_focused()
        expect(page.locator(".detail .doubt")).to_contain_text("broken.png")


def test_pictures_are_pasted_and_photographed_and_what_is_unlike_photographs_has_a_warning(
    browser: Browser, address: str, pictures: list[Path]
) -> None:
    def unusual(route: Route) -> None:
        answer = route.fetch()
        (row,) = answer.json()["predictions"]
        changed = {**row, "unusual": True, "set": list(row["emotions"])[:2], "coverage": 0.9}
        route.fulfill(response=answer, json={"predictions": [changed]})

    with opened(browser, address, **DESK) as page:
        page.route("**/v1/predict", unusual)
        page.evaluate(PASTE, carried(pictures[0]))
        expect(page.locator(".detail .doubt")).to_contain_text("do not rely on this answer")
        expect(page.locator(".detail")).to_contain_text("What to expect: amusement or awe. Of a hundred")
        page.unroute("**/v1/predict")
        assert page.locator("#send").is_hidden()
        assert page.locator("#camera").get_attribute("capture") == "environment"
        page.set_input_files("#camera", pictures[1])
        expect(page.locator(".tile")).to_have_count(2)
        expect(page.locator(".detail .file")).to_have_text("grey.png")
        page.evaluate(DROP, carried(pictures[0], "text/plain"))
        expect(page.locator("#problem")).to_have_text("dark.png is not a picture and was left out.")
        expect(page.locator(".tile")).to_have_count(2)


def test_all_can_be_done_by_keys(browser: Browser, address: str) -> None:
    with opened(browser, address, **DESK) as page:
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        press_until(page, "#sample")
        page.keyboard.press("Enter")
        first, second = (page.locator(".bars button").nth(index) for index in (0, 1))
        expect(first).to_be_visible()
        expect(page.locator("#live")).to_contain_text("sample.jpg: ")
        press_until(page, ".bars li:nth-child(2) button")
        page.keyboard.press("Enter")
        expect(second).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#live")).to_contain_text("Heat map of")
        expect(second).to_be_focused()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        # Backwards from there to the beginning: nothing holds the focus.
        for _ in range(30):
            page.keyboard.press("Shift+Tab")
            if page.evaluate("document.activeElement.classList.contains('skip')"):
                break
        expect(page.locator(".skip")).to_be_focused()


def press_until(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus, as people do."""
    for _ in range(40):
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} was not reached by Tab")


def test_a_service_with_a_token_wants_it_once(browser: Browser, rated_graph: Path) -> None:
    with running(rated_graph, decoders=1, token="open-sesame") as service:
        page = browser.new_page()
        page.goto(service.address)
        for given in ("wrong", "open-sesame"):
            page.locator("#token-field").fill(given)
            page.keyboard.press("Enter")
            if given == "wrong":
                expect(page.locator("#problem")).to_contain_text("token")
        page.wait_for_selector("html[data-ready]")
        page.click("#sample")
        expect(page.locator(".bars button")).to_have_count(8)
        page.close()


def test_in_the_game_a_guess_comes_before_the_answer_and_answers_are_saved_as_labels(
    browser: Browser, rated_graph: Path, pictures: list[Path], tmp_path: Path
) -> None:
    folder = pictures[0].parent
    (folder / "labels.csv").write_text("path,label\n" + "".join(f"{name},awe\n" for name in LEVELS))
    with (
        running(rated_graph, decoders=1, game=folder) as service,
        opened(browser, f"{service.address}#game", **TELEPHONE) as page,
    ):
        page.click("#play")
        for number in range(len(LEVELS)):
            expect(page.get_by_role("heading", name="What does this make you feel?")).to_be_focused()
            assert page.locator(".bars, .wheel text:has-text('%')").count() == 0  # nothing is given away
            guess = page.get_by_role("button", name="awe", exact=True)
            if number:
                guess.click()
            else:
                require_accessible(page)
                guess.focus()
                page.keyboard.press("Enter")
            expect(page.locator(".answer")).to_have_text(
                re.compile("You and the model agree: awe|You feel awe, the model predicts")
            )
            expect(page.get_by_text("People: awe.", exact=True)).to_be_visible()
            if not number:
                expect(page.locator(".stage .map")).to_be_visible()
                require_no_wider_than_the_screen(page)
            page.click("#next")
        expect(page.locator(".answer")).to_have_text(
            re.compile(r"You and the model agree on \d of 3 pictures")
        )
        require_accessible(page)
        with page.expect_download() as saved:
            page.click("#save-answers")
        saved.value.save_as(folder / "answers.csv")
    source = read_table(folder / "answers.csv")
    assert {record.key for record in source.split("all")} == set(LEVELS)
    assert all(record.target.top == "awe" and record.path.is_file() for record in source.split("all"))


def events_of(timeline: Timeline) -> Iterator[tuple[str, Any]]:
    """What a service sends while it watches a film: ten frames at a time, and the timeline."""
    frames: list[dict[str, Any]] = [
        {
            "time": each.second,
            "emotions": dict(zip(timeline.vocabulary.words, each.emotions, strict=True)),
            "ratings": dict(zip(timeline.rating_names, each.ratings, strict=True)),
            "unusual": each.unusual,
        }
        for each in timeline.samples
    ]
    for begin in range(0, len(frames), 10):
        some = frames[begin : begin + 10]
        yield "progress", {"seconds": some[-1]["time"], "duration": timeline.film.duration, "frames": some}
    yield "done", {"timeline": timeline.to_json()}


def send_film(page: Page, events: list[tuple[str, Any]], film: Path) -> list[str]:
    """Have the page send a film to a service that answers with these events; requests that remove it."""
    text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    links = {"self": "/v1/film/1", "events": "/v1/film/1/events"}
    removed: list[str] = []

    def remove(route: Route) -> None:
        removed.append(route.request.method)
        route.fulfill(status=204)

    page.route("**/v1/film", lambda route: route.fulfill(status=202, json={"id": "1", "links": links}))
    page.route("**/v1/film/1", remove)
    page.route(
        "**/v1/film/1/events", lambda route: route.fulfill(content_type="text/event-stream", body=text)
    )
    page.set_input_files("#film-file", film)
    return removed


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shades = (films.plain((10 * number, 90, 200)) for number in range(24))
    file = tmp_path_factory.mktemp("films") / "night train.webm"
    return films.write(file, shades, rate=1, codec="libvpx", options={"deadline": "realtime"})


def test_a_films_emotions_are_drawn_and_its_moments_reached_by_click_and_key(
    browser: Browser, address: str, film: Path, tmp_path: Path
) -> None:
    timeline = rated(timeline_of(CUT_SCRIPT), 2)
    with opened(browser, f"{address}#film", **TELEPHONE) as page:
        removed = send_film(page, list(events_of(timeline)), film)
        peaks = [moment for moment in timeline.moments if moment.kind == "peak"]
        expect(page.locator(".peaks tbody tr")).to_have_count(len(peaks))
        expect(page.locator(".chart path[d^=M]")).to_have_count(8)
        assert removed == ["DELETE"]  # nothing of it stays on the service
        names = [f"{name.capitalize()}, 1 to 9" for name in timeline.rating_names]
        assert page.locator(".rating-line span").all_inner_texts() == names
        assert all(line.startswith("M") for line in drawn_lines(page)) and len(drawn_lines(page)) == 2
        axis = page.locator(".axis span").all_inner_texts()
        assert axis[0] == "0:00" and 4 <= len(axis) <= 9
        assert veiled_part(page) == pytest.approx(
            100 * timeline.shots[1].duration / (timeline.film.duration or 1), abs=1
        )
        expect(page.get_by_text("Veiled: frames unlike the pictures")).to_be_visible()
        page.locator(".peaks button").nth(3).click()
        second = sorted(peak.second for peak in peaks)[3]
        assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(second, abs=0.01)
        chart = page.get_by_role("slider", name="Time in the film")
        chart.focus()
        before = float(chart.get_attribute("aria-valuenow") or "nan")
        page.keyboard.press("ArrowRight")
        expect(chart).to_have_attribute("aria-valuetext", re.compile(r"^0:\d\d\.\d: \w+ \d+"))
        assert float(chart.get_attribute("aria-valuenow") or "nan") > before
        with page.expect_download() as saved:
            page.click("#save-timeline")
        saved.value.save_as(tmp_path / "timeline.json")
        require_no_wider_than_the_screen(page)
        require_accessible(page)
    assert Timeline.read(tmp_path / "timeline.json") == timeline


def drawn_lines(page: Page) -> list[str]:
    return [each.get_attribute("d") or "" for each in page.locator(".rating-line path:not(.middle)").all()]


def veiled_part(page: Page) -> float:
    """How much of the chart's width lies below the veil, in percent."""
    shape = page.locator(".chart .veil").evaluate("(veil) => veil.style.clipPath")
    across = [float(x) for x in re.findall(r"([\d.]+)% 0%", shape)]
    return sum(right - left for left, right in zip(across[::3], across[1::3], strict=True))


def test_a_film_that_fails_shows_what_was_watched_and_why_it_ended(
    browser: Browser, address: str, film: Path
) -> None:
    events = [*list(events_of(timeline_of(CUT_SCRIPT)))[:2], ("failed", {"detail": "The film is damaged."})]
    with opened(browser, f"{address}#film", **DESK) as page:
        send_film(page, events, film)
        expect(page.locator("#problem")).to_have_text("The film is damaged.")
        expect(page.locator(".chart path[d^=M]")).to_have_count(8)
        assert drawn_lines(page) == ["", ""]  # there are none
        expect(page.get_by_text("Veiled: ")).to_be_hidden()
        expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
        assert page.locator("#film-file").input_value() == ""  # the same film can be chosen again
        send_film(page, events[-1:], film)
        expect(page.locator(".chart, video")).to_have_count(0)
        expect(page.locator("#problem")).to_have_text("The film is damaged.")


def test_what_cannot_be_loaded_is_reported_with_what_to_do(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    lost = re.compile(r"/(sample\.jpg|static/game\.js)$")
    page.route(lost, lambda route: route.abort())
    page.click("#sample")
    expect(page.locator("#problem")).to_have_text(NO_ANSWER)
    page.get_by_role("link", name="Film").click()
    expect(page.locator("#film .drop")).to_be_visible()
    expect(page.locator("#problem")).to_be_hidden()  # it was about what is no longer shown
    page.get_by_role("link", name="Guess first").click()
    expect(page.locator("#problem")).to_contain_text("Then reload the page.")
    page.unroute(lost)
    page.reload()
    expect(page.locator("#game .drop")).to_be_visible()
    page.close()


def test_a_film_is_watched_by_the_service_itself(browser: Browser, address: str, film: Path) -> None:
    with opened(browser, f"{address}#film", **DESK) as page:
        page.evaluate(DROP, carried(film, "video/webm"))
        expect(page.locator("#film h2")).to_have_text(re.compile(r"^\d+ peaks?$"), timeout=60_000)
        expect(page.locator(".now")).to_have_text(re.compile(r"^0:00\.0: \w+ \d+"))
        expect(page.locator(".busy:visible, progress:visible")).to_have_count(0)
        assert page.get_by_role("slider", name="Time in the film").get_attribute("aria-valuemax") == "24.00"


def test_on_plutchiks_wheel_the_answer_is_converted_and_the_loss_is_stated(
    browser: Browser, address: str, pictures: list[Path]
) -> None:
    with opened(browser, f"{address}#game", **DESK) as page:
        page.locator("#on-plutchik").check()
        page.set_input_files("#game-files", pictures[0])
        words = page.locator(".guess .petal")
        expect(words).to_have_count(8)
        shown = [words.nth(index).get_attribute("data-emotion") for index in range(8)]
        assert shown == list(PLUTCHIK_WHEEL)
        page.get_by_role("button", name="trust").click()
        # Of this picture the model predicts disgust, which both have.
        expect(page.locator(".answer")).to_have_text("You feel trust, the model predicts disgust")
        expect(page.locator(".game .note").first).to_contain_text("of the answer has no counterpart on it")
        expect(page.locator(".stage .map")).to_have_attribute("data-emotion", "disgust")
