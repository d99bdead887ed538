"""The table of scores on the page of the default model."""

from collections.abc import Callable, Sequence

from affectlens.evaluation.scores import Scores
from affectlens.report.text import markdown_table


def table(rows: Sequence[tuple[str, Scores]]) -> str:
    """Write the rows as Markdown."""

    def cell(scores: Scores, name: str, percent: Callable[[float], str]) -> str:
        low, high = scores.intervals[name]
        return f"{percent(getattr(scores, name))} ({percent(low)}–{percent(high)})"  # noqa: RUF001

    shares = ("accuracy", "balanced_accuracy", "macro_f1")
    cells = [
        [
            name,
            *(cell(scores, share, "{:.1%}".format) for share in shares),
            f"{scores.negative_log_likelihood:.3f}",
            f"{scores.expected_calibration_error:.3f}",
        ]
        for name, scores in rows
    ]
    header = ["variant", *(share.replace("_f1", " F1").replace("_", " ") for share in shares)]
    header += ["negative log-likelihood", "calibration error"]
    return markdown_table(header, cells, left=len(header))
