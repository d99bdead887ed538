"""The report as one page of HTML that holds all it shows: scores, comparison, confusion, doubtful labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affectlens.adaptation.report import (
    MEASURES,
    NO_CURVE,
    TITLES,
    Report,
    Suspect,
    how_it_learned,
    measured_text,
    strengths_text,
)
from affectlens.adaptation.validation import LARGE, OWN, Labelled
from affectlens.errors import PictureError
from affectlens.evaluation.resampling import Measured
from affectlens.evaluation.tables import confusion_table, emotions_table
from affectlens.images import read_pixels, resize
from affectlens.report import html
from affectlens.report.figures import jpeg_url
from affectlens.report.text import ON_AVERAGE, listed, printable_in_files

_SIDE = 180  # pixels of a picture's longer side
_QUALITY = 80
_CHART = (640, 220, 44)  # width, height and margin of the learning curve


def write_page(file: Path, report: Report, data: Labelled) -> None:
    """Write the page. Raises `OutputError`."""
    html.save_page(file, html.render("adaptation.html", _page_values(report, data)))


def _page_values(report: Report, data: Labelled) -> dict[str, Any]:
    return {
        "words": report.scores.words,
        "pictures": report.pictures,
        "start": report.start,
        "how_it_learned": how_it_learned(report),
        "findings": [line for line in report.findings() if line],
        "on_average": ON_AVERAGE,
        "measures": list(MEASURES.values()),
        "estimates": [{**_row(name, found), "own": name == OWN} for name, found in report.estimates.items()],
        "differences": [_row(name, found) for name, found in report.differences.items()],
        "emotions": emotions_table(report.scores, report.word_intervals),
        "confusion": confusion_table(report.scores),
        "curve": chart_of(
            [(point.pictures, point.estimates["accuracy"]) for point in report.curve], least_room=0.05
        )
        if report.curve
        else None,
        "no_curve": NO_CURVE,
        "suspects": [_suspect(each, data) for each in report.suspects],
        "facts": {
            "temperature": f"{report.temperature:.3g}",
            **_chosen(report),
            "groups": f"{report.groups:,}",
            "parts": report.parts,
            "divisions": report.divisions,
            "seed": report.seed,
            "weights": report.weights[:12],
        },
        "large": LARGE,
    }


def _chosen(report: Report) -> dict[str, str]:
    """What was chosen within the pictures that were learned from."""
    if report.trained is None:
        return {"strength": f"{report.strength:.2g} for all pictures; in the parts {strengths_text(report)}"}
    chosen = {
        name: report.trained.settings[name]
        for name in ("epochs", "patience", "batch_size", "lr", "layer_decay", "head_lr_scale", "ema_decay")
    }
    epochs = listed([str(each) for each in report.trained.epochs])
    return {
        "epochs": f"{report.trained.epochs_of_all:g} on all pictures; best in the parts {epochs}",
        "settings": ", ".join(f"{name} {value:g}" for name, value in chosen.items()),
    }


def _row(name: str, found: Mapping[str, Measured]) -> dict[str, Any]:
    return {"title": TITLES[name], "cells": [measured_text(found[measure]) for measure in MEASURES]}


def chart_of(points: Sequence[tuple[int, Measured]], least_room: float) -> dict[str, Any]:
    """Lay out a learning curve: a measure against the number of pictures learned from, with intervals.

    The vertical axis spans `least_room` of the measure at least.
    """
    width, height, margin = _CHART
    most = max(pictures for pictures, _ in points)
    low, high = min(found.low for _, found in points), max(found.high for _, found in points)
    room = max(high - low, least_room)

    def across(pictures: int) -> float:
        return round(margin + (width - 2 * margin) * pictures / most, 1)

    def down(value: float) -> float:
        return round(height - margin / 1.5 - (height - margin) * (value - low) / room, 1)

    laid_out = [
        {
            "x": across(pictures),
            "y": down(found.value),
            "low": down(found.low),
            "high": down(found.high),
            "pictures": pictures,
            "measured": found,
        }
        for pictures, found in points
    ]
    return {
        "width": width,
        "height": height,
        "points": laid_out,
        "path": " ".join(f"{point['x']},{point['y']}" for point in laid_out),
    }


def _suspect(found: Suspect, data: Labelled) -> dict[str, Any]:
    return {
        "name": printable_in_files(found.key),
        "picture": thumbnail(data.records[found.row].path),
        "label": found.label,
        "likelier": found.likelier,
        "label_probability": found.label_probability,
        "likelier_probability": found.likelier_probability,
    }


def thumbnail(file: Path) -> str:
    """Return a small picture as an address that holds it; "" for one that is not there any more."""
    try:
        pixels = read_pixels(file, at_least=(_SIDE, _SIDE))
    except PictureError:
        return ""
    height, width = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    return jpeg_url(resize(pixels, max(1, round(height * scale)), max(1, round(width * scale))), _QUALITY)
