"""Pages of results that are written again from what is committed: a rule that changed must reach its page."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import default_candidate
import default_page
import explanations
import film
import label_noise
import precisions
import predict
import rating_maps
import result_page
import screening
import search_comparison
import seeds
import serve
import third_branch
import tuning

PAGES = Path(__file__).parents[2] / "docs" / "results"


def of_performance() -> None:
    found = json.loads(predict.RESULT.read_text())
    result_page.write(result_page.RESULTS / "performance.md", "performance.template.md", predict.parts(found))


def of_label_noise() -> None:
    found = json.loads(label_noise.OUT.read_text())
    result_page.write(
        result_page.RESULTS / "label_noise.md", "label_noise.template.md", label_noise.page(found)
    )


@pytest.mark.parametrize(
    ("page", "main", "words"),
    [
        ("default_candidate", default_candidate.main, ["report"]),
        ("default", default_page.main, []),
        ("explanations", explanations.main, []),
        ("film", film.main, ["--report"]),
        ("label_noise", of_label_noise, []),
        ("performance", of_performance, []),
        ("precisions", precisions.main, []),
        ("rating_maps", rating_maps.main, []),
        ("screening", screening.main, ["report"]),
        ("search", search_comparison.main, ["report", "--out"]),
        ("seeds", seeds.main, ["report", "--out"]),
        ("serve", serve.main, ["--report"]),
        ("third_branch", third_branch.main, ["report"]),
        ("tuning", tuning.main, ["report", "--out"]),
    ],
)
def test_a_page_is_what_its_script_writes_today(
    page: str,
    main: Callable[..., object],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if words[-1:] == ["--out"]:
        main([*words, str(tmp_path / f"{page}.md")])
    else:
        monkeypatch.setattr(result_page, "RESULTS", tmp_path)
        monkeypatch.setattr(sys, "argv", [page, *words])
        main()
    folder = PAGES if (PAGES / f"{page}.md").is_file() else PAGES.parent
    assert (tmp_path / f"{page}.md").read_text() == (folder / f"{page}.md").read_text()
