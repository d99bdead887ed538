"""Where the time and the memory of the first answer go, next to `transformers.pipeline`.

Each contender answers for one photograph in a process of its own, from the shell on; contenders take turns
within each round, after one round that is not counted, and medians are written. The default model is
answered for by each engine that is installed; a DeiT-Tiny, which the pipeline can load too, by all.

    python benchmarks/startup.py --picture PHOTO.jpg [--rounds 5]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import result_page

RESULT = Path(__file__).parent / "results" / "startup.json"
PAGE = result_page.RESULTS / "startup.md"
STEPS = ("interpreter", "imports", "model", "decode", "network")
BEGAN = "STARTUP_BEGAN"  # the clock of the process that measures, when it started this one


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", type=Path, help="photograph to answer for")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--answer", nargs=3, metavar=("PROGRAM", "MODEL", "PICTURE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        program, model, picture = given.answer
        print(json.dumps(answer(program, model, picture)))
        return
    if not given.picture:
        parser.error("--picture is missing")
    document = measure(given.picture.resolve(), given.rounds)
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    write_page(document)


# -------------------------------------------------------------------------------------------- one process


def answer(program: str, model: str, picture: str) -> dict[str, float]:
    """Answer once in this process: seconds of each step, and the peak memory."""
    marks = [float(os.environ[BEGAN]), time.time()]
    ours = {"onnxruntime": ours_by, "torch": ours_by, "pipeline": pipeline_of}[program]
    for step in ours(program, model, picture):
        step()
        marks.append(time.time())
    taken = [end - begin for begin, end in pairwise(marks)]
    return {
        **dict(zip(STEPS, taken, strict=True)),
        "peak_mebibytes": peak_mebibytes(),
    }


def peak_mebibytes() -> float:
    """Peak memory of this program alone, on Linux; `getrusage` also counts the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def ours_by(engine: str, model: str, picture: str) -> list[Callable[[], Any]]:
    kept: dict[str, Any] = {}

    def imports() -> None:
        import affectlens.inference.predictor
        from affectlens.inference.engine import load_engine

        if engine == "torch":
            import affectlens.inference.torch_engine
        else:
            import affectlens.inference.onnx_engine  # noqa: F401
        kept["load"] = load_engine

    def load() -> None:
        kept["engine"] = kept["load"](model, engine)

    def decode() -> None:
        from affectlens.images import read_pixels

        size = kept["engine"].card.preprocessing
        kept["pixels"] = size.fit_pixels(read_pixels(picture, at_least=size.at_least))

    def network() -> None:
        kept["engine"](kept["pixels"][None])

    return [imports, load, decode, network]


def pipeline_of(_: str, model: str, picture: str) -> list[Callable[[], Any]]:
    kept: dict[str, Any] = {}

    def imports() -> None:
        import transformers

        kept["pipeline"] = transformers.pipeline

    def load() -> None:
        kept["classify"] = kept["pipeline"]("image-classification", model)

    def decode() -> None:
        from PIL import Image

        kept["image"] = Image.open(picture).convert("RGB")

    def network() -> None:
        kept["classify"](kept["image"])

    return [imports, load, decode, network]


# ------------------------------------------------------------------------------------------------- results


def measure(picture: Path, rounds: int) -> dict[str, Any]:
    """Let every contender answer once in every round."""
    from affectlens.machine import describe

    with tempfile.TemporaryDirectory() as temporary:
        deit = plain_network(Path(temporary) / "deit_tiny")
        contenders = {
            "default model, ONNX Runtime": ("onnxruntime", "default"),
            "default model, torch": ("torch", "default"),
            "DeiT-Tiny, ONNX Runtime": ("onnxruntime", str(deit)),
            "DeiT-Tiny, torch": ("torch", str(deit)),
            "DeiT-Tiny, transformers.pipeline": ("pipeline", str(deit)),
        }
        found: dict[str, list[dict[str, float]]] = {title: [] for title in contenders}
        commands: list[float] = []
        for number in range(rounds + 1):  # the first fills the caches of the disk
            for title, (program, model) in contenders.items():
                result = in_own_process(program, model, picture)
                if number:
                    found[title].append(result)
            seconds = command_seconds(picture)
            commands += [seconds] if number else []
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "rounds": rounds,
        "command_seconds": round(statistics.median(commands), 3),
        "results": {
            title: {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}
            for title, rows in found.items()
        },
    }


def in_own_process(program: str, model: str, picture: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--answer", program, model, str(picture)]
    environment = {**os.environ, BEGAN: repr(time.time())}
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return result


def command_seconds(picture: Path) -> float:
    """Seconds of the command, from the shell to the prompt."""
    start = time.perf_counter()
    words = [sys.executable, "-m", "affectlens", "predict", str(picture)]
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def plain_network(folder: Path) -> Path:
    """Save a DeiT-Tiny with a graph."""
    import torch

    from affectlens.emotions import MIKELS
    from affectlens.model_folder import Card
    from affectlens.models import catalog
    from affectlens.models.saved import add_graph, save_model
    from affectlens.preprocess import Preprocessing

    torch.manual_seed(0)
    network = catalog.build("deit_tiny", len(MIKELS))
    card = Card(name="deit_tiny", network="deit_tiny", vocabulary=MIKELS, preprocessing=Preprocessing())
    save_model(folder, network.eval(), card, "A network for measurements; it knows nothing of emotions.\n")
    add_graph(folder)
    return folder


def write_page(document: dict[str, Any]) -> None:
    machine, results = document["machine"], document["results"]
    header = "| | " + " | ".join(STEPS) + " | all | peak memory, MiB |"
    lines = [header, "| --- |" + " ---: |" * (len(STEPS) + 2)]
    for title, row in results.items():
        steps = " | ".join(f"{row[step]:.2f}" for step in STEPS)
        lines.append(f"| {title} | {steps} | {total(row):.2f} | {row['peak_mebibytes']:.0f} |")
    fast, slow = (total(results[f"default model, {engine}"]) for engine in ("ONNX Runtime", "torch"))
    rival = total(results["DeiT-Tiny, transformers.pipeline"])
    parts = {
        "MACHINE": f"{machine['cores']} cores of {machine['cpu']}",
        "ROUNDS": str(document["rounds"]),
        "TABLE": "\n".join(lines),
        "COMMAND": f"{document['command_seconds']:.2f}",
        "TIMES": f"{slow / fast:.1f}",
        "RIVAL": f"{rival / total(results['DeiT-Tiny, ONNX Runtime']):.1f}",
    }
    result_page.write(PAGE, "startup.template.md", parts)


def total(row: dict[str, float]) -> float:
    return sum(row[step] for step in STEPS)


if __name__ == "__main__":
    main()
