"""What storing or computing the default model in fewer bits gains, and what it costs.

    python benchmarks/precisions.py --data fi:PATH [--pictures 2272] [--times]
    python benchmarks/precisions.py

With --data it exports the model in each precision, predicts pictures of the validation split of FI by each
file, and takes their times in turns, of one core. Ranges of activations for int8 are found on pictures of the
training split. With --times only times are taken anew, for when the machine does nothing else. Writes
benchmarks/results/precisions.json; in any case it then writes
docs/results/precisions.md from that file.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

import result_page
from affectlens import library
from affectlens.data.catalog import open_data
from affectlens.data.records import Record
from affectlens.evaluation.scores import score
from affectlens.export.graph_file import PROBABILITIES, serialised, standalone_graph
from affectlens.export.openvino_file import XML, write_openvino
from affectlens.export.quantise import quantisable, quantised
from affectlens.files import atomic_write
from affectlens.images import read_pixels
from affectlens.inference.predictions import as_logits
from affectlens.machine import describe, import_onnx_runtime, import_openvino
from affectlens.metrics import RowSampler, bootstrap_interval
from affectlens.model_folder import GRAPH_INPUT, Card
from affectlens.preprocess import Images
from affectlens.report.text import markdown_table, signed

RESULT = Path(__file__).parent / "results" / "precisions.json"
CALIBRATION, BATCH, ROUNDS, RESAMPLES = 128, 8, 12, 2000
TITLES = {
    "float32": "float32",
    "float16": "float16, of stored weights",
    "int8": "int8, products with weights",
    "int8 with convolutions": "int8, convolutions too",
}


def all_layers(graph: Any) -> list[str]:
    """Return what `quantisable` does, and all convolutions."""
    convolutions = [node.name for node in graph.node if node.op_type == "Conv"]
    return [*quantisable(graph), *convolutions]


def images_of(records: list[Record], card: Card) -> Images:
    fit = card.preprocessing
    pixels = [fit.fit_pixels(read_pixels(each.path, at_least=fit.at_least)) for each in records]
    return fit.normalise(np.stack(pixels))


def onnx_answers(graph: bytes) -> Any:
    onnxruntime = import_onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run([PROBABILITIES], {GRAPH_INPUT: images})[0]


def openvino_answers(graph: Any) -> Any:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1}
    with TemporaryDirectory() as folder:
        write_openvino(Path(folder), graph, {}, False)
        compiled = import_openvino().Core().compile_model(str(Path(folder) / XML), "CPU", settings)
    return lambda images: np.array(compiled([images])[PROBABILITIES])


def in_turns(answers: dict[str, Any], images: Images) -> dict[str, list[float]]:
    """Milliseconds of a picture of each, one batch after another."""
    found: dict[str, list[float]] = {name: [] for name in answers}
    for _ in range(ROUNDS):
        for name, answer in answers.items():
            begin = time.perf_counter()
            answer(images[:BATCH])
            found[name].append((time.perf_counter() - begin) / BATCH * 1000)
    return found


def exported(calibration: Images) -> dict[str, Any]:
    """Return the default model's graph in each precision."""
    folder = library.find(library.DEFAULT)
    complete = standalone_graph(folder)
    return {
        "float32": complete,
        "float16": standalone_graph(folder, "float16"),
        "int8": quantised(complete, calibration),
        "int8 with convolutions": quantised(complete, calibration, all_layers),
    }


def chosen(data: str, split: str, most: int) -> list[Record]:
    """Return pictures of a split, equally far apart in its order."""
    records = open_data(data).splits[split]
    return list(records[:: max(1, len(records) // most)][:most])


def milliseconds(graphs: dict[str, Any], images: Images) -> dict[str, list[float]]:
    several = {f"ONNX Runtime, {name}": onnx_answers(serialised(each)) for name, each in graphs.items()}
    several |= {f"OpenVINO, {name}": openvino_answers(each) for name, each in graphs.items()}
    return in_turns(several, images)


def run(data: str, count: int) -> None:
    card = library.card()
    train, val = chosen(data, "train", CALIBRATION), chosen(data, "val", count)
    calibration = images_of(train, card)
    graphs = exported(calibration)
    answers = {name: onnx_answers(serialised(graph)) for name, graph in graphs.items()}
    predicted: dict[str, list[NDArray[np.float32]]] = {name: [] for name in graphs}
    for begin in range(0, len(val), 64):
        images = images_of(val[begin : begin + 64], card)
        for name, answer in answers.items():
            parts = [answer(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
            predicted[name].append(np.concatenate(parts))
        print(f"{begin + len(images)} of {len(val)} pictures", flush=True)
    targets = np.array([record.target.probabilities for record in val], dtype=np.float32)
    document = {
        "machine": describe(), "weights": card.weights_id,
        "data": data.partition(":")[0], "pictures": len(val), "calibration": len(train), "rounds": ROUNDS,
        "rows": [
            {"precision": name, "bytes": len(serialised(graphs[name])),
             **figures(np.concatenate(found), np.concatenate(predicted["float32"]), targets, card)}
            for name, found in predicted.items()
        ],
        "milliseconds": milliseconds(graphs, calibration),
    }  # fmt: skip
    with atomic_write(RESULT, "w") as file:
        file.write(json.dumps(document, indent=1) + "\n")


def again(data: str) -> None:
    """Take the times anew, of the same files."""
    document = json.loads(RESULT.read_text(encoding="utf-8"))
    calibration = images_of(chosen(data, "train", CALIBRATION), library.card())
    document["milliseconds"] = milliseconds(exported(calibration), calibration)
    document["machine"] = describe()
    with atomic_write(RESULT, "w") as file:
        file.write(json.dumps(document, indent=1) + "\n")


def figures(
    found: NDArray[np.float32], whole: NDArray[np.float32], targets: NDArray[np.float32], card: Card
) -> dict[str, Any]:
    """Scores of probabilities (N, E), and how they differ from those in float32, with 95 % intervals."""
    scores = score(as_logits(found), targets, card.vocabulary, resamples=0)
    truth = targets.argmax(axis=1)
    right = (found.argmax(axis=1) == truth).astype(float) - (whole.argmax(axis=1) == truth)
    likelihood = [-np.log(np.maximum(each[np.arange(len(truth)), truth], 1e-12)) for each in (found, whole)]
    sampled = RowSampler(0).rows(len(truth), (RESAMPLES, len(truth)))
    differences = {"accuracy": right, "negative_log_likelihood": likelihood[0] - likelihood[1]}
    return {
        "accuracy": scores.accuracy,
        "negative_log_likelihood": scores.negative_log_likelihood,
        "expected_calibration_error": scores.expected_calibration_error,
        "same_emotion": float((found.argmax(axis=1) == whole.argmax(axis=1)).mean()),
        "largest": float(np.abs(found - whole).max()),
        "mean": float(np.abs(found - whole).mean()),
        "differences": {
            name: [float(each.mean()), *map(float, bootstrap_interval(each[sampled].mean(axis=1)))]
            for name, each in differences.items()
        },
    }


def parts(document: dict[str, Any]) -> dict[str, str]:
    """Text of each slot of the template."""
    rows = []
    for row in document["rows"]:
        accuracy, likelihood = (
            f"{signed(each[0], digits)} ({signed(each[1], digits)} to {signed(each[2], digits)})"
            for each, digits in (
                ([100 * value for value in row["differences"]["accuracy"]], 1),
                (row["differences"]["negative_log_likelihood"], 4),
            )
        )
        rows.append([
            TITLES[row["precision"]], f"{row['bytes'] / 1e6:.1f}", f"{100 * row['accuracy']:.1f}", accuracy,
            likelihood, f"{row['expected_calibration_error']:.3f}", f"{row['same_emotion']:.1%}",
            f"{row['mean']:.4f}, {row['largest']:.3f}",
        ])  # fmt: skip
    taken = {name: np.array(each) for name, each in document["milliseconds"].items()}
    times = []
    for precision, title in TITLES.items():
        cells = [title]
        for engine in ("ONNX Runtime", "OpenVINO"):
            found, base = taken[f"{engine}, {precision}"], taken[f"{engine}, float32"]
            cells.append(f"{np.median(found):.1f} ({found.min():.1f} to {found.max():.1f}), "
                         f"{np.median(base / found):.2f} times as fast")  # fmt: skip
        times.append(cells)
    machine = document["machine"]
    return {
        "PICTURES": f"{document['pictures']:,}",
        "CALIBRATION": str(document["calibration"]),
        "WEIGHTS": document["weights"],
        "ROUNDS": str(document["rounds"]),
        "SCORES": markdown_table(
            ["precision", "MB", "accuracy", "difference to float32, points",
             "of the negative log-likelihood", "calibration error", "same first emotion",
             "difference of a probability: mean, largest"], rows, left=1),
        "TIMES": markdown_table(
            ["precision", "ONNX Runtime, ms a picture", "OpenVINO, ms a picture"], times, left=1
        ),
        "MACHINE": f"{machine['cpu']}, {machine['cores']} cores",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="fi:PATH; without it the page is written from the last result")
    parser.add_argument("--pictures", type=int, default=2272)
    parser.add_argument(
        "--times", action="store_true", help="take the times of --data anew, and nothing else"
    )
    given = parser.parse_args()
    if given.data and given.times:
        again(given.data)
    elif given.data:
        run(given.data, given.pictures)
    document = json.loads(RESULT.read_text(encoding="utf-8"))
    result_page.write(result_page.RESULTS / "precisions.md", "precisions.template.md", parts(document))


if __name__ == "__main__":
    main()
