"""How fast is the service, compared with what one would write instead?

Both load the same model folder, a DeiT-Tiny with eight classes, and answer one picture a request, sent as a
form: `affectlens serve`, and FastAPI around `transformers.pipeline`, as its tutorials have it (`UploadFile`,
the pipeline in FastAPI's threads, one torch thread for each core). 1, 8 and 64 clients send the next picture
as soon as they have an answer. The services take turns within each round, each in a process of its own, so
that what else the machine does falls on both; the ratio of each round counts, and its median is stated. The
clients run on the same machine, and take a part of its processors from both alike.

    python benchmarks/serve.py [--pictures FOLDER] [--weights FOLDER] [--seconds 20] [--rounds 3]
                               [--clients 1,8,64]

    python benchmarks/serve.py --report

Without a folder, pictures of 1/f noise are made: 1280 x 960 as JPEG. Writes benchmarks/results/serve.json,
and with `--report` docs/results/serve.md from it.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

import result_page
from affectlens.machine import describe
from affectlens.report.text import markdown_table
from noise import photo_like, photographs
from predict import save_network

RESULT = Path(__file__).parent / "results" / "serve.json"
OURS, THEIRS = "affectlens serve", "FastAPI around transformers.pipeline"
PATHS = {OURS: ("/v1/predict", "pictures"), THEIRS: ("/predict", "picture")}
SIZE = (960, 1280)
DISTINCT = 16  # pictures
WARM_UP = 8  # requests before the clock starts
BOUNDARY = b"a-boundary"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, help="real pictures, sent as they are")
    parser.add_argument("--weights", type=Path, help="a folder with the network's weights; else random ones")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", default="1,8,64", help="numbers of clients, separated by commas")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--pipeline", nargs=2, metavar=("MODEL", "PORT"), help=argparse.SUPPRESS)
    parser.add_argument("--report", action="store_true", help="write the page from the last result")
    arguments = parser.parse_args()
    if arguments.report:
        document = json.loads(RESULT.read_text(encoding="utf-8"))
        result_page.write(result_page.RESULTS / "serve.md", "serve.template.md", parts(document))
        return
    if arguments.pipeline:
        serve_pipeline(arguments.pipeline[0], int(arguments.pipeline[1]))
        return
    numbers = [int(number) for number in arguments.clients.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_network(folder / "model", arguments.weights)
        bodies = [form_of(data) for data in pictures_of(arguments.pictures)]
        rounds = [one_round(model, bodies, numbers, arguments.seconds) for _ in range(arguments.rounds)]
    document = {
        "date": date.today().isoformat(),
        "machine": describe(),
        "settings": {
            "rounds": arguments.rounds,
            "seconds": arguments.seconds,
            "real pictures": bool(arguments.pictures),
            "mean_kilobytes": round(statistics.mean(map(len, bodies)) / 1000),
        },
        "clients": {str(number): summary(rounds, number) for number in numbers},
    }
    show(document)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=2) + "\n")


# ------------------------------------------------------------------------------------------- the two services


def serve_pipeline(model: str, port: int) -> None:
    """Serve a pipeline as one writes it in ten lines."""
    import torch
    import transformers
    import uvicorn
    from fastapi import FastAPI, UploadFile

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    classify: Any = transformers.pipeline("image-classification", model)
    app = FastAPI()

    @app.post("/predict")
    def predict(picture: UploadFile) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = classify(Image.open(picture.file).convert("RGB"), top_k=8)
        return found

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


@contextmanager
def serving(title: str, model: Path) -> Iterator[int]:
    """Run a service of that title; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    ours = ["-m", "affectlens", "serve", "--model", str(model), "--port", str(port)]
    command = ours if title == OURS else [__file__, "--pipeline", str(model), str(port)]
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{title} does not start") from None
                time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.communicate()


# ------------------------------------------------------------------------------------------------ the clients


def one_round(
    model: Path, bodies: list[bytes], numbers: list[int], seconds: float
) -> dict[str, dict[int, list[float]]]:
    """Let each service answer each number of clients; return the seconds of each answer."""
    found: dict[str, dict[int, list[float]]] = {}
    for title in PATHS:
        with serving(title, model) as port:
            asyncio.run(clients(title, port, bodies, 1, count=WARM_UP))
            found[title] = {
                number: asyncio.run(clients(title, port, bodies, number, seconds=seconds))
                for number in numbers
            }
    return found


async def clients(
    title: str,
    port: int,
    bodies: list[bytes],
    number: int,
    seconds: float = float("inf"),
    count: float = float("inf"),
) -> list[float]:
    """Have `number` clients send until the seconds are over, or each has sent `count` requests."""
    end = time.perf_counter() + seconds

    async def client(first: int) -> list[float]:
        taken: list[float] = []
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while time.perf_counter() < end and len(taken) < count:
            begin = time.perf_counter()
            await request(title, reader, writer, bodies[(first + len(taken)) % len(bodies)])
            taken.append(time.perf_counter() - begin)
        writer.close()
        return taken

    each = await asyncio.gather(*(client(first) for first in range(number)))
    return [seconds for taken in each for seconds in taken]


async def request(
    title: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
) -> None:
    """Send a picture over a connection that stays, and read its answer."""
    path, part = PATHS[title]
    body = body.replace(b"PART", part.encode(), 1)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in answer.split(b"\r\n")[0]:
        raise RuntimeError(f"{title}: {answer.decode()}")
    length = next(line for line in answer.split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))


def form_of(data: bytes) -> bytes:
    """Write a form with one picture, in a part whose name is filled in later."""
    head = b'Content-Disposition: form-data; name="PART"; filename="photo.jpg"\r\n\r\n'
    return b"--" + BOUNDARY + b"\r\n" + head + data + b"\r\n--" + BOUNDARY + b"--\r\n"


def pictures_of(folder: Path | None) -> list[bytes]:
    """Read real pictures, or make some of noise."""
    if folder is not None:
        return [path.read_bytes() for path in photographs(folder)[: 4 * DISTINCT]]
    with tempfile.TemporaryDirectory() as name:
        made = []
        for number in range(DISTINCT):
            file = Path(name) / "photo.jpg"
            Image.fromarray(photo_like(*SIZE, number)).save(file, quality=90)
            made.append(file.read_bytes())
        return made


# ------------------------------------------------------------------------------------------------ the results


def summary(rounds: list[dict[str, dict[int, list[float]]]], number: int) -> dict[str, Any]:
    """Put the rounds of one number of clients together."""
    found: dict[str, Any] = {}
    for title in PATHS:
        taken = [each[title][number] for each in rounds]
        speeds = [number * len(seconds) / sum(seconds) for seconds in taken]
        cuts = statistics.quantiles([second for seconds in taken for second in seconds], n=100)
        found[title] = {
            "requests": sum(map(len, taken)),
            "requests_per_second": [round(speed, 2) for speed in speeds],
            **{f"p{cut}_milliseconds": round(1000 * cuts[cut - 1], 1) for cut in (50, 95, 99)},
        }
    pairs = zip(*(found[title]["requests_per_second"] for title in PATHS), strict=True)
    found["times_as_fast_is_ours"] = round(statistics.median(ours / theirs for ours, theirs in pairs), 2)
    return found


def parts(document: dict[str, Any]) -> dict[str, str]:
    """Text of each slot of the page."""
    machine, settings = document["machine"], document["settings"]
    rows = []
    for number, found in document["clients"].items():
        for title in PATHS:
            each, ratio = found[title], f"{found['times_as_fast_is_ours']:.2f}"
            speeds = each["requests_per_second"]
            times = [f"{each[f'p{cut}_milliseconds']:,.0f}" for cut in (50, 95, 99)]
            speed = f"{statistics.median(speeds):.1f} ({min(speeds):.1f} to {max(speeds):.1f})"
            rows.append([f"{number}: {title}", speed, ratio if title == OURS else "", *times])
    most = max(document["clients"].items(), key=lambda item: item[1]["times_as_fast_is_ours"])
    alone = document["clients"].get("1")
    sentence = f"With {most[0]} clients ours is {most[1]['times_as_fast_is_ours']:.2f} times as fast."
    if alone and alone["times_as_fast_is_ours"] < 1:
        sentence += (
            f" One client alone waits longer for it ({alone['times_as_fast_is_ours']:.2f} times as fast): a "
            "picture goes to a decoder and back, and through the network on one core."
        )
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return {
        "ABOUT": f"{document['date']}, {machine['cpu']}, {machine['cores']} cores, "
        f"{settings['rounds']} rounds of {settings['seconds']:g} seconds in which both took turns; "
        f"{versions}.",
        "KILOBYTES": str(settings["mean_kilobytes"]),
        "TABLE": markdown_table(
            ["clients", "requests/s", "ours is times as fast", "p50, ms", "p95, ms", "p99, ms"], rows, left=1
        ),
        "SENTENCE": sentence,
    }


def show(document: dict[str, Any]) -> None:
    """Print a table for each number of clients."""
    for number, found in document["clients"].items():
        ratio = found["times_as_fast_is_ours"]
        print(f"\n{number} clients, {document['settings']['mean_kilobytes']} kB each: ours is {ratio} x")
        print(f"{'':40}{'requests/s':>12}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}")
        for title in PATHS:
            each = found[title]
            speed = statistics.median(each["requests_per_second"])
            times = "".join(f"{each[f'p{cut}_milliseconds']:10.1f}" for cut in (50, 95, 99))
            print(f"{title:40}{speed:12.1f}{times}")


if __name__ == "__main__":
    main()
