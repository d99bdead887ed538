"""A timeline as tables: a row for each sampled frame, and a row for each shot.

In CSV and Parquet every number has a column of its own; JSON Lines keeps emotions together, as in the output
of `affectlens predict`. A missing value is an empty field, null or None. CSV has true and false, as that of
`predict` (before 0.2 True and False).

Columns of frames: second, frame, shot, top, one for each emotion as the model predicted, one for each
smoothed (`smoothed_` before its name), polarity, valence and arousal where there are any, uncertainty,
reused. Columns of shots: shot, start, end, duration, begins, transition, top, one for each emotion, one for
its standard error (`error_` before its name), polarity, key_second, samples.

A rating that the model predicts, as valence and arousal, is smoothed, as polarity is; of a frame there are
also the interval of a single picture around it (`_low` and `_high` after its name) and the frame's own
prediction (`unsmoothed_` before its name). Unusual is whether a frame is, and of a shot how many of its
samples are; both only where the model knows it. Faded is the same of frames that a fade dims, only where
the film has such.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from affectlens.emotions import polarity_score
from affectlens.files import atomic_write
from affectlens.film.timeline import Sample, Shot, Timeline, frame_interval
from affectlens.inference.output.csv_rows import csv_cell

DIGITS = 6
SUFFIXES = ("csv", "jsonl", "parquet")
ExportRow = dict[str, Any]


def write_tables(folder: Path, timeline: Timeline, suffix: str) -> list[Path]:
    """Write `frames.SUFFIX` and `shots.SUFFIX`; the suffix is one of `SUFFIXES`. Raises `OutputError`."""
    written = []
    for name, rows in (("frames", sample_rows(timeline)), ("shots", shot_rows(timeline))):
        file = folder / f"{name}.{suffix}"
        with atomic_write(file) as out:
            out.write(_ENCODINGS[suffix](list(rows)))
        written.append(file)
    return written


def sample_rows(timeline: Timeline) -> Iterator[ExportRow]:
    """Return a row for each sampled frame, by time."""
    words = timeline.vocabulary.words
    has_fades = any(sample.faded for sample in timeline.samples)
    for index, sample in enumerate(timeline.samples):
        yield {
            "second": sample.second,
            "frame": sample.frame,
            "shot": sample.shot,
            "top": _top(words, sample.emotions),
            "emotions": _named(words, sample.emotions),
            "smoothed": _named(words, sample.smoothed),
            **{
                name: round(values[index], DIGITS)
                for name in ("polarity", "valence", "arousal")
                if (values := getattr(timeline, name)) is not None
            },
            **_ratings_of(timeline, sample),
            "uncertainty": round(sample.uncertainty, DIGITS),
            "reused": sample.reused,
            **({} if sample.unusual is None else {"unusual": sample.unusual}),
            **({"faded": sample.faded} if has_fades else {}),
        }


def _ratings_of(timeline: Timeline, sample: Sample) -> dict[str, float]:
    """Return each rating of a frame, smoothed, with its interval, and as it was predicted."""
    found: dict[str, float] = {}
    rows = zip(timeline.scales, sample.ratings, sample.smoothed_ratings, strict=True)
    for scale, predicted, smoothed in rows:
        interval = frame_interval(scale, smoothed, unusual=sample.unusual is True)
        found |= {
            scale.name: round(smoothed, DIGITS),
            f"{scale.name}_low": round(interval.low, DIGITS),
            f"{scale.name}_high": round(interval.high, DIGITS),
            f"unsmoothed_{scale.name}": round(predicted, DIGITS),
        }
    return found


def shot_rows(timeline: Timeline) -> Iterator[ExportRow]:
    """Return a row for each shot, by time."""
    words = timeline.vocabulary.words
    has_fades = any(sample.faded for sample in timeline.samples)
    for shot in timeline.shots:
        polarity = polarity_score(timeline.distribution(shot.emotions))
        yield {
            "shot": shot.number,
            "start": shot.start,
            "end": shot.end,
            "duration": round(shot.duration, DIGITS),
            "begins": shot.begins,
            "transition": shot.transition,
            "top": _top(words, shot.emotions),
            "emotions": _named(words, shot.emotions),
            "error": _named(words, shot.error),
            **({} if polarity is None else {"polarity": round(polarity, DIGITS)}),
            **_named(timeline.rating_names, shot.ratings),
            "key_second": shot.key_second,
            "samples": shot.count,
            **_unusual_in(timeline, shot),
            **({"faded": sum(each.faded for each in timeline.samples_of(shot))} if has_fades else {}),
        }


def _unusual_in(timeline: Timeline, shot: Shot) -> dict[str, int]:
    """Count the unusual samples of a shot; empty where the model does not know."""
    marks = [sample.unusual for sample in timeline.samples_of(shot)]
    return {} if None in marks else {"unusual": marks.count(True)}


def flat(row: ExportRow) -> ExportRow:
    """Return a row with one value a column.

    >>> flat({"shot": 1, "emotions": {"awe": 0.9}, "error": {"awe": 0.1}})
    {'shot': 1, 'awe': 0.9, 'error_awe': 0.1}
    """
    values: ExportRow = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            prefix = "" if name == "emotions" else f"{name}_"
            values.update({f"{prefix}{word}": number for word, number in value.items()})
        else:
            values[name] = value
    return values


def _named(words: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return {word: round(value, DIGITS) for word, value in zip(words, values, strict=True)}


def _top(words: Sequence[str], values: Sequence[float]) -> str:
    return max(zip(words, values, strict=True), key=lambda pair: pair[1])[0]


def _csv(rows: list[ExportRow]) -> bytes:
    text = io.StringIO(newline="")
    flattened = [{name: csv_cell(value) for name, value in flat(row).items()} for row in rows]
    writer = csv.DictWriter(text, list(flattened[0]) if flattened else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flattened)
    return text.getvalue().encode()


def _json_lines(rows: list[ExportRow]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _parquet(rows: list[ExportRow]) -> bytes:
    # Imported here, so that CSV is written without waiting for it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([flat(row) for row in rows]), out)
    return out.getvalue()


_ENCODINGS = {"csv": _csv, "jsonl": _json_lines, "parquet": _parquet}
