"""Reports of calibrations in words: what changed, what did not and why, and every figure."""

from affectlens.adaptation.calibration_report import CalibrationReport, Change, PartReport, joined_reasons
from affectlens.evaluation.resampling import Measured
from affectlens.library.text import heads_text
from model_folders import CARD

BEFORE, AFTER, GAIN = Measured(1.2, 1.0, 1.4), Measured(0.9, 0.8, 1.0), Measured(0.3, 0.2, 0.4)
TEMPERATURE = PartReport(
    "temperature", 80, "", {"negative log-likelihood": Change(BEFORE, AFTER, GAIN)},
    {"temperature": (1.0, 2.0)},
)  # fmt: skip
SETS = PartReport("sets", 80, "12 pictures of awe are too few")


def report(*parts: PartReport) -> CalibrationReport:
    return CalibrationReport(
        start="tiny", weights="abc", data="folder", hash="def", pictures=80, groups=60, unreadable=("x.png",),
        repeats=5, folds=5, seed=0, parts=parts,
    )  # fmt: skip


def test_what_changed_is_named_with_its_gain_and_what_did_not_with_the_reason() -> None:
    first, second, how = report(TEMPERATURE, SETS).findings()
    assert first == (
        "Temperature: fitted anew (temperature 1 to 2); negative log-likelihood 1.200 to 0.900, better by "
        "+0.300 (+0.200 to +0.400)."
    )
    assert second == "Sets of emotions: unchanged, since 12 pictures of awe are too few."
    assert "80 pictures in 60 groups" in how
    assert joined_reasons([SETS]) == "sets of emotions, since 12 pictures of awe are too few"


def test_the_table_has_every_figure_also_of_what_a_model_had_not() -> None:
    added = PartReport("sets", 80, "", {"coverage at 0.9": Change(None, AFTER)}, added=True)
    _, *rows = report(TEMPERATURE, added).table()
    assert rows == [
        ("temperature: negative log-likelihood", "1.200 (1.000 to 1.400)", "0.900 (0.800 to 1.000)",
         "0.300 (0.200 to 0.400)"),
        ("sets of emotions: coverage at 0.9", "none", "0.900 (0.800 to 1.000)", ""),
    ]  # fmt: skip
    assert added.finding() == "Sets of emotions: added; coverage at 0.9 none to 0.900."


def test_as_plain_data_it_states_which_parts_changed() -> None:
    plain = report(TEMPERATURE, SETS).to_json()
    assert [part["changed"] for part in plain["parts"]] == [True, False]
    assert plain["unreadable"] == 1 and report(TEMPERATURE, SETS).changed == (TEMPERATURE,)


def test_the_section_of_heads_leaves_the_headings_after_it_as_they_are() -> None:
    text = heads_text("# tiny\n\n## Training\nData: none.\n", CARD)
    assert "\n\n## Training\nData: none.\n" in text and heads_text(text, CARD) == text
