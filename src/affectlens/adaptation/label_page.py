"""The report on several labels as one page of HTML that holds all it shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affectlens.adaptation.label_report import (
    BRIER,
    CALIBRATION_TITLE,
    F1_TITLES,
    MEASURES,
    TITLES,
    LabelsReport,
    LabelSuspect,
    how_labels_were_learned,
)
from affectlens.adaptation.label_source import LabelSource
from affectlens.adaptation.page import chart_of, thumbnail
from affectlens.adaptation.rated_report import cell_text
from affectlens.adaptation.report import measured_text
from affectlens.adaptation.validation import LARGE, OWN
from affectlens.evaluation.resampling import Measured
from affectlens.report import html
from affectlens.report.text import ON_AVERAGE, printable_in_files


def write_label_page(file: Path, report: LabelsReport, labels: LabelSource) -> None:
    """Write the page. Raises `OutputError`."""
    points = [(point.pictures, point.error) for point in report.curve]
    page = {
        "words": labels.words,
        "findings": report.findings(),
        "notes": report.notes,
        "on_average": ON_AVERAGE,
        "measures": list(MEASURES.values()),
        "calibration_title": CALIBRATION_TITLE,
        "estimates": [
            {
                "title": TITLES[name],
                "own": name == OWN,
                "cells": [*_cells(found), str(report.calibration[name])],
            }
            for name, found in report.estimates.items()
        ],
        "differences": [
            {"title": TITLES[name], "own": False, "cells": _cells(found)}
            for name, found in report.differences.items()
        ],
        "f1": [(title, measured_text(report.f1[name])) for name, title in F1_TITLES.items()],
        "rows": report.rows(),
        "curve": chart_of(points, least_room=0.02),
        "suspects": [_suspect(each, labels) for each in report.suspects],
        "start": report.start,
        "how_it_learned": how_labels_were_learned(report),
        "parts": max(each.parts for each in report.labels),
        "facts": {"weights": report.weights[:12], "groups": f"{report.groups:,}", "seed": report.seed},
        "large": LARGE,
    }
    html.save_page(file, html.render("label_adaptation.html", page))


def _cells(found: Mapping[str, Measured]) -> list[str]:
    """Write what was measured; squared errors are small, and have a digit more."""
    return [(measured_text if name == BRIER else cell_text)(found[name]) for name in MEASURES]


def _suspect(found: LabelSuspect, labels: LabelSource) -> dict[str, Any]:
    path = next(record.path for record in labels.records if record.key == found.key)
    return {
        "name": printable_in_files(found.key),
        "picture": thumbnail(path),
        "word": found.word,
        "given": found.given > 0.5,
        "probability": found.probability,
    }
