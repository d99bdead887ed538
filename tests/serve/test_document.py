"""What docs/serve.md states is so."""

import re
from pathlib import Path

from affectlens.serve.settings import ServeSettings
from services import Running

DOCUMENT = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")


def test_the_table_of_limits_has_their_defaults() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)?) \| ([\d, a-z]+) \|", DOCUMENT, re.MULTILINE)
    found: dict[str, str] = {}
    for names, values in rows:
        found.update(zip(re.findall(r"\w+", names), re.split(r", ", values), strict=True))
    defaults = {name: f"{value:,g}" if isinstance(value, float) else f"{value:,}"
                for name, value in vars(ServeSettings()).items()
                if isinstance(value, int | float) and name != "port"}  # fmt: skip
    assert found == {**defaults, "decoders": "cores"}


def test_the_table_of_requests_is_that_of_the_description(service: Running) -> None:
    named = set(
        re.findall(r"`(?:GET |POST |DELETE )?(/[\w/.]+)`", DOCUMENT.split("## The API")[1].split("curl")[0])
    )
    paths = {path.replace("{number}", "ID") for path in service.get("/openapi.json").json["paths"]}
    assert named - {"/openapi.json"} == paths - {"/", "/sample.jpg", "/static/{name}"}


def test_the_client_in_python_answers(service: Running, tmp_path: Path, photographs: object) -> None:
    assert isinstance(photographs, list)
    (tmp_path / "beach.png").write_bytes(photographs[0][1])
    code = DOCUMENT.split("```python\n")[1].split("```")[0]
    code = code.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{service.port}")
    code = code.replace("beach.jpg", str(tmp_path / "beach.png")).replace("print(", "answer = (")
    values: dict[str, object] = {}
    exec(code, values)  # noqa: S102
    assert values["answer"] == service.predict(photographs[0])[0]["top"]
