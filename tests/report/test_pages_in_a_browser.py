"""Pages of two films and of an explanation in a real browser: that they fit a telephone, and can be read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ViewportSize

from affectlens.explain import page as explain_page
from affectlens.film.compare import page as compare_page
from affectlens.film.compare.match import compare
from browsers import chromium
from heat import FAITHFUL, effects_of, explanation_of, heatmap_of, with_patch
from timelines import CUT_SCRIPT, film_of, shortened, timeline_of

DESK: ViewportSize = {"width": 1280, "height": 900}
TELEPHONE: ViewportSize = {"width": 390, "height": 844}
# What is wider than the screen and in nothing that scrolls or is meant to cut it off.
TOO_WIDE = """
[...document.querySelectorAll("main *")]
    .filter((each) => each.getBoundingClientRect().right > innerWidth + 0.5)
    .filter((each) => !each.closest(".scroll, .chart, .axis, pre"))
    .map((each) => each.outerHTML.slice(0, 80))
"""
# Texts whose contrast with what is behind them is below 4.5, the least by WCAG 2.2 AA, each with its own.
PALE = """
(() => {
  const channels = (colour) => {
    const [red, green, blue, opacity = 1] = colour.match(/[\\d.]+/g).map(Number);
    return [red, green, blue, opacity];
  };
  const over = (above, below) =>
    [0, 1, 2].map((index) => above[3] * above[index] + (1 - above[3]) * below[index]);
  const behind = (element) => {
    const under = element.parentElement ? behind(element.parentElement) : [255, 255, 255];
    return over(channels(getComputedStyle(element).backgroundColor), under);
  };
  const light = (colour) => {
    const [red, green, blue] = colour.map((value) => value / 255)
      .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const found = [];
  for (const element of document.querySelectorAll("main, main *")) {
    const text = [...element.childNodes].filter((each) => each.nodeType === 3)
      .map((each) => each.textContent.trim()).join(" ").trim();
    if (!text || !element.checkVisibility()) continue;
    const below = behind(element);
    const two = [light(over(channels(getComputedStyle(element).color), below)), light(below)];
    const contrast = (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
    if (contrast < 4.5) found.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pages of two cuts of a film, and of two films, with names as long as names of films are."""
    folder = tmp_path_factory.mktemp("compared")
    film = film_of(20.0, name="films/The_Night_Train_2160p_second_cut_with_titles.mov")
    complete = timeline_of(CUT_SCRIPT, film=film)
    one = timeline_of([(10.0, "awe"), (10.0, "fear")], film=film)
    other = timeline_of([(30.0, "awe"), (30.0, "sadness")])
    pairs = compare(complete, shortened(complete, 3, 6)), compare(one, other, "time")
    for number, pair in enumerate(pairs):
        compare_page.write_page(folder / f"{number}.html", pair)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all that one may have: a warning, effects as strong as they come, and pale ones."""
    doubtful = heatmap_of(with_patch(), details={"faithfulness": FAITHFUL | {"beats_random": False}})
    effects = {"the top left ninth": -6.0, "the bottom right ninth": 6.0, "the centre ninth": -1.0,
               "the top third": -1.5, "without its colours": 0.9}  # fmt: skip
    file = tmp_path_factory.mktemp("explained") / "fear.html"
    explanation = explanation_of(doubtful, effects=(effects_of(doubtful.question, effects),))
    explain_page.write_page(file, explanation)
    return file


def test_a_page_of_two_films_fits_the_screen_of_a_telephone(browser: Browser, compared: list[Path]) -> None:
    page = browser.new_page(viewport=TELEPHONE)
    for file in compared:
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(TOO_WIDE) == []
        # What is wider can be scrolled to.
        assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "auto"
    page.close()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_text_of_an_explanation_has_enough_contrast(
    browser: Browser, explained: Path, scheme: str
) -> None:
    page = browser.new_page(viewport=DESK, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(explained.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"dark": "rgb(21, 23, 26)", "light": "rgb(255, 255, 255)"}[scheme]
    assert page.evaluate(PALE) == []
    page.close()
