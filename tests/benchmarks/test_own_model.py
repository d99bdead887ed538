"""Every sentence that docs/own_model.md quotes of a measured run is in its results file, letter by letter."""

import json
from pathlib import Path

import own_model

PAGE = Path(__file__).parents[2] / "docs" / "own_model.md"
HEADS = ("ratings", "labels", "words", "words of 100")


def test_what_the_page_quotes_was_measured() -> None:
    found = json.loads(own_model.OUT.read_text(encoding="utf-8"))
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert all(line in page for line in found["labels"]["findings"])
    assert all(line in page for line in found["words"]["findings"])
    for depth in ("words at depth last", "words at depth all"):
        if depth in found:
            *of_depth, _no_curve = found[depth]["findings"]
            assert len(of_depth) == 5 and all(line in page for line in of_depth)
            assert f"{found[depth]['seconds']:,.0f} seconds" in page
    of_beauty = found["ratings"]["findings"][:4]
    assert len(of_beauty) == 4 and all("beauty" in line and line in page for line in of_beauty)
    for name in HEADS:
        assert f"{found[name]['cpu_seconds']:.0f} seconds" in page
    calibration = found["labels"]["scores"]["calibration"]["own"]
    assert f"{calibration['value']:.3f}, and chance alone reaches {calibration['by_chance']:.3f}" in page


def test_each_case_has_scores_without_names_of_pictures() -> None:
    found = json.loads(own_model.OUT.read_text(encoding="utf-8"))
    assert set(found) <= set(own_model.CASES) and {"words", "ratings", "labels"} <= set(found)
    assert ".jpg" not in own_model.OUT.read_text(encoding="utf-8")
