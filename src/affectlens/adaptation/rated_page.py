"""The report on learned ratings as one page of HTML that holds all it shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectlens.adaptation.page import chart_of, thumbnail
from affectlens.adaptation.rated_report import (
    ERROR,
    MEASURES,
    TITLES,
    RatedReport,
    RatedSuspect,
    RatingReport,
    cell_text,
    how_ratings_were_learned,
)
from affectlens.adaptation.rated_source import RatedSource
from affectlens.adaptation.validation import LARGE, OWN
from affectlens.metrics import Doubles
from affectlens.ratings import COVERAGE
from affectlens.report import html
from affectlens.report.text import ON_AVERAGE, listed, printable_in_files

_SCATTER = (320, 44)  # side and margin of people's ratings against predicted ones


def write_rated_page(
    file: Path, report: RatedReport, rated: RatedSource, predicted: Sequence[Mapping[int, float]]
) -> None:
    """Write the page. Raises `OutputError`."""
    ratings = [
        _rating(each, rated, found, values)
        for each, found, values in zip(report.ratings, predicted, rated.values.T, strict=True)
    ]
    page = {
        "names": [each.name for each in report.ratings],
        "findings": report.findings(),
        "notes": report.notes,
        "on_average": ON_AVERAGE,
        "measures": list(MEASURES.values()),
        "coverage": f"{COVERAGE:g}",
        "ratings": ratings,
        "start": report.start,
        "how_it_learned": how_ratings_were_learned(report),
        "facts": {
            "weights": report.weights[:12],
            "groups": f"{report.groups:,}",
            "seed": report.seed,
        },
        "large": LARGE,
    }
    html.save_page(file, html.render("rated_adaptation.html", page))


def _rating(
    report: RatingReport, rated: RatedSource, predicted: Mapping[int, float], values: Doubles
) -> dict[str, Any]:
    scale = report.scale
    given = "" if report.given == (scale.low, scale.high) else "{:g} to {:g}".format(*report.given)
    points = [(point.pictures, point.error) for point in report.curve]
    return {
        "name": report.name,
        "ends": f"{scale.low:g} to {scale.high:g}",
        "given": given,
        "pictures": report.pictures,
        "estimates": [
            {"title": TITLES[name], "own": name == OWN, "cells": [cell_text(found[m]) for m in MEASURES]}
            for name, found in report.estimates.items()
        ],
        "differences": [
            {"title": TITLES[name], "own": False, "cells": [cell_text(found[m]) for m in MEASURES]}
            for name, found in report.differences.items()
        ],
        "compared": len(report.differences),
        "covered": f"{100 * report.coverage.value:.0f} % ({100 * report.coverage.low:.0f} to "
        f"{100 * report.coverage.high:.0f} %)",
        "half_width": f"{report.width / 2:.2f}",
        "scatter": _scatter(report, predicted, values),
        "curve": chart_of(points, least_room=0.05 * (scale.high - scale.low)),
        "suspects": [_suspect(each, rated) for each in report.suspects],
        "parts": report.parts,
        "divisions": report.divisions,
        "penalties": f"{report.penalty:.3g} for all pictures; in the parts "
        + listed([f"{each:.3g}" for each in report.penalties]),
        "error": report.estimates[OWN][ERROR],
    }


def _scatter(report: RatingReport, predicted: Mapping[int, float], values: Doubles) -> dict[str, Any]:
    """Lay out people's ratings (upwards) against predictions of those that did not see them (rightwards)."""
    side, margin = _SCATTER
    low, high = report.scale.low, report.scale.high

    def along(value: float) -> float:
        return round(margin + (side - 1.5 * margin) * (value - low) / (high - low), 1)

    points = [(along(found), round(side - along(float(values[row])), 1)) for row, found in predicted.items()]
    ticks = [low + share * (high - low) for share in np.linspace(0, 1, 5)]
    return {
        "side": side,
        "points": points,
        "low": along(low),
        "high": along(high),
        "ticks": [
            {"at": along(tick), "down": round(side - along(tick), 1), "text": f"{tick:g}"} for tick in ticks
        ],
    }


def _suspect(found: RatedSuspect, rated: RatedSource) -> dict[str, Any]:
    path = next(record.path for record in rated.records if record.key == found.key)
    return {
        "name": printable_in_files(found.key),
        "picture": thumbnail(path),
        "rated": f"{found.rated:.2f}",
        "predicted": f"{found.predicted:.2f}",
    }
