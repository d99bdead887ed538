"""Pages are filled wholly or not at all, and wrapped where that does no harm."""

from pathlib import Path

import pytest

import result_page


@pytest.fixture
def template(tmp_path: Path) -> str:
    """The path of a template; an absolute one stays as it is."""
    (tmp_path / "page.md").write_text("# Page\n\n- @@TEXT@@\n\n@@TABLE@@\n")
    return str(tmp_path / "page.md")


def test_long_lines_are_wrapped_and_tables_are_not(template: str, tmp_path: Path) -> None:
    row = "| " + "cell " * 50 + "|"
    result_page.write(tmp_path / "out.md", template, {"TEXT": "word " * 40, "TABLE": row})
    lines = (tmp_path / "out.md").read_text().splitlines()
    assert row in lines
    assert lines[3].startswith("  word")  # goes on within its item
    assert max(len(line) for line in lines if line != row) <= result_page.WIDTH


def test_a_slot_without_a_part_or_a_part_without_a_slot_is_an_error(template: str, tmp_path: Path) -> None:
    for parts in ({"TEXT": ""}, {"TEXT": "", "TABLE": "", "MORE": ""}):
        with pytest.raises(ValueError, match="has slots"):
            result_page.write(tmp_path / "out.md", template, parts)
    assert not (tmp_path / "out.md").exists()
