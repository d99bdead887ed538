"""Pages as browsers get them."""

import pytest
from jinja2 import DictLoader, Environment

from affectlens.report import html


def test_a_number_and_its_percent_sign_stay_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(
        loader=DictLoader({"page": "{{ value }} of it, 5 % or a % of b"}), autoescape=True
    )
    monkeypatch.setattr(html, "_environment", lambda: environment)
    nobreak = "\N{NO-BREAK SPACE}"
    assert html.render("page", {"value": "62 %"}) == f"62{nobreak}% of it, 5{nobreak}% or a % of b"


def test_data_in_a_script_cannot_end_it() -> None:
    assert "<" not in html.json_for_script({"name": "</script><b>"})
