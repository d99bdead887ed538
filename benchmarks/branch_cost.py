"""What the default model's third branch costs a picture: its graph against that of both trained branches.

    python benchmarks/branch_cost.py

One picture at a time, one thread, without reading the picture; both graphs in turns, in ONNX Runtime and,
where it is installed, in OpenVINO. Both compute class maps and all else that a graph returns but ratings,
which cost nothing (ratings.py). Writes benchmarks/results/branch_cost.json.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime

from affectlens.machine import describe
from affectlens.model_folder import GRAPH, GRAPH_INPUT
from affectlens.models import saved
from affectlens.models.join import branches_of, join
from affectlens.models.saved import Model

RESULT = Path(__file__).parent / "results" / "branch_cost.json"
ROUNDS, PICTURES = 15, 20
ALL, TRAINED = "all three branches", "both trained branches"


def run_onnxruntime(graph: Path) -> Callable[[Any], Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options)
    return lambda images: session.run(None, {GRAPH_INPUT: images})


def run_openvino(graph: Path) -> Callable[[Any], Any]:
    from openvino import Core

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled: Callable[[Any], Any] = Core().compile_model(graph, "CPU", settings)
    return compiled


def models() -> dict[str, Model]:
    """Return the default model, and the ensemble of its first two branches."""
    default = saved.load()
    every = branches_of(default)
    return {ALL: join(every, "all"), TRAINED: join(every[:2], "trained")}


def measure() -> dict[str, Any]:
    """Time both graphs in each engine, in turns."""
    engines: dict[str, Callable[[Path], Callable[[Any], Any]]] = {"onnxruntime": run_onnxruntime}
    try:
        import openvino  # noqa: F401
    except ImportError:
        pass
    else:
        engines["openvino"] = run_openvino
    images = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    found: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        sessions = {}
        for name, model in models().items():
            out = Path(folder) / name.partition(" ")[0]
            saved.save_model(out, model.network, model.card, "", "float16")
            saved.add_graph(out)
            sessions[name] = {engine: load(out / GRAPH) for engine, load in engines.items()}
        for engine in engines:
            seconds: dict[str, list[float]] = {name: [] for name in sessions}
            for _ in range(ROUNDS):
                for name, loaded in sessions.items():
                    began = time.perf_counter()
                    for _ in range(PICTURES):
                        loaded[engine](images)
                    seconds[name].append((time.perf_counter() - began) / PICTURES)
            ratios = [a / b for a, b in zip(seconds[ALL], seconds[TRAINED], strict=True)]
            found[engine] = {
                "seconds": {name: float(np.median(each)) for name, each in seconds.items()},
                "ratio": float(np.median(ratios)),
                "ratios": [min(ratios), max(ratios)],
            }
    return found


def main() -> None:
    result = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "weights": saved.load().card.weights_hash,
        "rounds": ROUNDS,
        "engines": measure(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
