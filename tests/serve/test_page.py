"""The page as the server sends it: its policy, its files, and the answer for browsers without scripts."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path

import pytest

from affectlens.report.emotion_colours import COLOURS
from affectlens.serve.page import POLICY
from affectlens.serve.page_files import SHARED, SHEETS, static_files
from pages import Outline
from services import running

BOUNDARY = "----a-boundary"


@pytest.fixture(scope="module")
def address(rated_graph: Path) -> Iterator[str]:
    with running(rated_graph, decoders=1) as found:
        yield found.address


def load(
    url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Message, bytes]:
    """Request a page: its status, headers and body."""
    request = urllib.request.Request(url, data, dict(headers or {}))
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def post_form(address: str, fields: dict[str, str], picture: tuple[str, bytes] | None) -> tuple[int, str]:
    """Send the form as a browser does: an empty file where none was chosen."""
    name, data = picture or ("", b"")
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="picture"; filename="{name}"\r\n\r\n'
    body = b"".join([head.encode(), data, b"\r\n", *parts, f"--{BOUNDARY}--\r\n".encode()])
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    status, _, answer = load(address, body, kind)
    return status, answer.decode()


SAMPLE = ("sample.jpg", static_files()["sample.jpg"].content)


def test_the_page_has_a_policy_and_keeps_it(address: str) -> None:
    status, headers, body = load(address)
    page = body.decode()
    assert status == 200 and headers["Content-Security-Policy"] == POLICY
    assert "'unsafe" not in POLICY and "http" not in POLICY
    assert not re.search(r"\sstyle=|\son\w+=|<style", page)
    scripts = Outline(page).all("script")
    assert [each.get("type") for each in scripts] == ["application/json", "module"]


def test_everything_that_the_page_names_is_there_and_nothing_lies_elsewhere(address: str) -> None:
    named = re.findall(r'(?:src|href)="([^"#]+)"', load(address)[2].decode())
    assert {f"static/{name}" for name in SHEETS} | {"static/main.js", "sample.jpg"} <= set(named)
    for name in named:
        assert "//" not in name
        assert load(address + name)[0] == 200, name


def test_scripts_load_only_scripts_that_are_there() -> None:
    for name, file in static_files().items():
        if name.endswith(".js"):
            text = file.content.decode()
            imported = re.findall(r'(?:from|import\() ?"\./([^"]+)"', text)
            assert set(imported) <= static_files().keys(), name
            assert "innerHTML" not in text and "://" not in text.replace("http://www.w3.org/2000/svg", "")


def test_the_page_and_the_reports_share_their_style_sheets(address: str) -> None:
    templates = Path(__file__).parents[2] / "src" / "affectlens" / "report" / "templates"
    for name in SHARED:
        _, headers, body = load(f"{address}static/{name}")
        assert body == (templates / name).read_bytes() and headers["Content-Type"].startswith("text/css")


def test_a_file_is_sent_again_only_if_it_changed(address: str) -> None:
    _, headers, _ = load(f"{address}static/main.js")
    again = load(f"{address}static/main.js", headers={"If-None-Match": str(headers["ETag"])})
    assert again[0] == 304 and again[2] == b""
    assert load(f"{address}static/main.js", headers={"If-None-Match": '"other"'})[0] == 200


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpage.py", "%2e%2e/settings.py", "sample.jpg%00"])
def test_other_files_are_not_served(address: str, name: str) -> None:
    assert load(f"{address}static/{name}")[0] == 404


def test_without_scripts_the_form_answers_with_a_complete_page(address: str) -> None:
    status, page = post_form(address, {"map": "yes"}, SAMPLE)
    outline = Outline(page)
    assert status == 200 and "sample.jpg" in outline.text
    assert re.search(r"(Most likely to evoke|the likeliest is) \w+", outline.text)
    rects = [each for each in outline.all("rect") if (each["width"] or "").endswith("%")]
    bars, hatched = (
        [each for each in rects if (each["fill"] == "url(#hatch)") == is_hatch] for is_hatch in (0, 1)
    )
    widths = [float((each["width"] or "").rstrip("%")) for each in bars]
    assert len(bars) == 8 and widths == sorted(widths, reverse=True)
    assert sum(widths) == pytest.approx(100, abs=0.5)
    assert {each["fill"] for each in bars} == {COLOURS[word] for word in mikels_in(outline.text)}
    assert len(hatched) == 4 and len(outline.all("pattern")) == 1  # the negative emotions
    assert "valence" in outline.text and "Orange speaks for" in outline.text
    picture, heat_map = outline.all("img")[:2]
    assert (picture["src"] or "").startswith("data:image/jpeg")
    assert (heat_map["src"] or "").startswith("data:image/png")
    assert not outline.all("script")


def mikels_in(text: str) -> list[str]:
    return [word for word in list(COLOURS)[:8] if word in text]


def test_without_scripts_the_sample_needs_no_file_and_a_map_only_where_it_is_wanted(address: str) -> None:
    status, page = post_form(address, {"sample": "yes"}, None)
    assert status == 200 and "Orange speaks for" not in page


@pytest.mark.parametrize(
    ("picture", "sentence"),
    [(None, "There is no picture"), (("notes.txt", b"not a picture at all"), "notes.txt")],
)
def test_what_cannot_be_answered_is_a_page_with_the_reason(
    address: str, picture: tuple[str, bytes] | None, sentence: str
) -> None:
    status, page = post_form(address, {}, picture)
    assert status == 422 and sentence in Outline(page).text
    assert 'name="picture"' in page  # the form, to try again


def test_a_name_of_a_picture_is_text_and_never_markup(address: str) -> None:
    _, page = post_form(address, {}, ("<script>alert(1)</script>.jpg", SAMPLE[1]))
    assert "<script>alert" not in page and "&lt;script&gt;" in page


def test_a_model_that_is_not_served_is_a_page_with_the_reason(address: str) -> None:
    status, page = post_form(address, {"model": "other"}, SAMPLE)
    assert status == 422 and "other" in Outline(page).text
