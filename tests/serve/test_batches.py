"""Pictures that are predicted together: the same answers, in order, and no more than fit."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affectlens.inference.engine import load_engine
from affectlens.inference.fitting import fit_picture
from affectlens.serve.batches import Batches
from affectlens.serve.models import RowOptions, ServedModel
from affectlens.serve.multipart import FilePart
from affectlens.serve.requests import PredictFields
from affectlens.serve.service import Service
from affectlens.serve.settings import ServeSettings
from services import Pictures


def test_items_come_back_in_order_and_share_batches_by_their_key() -> None:
    seen: list[tuple[str, list[int]]] = []
    begun, go = threading.Event(), threading.Event()

    def predict(key: str, items: list[int]) -> list[int]:
        begun.set()
        go.wait(10)
        seen.append((key, items))
        return [10 * item for item in items]

    async def run() -> list[int]:
        batches = Batches(predict, lambda _: 3, threads=1)
        first = asyncio.ensure_future(batches.submit("a", 0))
        await asyncio.to_thread(begun.wait, 10)
        others = [batches.submit(key, number) for number, key in enumerate("ababaa", 1)]
        waiting = asyncio.gather(first, *others)
        await asyncio.sleep(0)
        go.set()
        found = await waiting
        batches.stop()
        return found

    assert asyncio.run(run()) == [0, 10, 20, 30, 40, 50, 60]
    assert seen == [("a", [0]), ("a", [1, 3, 5]), ("b", [2, 4]), ("a", [6])]


def test_what_no_one_waits_for_is_left_out() -> None:
    seen: list[list[int]] = []
    begun, go = threading.Event(), threading.Event()

    def predict(_: str, items: list[int]) -> list[int]:
        begun.set()
        go.wait(10)
        seen.append(items)
        return items

    async def run() -> None:
        batches = Batches(predict, lambda _: 8, threads=1)
        waiting = [asyncio.ensure_future(batches.submit("a", number)) for number in range(3)]
        await asyncio.to_thread(begun.wait, 10)
        last = [asyncio.ensure_future(batches.submit("a", number)) for number in (7, 8)]
        await asyncio.sleep(0)
        last[0].cancel()
        go.set()
        assert await asyncio.gather(*waiting, last[1]) == [0, 1, 2, 8]
        batches.stop()

    asyncio.run(run())
    assert [item for items in seen for item in items] == [0, 1, 2, 8]


def test_an_error_reaches_all_that_share_the_batch_and_no_one_else() -> None:
    def predict(_: str, items: list[int]) -> list[int]:
        if 1 in items:
            raise ValueError("one")
        return items

    async def run() -> list[Any]:
        batches = Batches(predict, lambda _: 1, threads=2)
        found = await asyncio.gather(*(batches.submit("a", n) for n in range(3)), return_exceptions=True)
        batches.stop()
        return found

    zero, one, two = asyncio.run(run())
    assert (zero, two) == (0, 2) and isinstance(one, ValueError)


@pytest.mark.parametrize("device", ["cpu", "elsewhere"])
def test_a_row_is_the_same_to_the_last_digit_in_any_batch(
    device: str, graph_model: Path, photographs: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(str(graph_model))
    monkeypatch.setattr(type(engine), "device", device)
    model = ServedModel(engine, batch_size=8)
    fitted = [(name, fit_picture(data, model.card.preprocessing)) for name, data in photographs]
    alone = [model.rows(RowOptions(), [each])[0] for each in fitted]
    shapes: list[int] = []
    monkeypatch.setattr(type(engine), "answer", counted(type(engine).answer, shapes))
    together = [
        row
        for begin in range(0, len(fitted), model.at_once)
        for row in model.rows(RowOptions(), fitted[begin : begin + model.at_once])
    ]
    assert together == alone
    assert set(shapes) == {model.at_once} == {1 if device == "cpu" else 8}


def counted(answer: Any, shapes: list[int]) -> Any:
    def counting(self: Any, pixels: Any) -> Any:
        shapes.append(len(pixels))
        return answer(self, pixels)

    return counting


def test_measured_attributes_stay_with_their_picture_in_a_filled_batch(
    graph_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(str(graph_model))
    monkeypatch.setattr(type(engine), "device", "elsewhere")
    model = ServedModel(engine, batch_size=4)
    pixels = np.full((30, 30, 3), 200, np.uint8)
    fitted = replace(fit_picture(pixels, model.card.preprocessing), measured={"brightness": 0.5})
    (row,) = model.rows(RowOptions(attributes=True), [("one", fitted)])
    assert row["attributes"] == {"brightness": 0.5}


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "torch"])
def test_each_engine_answers_many_requests_as_it_answers_one(
    engine: str, with_graph: Path, photographs: Pictures
) -> None:
    """A real network, whose products of matrices may round otherwise in another batch or on more cores."""

    async def run() -> tuple[list[Any], list[Any]]:
        files = [FilePart(*each) for each in photographs]
        settings = ServeSettings(decoders=1)
        service = Service.load([str(with_graph)], settings, engine=engine)
        await service.start()
        alone = [(await service.predict([file], PredictFields()))[0] for file in files]
        many = await asyncio.gather(
            *(service.predict([files[n % 12], files[(n + 5) % 12]], PredictFields()) for n in range(24))
        )
        await service.stop()
        return alone, many

    alone, many = asyncio.run(run())
    assert alone[0]["engine"] == engine
    assert many == [[alone[n % 12], alone[(n + 5) % 12]] for n in range(24)]
