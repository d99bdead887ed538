"""Which explanation of the default model is most faithful, on pictures of the validation split of FI.

    python benchmarks/explanations.py --data fi:PATH [--pictures 24] [--checked 8] [--methods A,B,...]
    python benchmarks/explanations.py

With --data it measures, as `affectlens explain compare` does, and writes
benchmarks/results/explanations.json; in any case it then writes docs/results/explanations.md from that file.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import result_page
from affectlens.explain.faithfulness import tables
from affectlens.explain.faithfulness.measurements import Measurement
from affectlens.explain.faithfulness.results import decide, summarise
from affectlens.report.text import TextTable, markdown_table

HERE = Path(__file__).parent
RESULT = HERE / "results" / "explanations.json"
COMPLETENESS = HERE / "results" / "completeness.json"
# By `affectlens explain compare ... --methods cam`, since `cam` lays the half of a transformer out otherwise.
CAM = HERE / "results" / "explanations_cam.json"


def measure(given: argparse.Namespace) -> None:
    command = [sys.executable, "-m", "affectlens", "explain", "compare", given.data, "--out", str(RESULT),
               "--pictures", str(given.pictures), "--checked", str(given.checked)]  # fmt: skip
    if given.methods:
        command += ["--methods", given.methods]
    RESULT.parent.mkdir(exist_ok=True)
    subprocess.run(command, check=True)


def parts(document: dict[str, Any]) -> dict[str, str]:
    """Text of each slot of the template."""
    rows = [Measurement.from_json(row) for row in document["rows"]]
    summary = summarise(rows, resamples=document["resamples"])
    machine, data = document["machine"], document["data"]
    checked = {row.picture for row in rows if "sensitivity" in row.figures}
    return {
        "PICTURES": f"{summary.pictures} pictures, sampled evenly from the emotions of {data['name']}, split "
        f"`{data['split']}` (hash `{data['hash']}`); the question is always why the model predicts what it "
        "does, its first emotion against all others. In brackets 95 % intervals by bootstrap over pictures.",
        "CONCLUSIONS": "\n".join(f"- {each}" for each in tables.conclusions(summary, decide(summary))),
        "RANDOM": str(document["options"]["random_maps"]),
        "CURVES": markdown(tables.curves_table(summary)),
        "NORMALISED": markdown(tables.curves_table(summary, scale="normalised")),
        "CHECKED": str(len(checked)),
        "CHECKS": markdown(tables.checks_table(summary)),
        **completeness_parts(json.loads(COMPLETENESS.read_text(encoding="utf-8"))),
        "CAM": cam_today(json.loads(CAM.read_text(encoding="utf-8"))),
        "MACHINE": machine["gpu"] or f"{machine['cores']} cores of {machine['cpu']}",
    }


def cam_today(document: dict[str, Any]) -> str:
    """Text about `cam` as it is since it lays a transformer's half out by its last attention."""
    summary = summarise(
        [Measurement.from_json(row) for row in document["rows"]], resamples=document["resamples"]
    )
    version = document["machine"]["versions"]["affectlens"]
    return (
        f"Measured on {document['date'][:10]} with version {version}, on the same pictures (split hash "
        f"`{document['data']['hash']}`); random maps and the order of steps were sampled anew:\n\n"
        + markdown(tables.curves_table(summary))
    )


def markdown(rows: TextTable) -> str:
    return markdown_table(rows[0], rows[1:])


def completeness_parts(document: dict[str, Any]) -> dict[str, str]:
    """Text of the slots about integrated gradients, from what `completeness.py` measured."""
    rows = document["rows"]
    errors = [row["completeness_error_relative"] for row in rows]
    equal = [row["equal_steps_error_relative"] for row in rows]
    table = markdown_table(
        ["picture", "explained", "difference", "variation", "steps", "error"],
        [
            [Path(row["picture"]).stem, row["emotion"], f"{row['difference']:.2f}",
             f"{row['variation']:.2f}", str(row["steps"]), f"{row['completeness_error_relative']:.2%}"]
            for row in rows
        ],
        left=2,
    )  # fmt: skip
    steps = [row["steps"] for row in rows]
    text = (
        f"Measured by `benchmarks/completeness.py` on {len(rows)} pictures, equally far apart in the order "
        f"of the split: {sum(row['complete'] for row in rows)} of them add up, with errors up to "
        f"{max(errors):.2%} (median {statistics.median(errors):.2%}) of the difference between the "
        f"picture's answer and the baseline's, in log-odds. That takes {statistics.median(steps):.0f} steps "
        f"in the middle and up to {max(steps)} where an answer wanders far and ends near where it began: "
        "*variation* is all that it rises and falls on the way. With "
        f"{document['equal_steps']} equal steps for every picture the errors are "
        f"{statistics.median(equal):.0%} in the middle and {max(equal):.0%} at worst."
    )
    return {"COMPLETENESS": text, "COMPLETENESS_TABLE": table}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", help="data set, as fi:PATH; without it the page is written from the last result"
    )
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--checked", type=int, default=8)
    parser.add_argument("--methods", help="names with commas; all that suit the model by default")
    given = parser.parse_args()
    if given.data:
        measure(given)
    document = json.loads(RESULT.read_text(encoding="utf-8"))
    result_page.write(result_page.RESULTS / "explanations.md", "explanations.template.md", parts(document))


if __name__ == "__main__":
    main()
