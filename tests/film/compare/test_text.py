"""Two films compared, in plain text."""

from affectlens.film.compare.match import compare
from affectlens.film.compare.text import means_table
from timelines import timeline_of


def test_the_table_has_both_means_and_their_difference() -> None:
    one, other = timeline_of([(10.0, "awe"), (10.0, "fear")]), timeline_of([(30.0, "awe"), (30.0, "sadness")])
    found = compare(one, other, "time")
    rows = {line.split()[0]: line.split()[1:] for line in means_table(found)}
    assert list(rows) == [*(word for word, _, _ in found.means), "polarity"]
    assert rows["fear"] == ["35.0%", "5.0%", "\N{MINUS SIGN}30.0"]
    assert rows["sadness"] == ["5.0%", "35.0%", "+30.0"]
    assert len({len(line) for line in means_table(found)}) == 1
