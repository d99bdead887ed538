"""Decoder processes: each picture gets its own pixels, whatever happened to those before it."""

import asyncio
import os
import signal
import time

import numpy as np
import pytest

from affectlens.errors import PictureDamaged, PictureTooLarge
from affectlens.images import encode_png
from affectlens.inference.fitting import FittedPicture, fit_picture
from affectlens.preprocess import Preprocessing
from affectlens.serve import decoder_child
from affectlens.serve.decoders import DecoderPool
from affectlens.serve.multipart import FilePart
from services import Pictures

FIT = Preprocessing(height=32, width=32)


def plain_picture(level: int) -> FilePart:
    return FilePart(f"{level}.png", encode_png(np.full((40, 50, 3), level, np.uint8)))


async def level_of(pool: DecoderPool, level: int) -> int:
    found = await pool.fit(plain_picture(level), FIT, measured=False)
    assert isinstance(found, FittedPicture)
    return int(found.pixels.max())


def test_pixels_are_those_of_this_process(photographs: Pictures) -> None:
    async def run() -> None:
        pool = DecoderPool(2, 20, 1_000_000)
        await pool.start()
        found = await asyncio.gather(*(pool.fit(FilePart(*each), FIT, measured=True) for each in photographs))
        for given, fitted in zip(photographs, found, strict=True):
            expected = fit_picture(given[1], FIT, measured=True)
            assert isinstance(fitted, FittedPicture)
            np.testing.assert_array_equal(fitted.pixels, expected.pixels)
            assert fitted.measured == expected.measured
        decoded = await pool.decode(FilePart(*photographs[0]), FIT)
        assert decoded.size == decoded.pixels.shape[:2] == (60, 90)
        await pool.stop()

    asyncio.run(run())


def test_decoders_answer_on_the_loop_that_ray_runs_replicas_on() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def run() -> int:
        pool = DecoderPool(1, 20, 1_000_000)
        await pool.start()
        try:
            return await level_of(pool, 70)
        finally:
            await pool.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == 70


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.02, 0.1, 0.3])
def test_a_picture_never_gets_the_pixels_of_one_that_was_given_up(seconds: float) -> None:
    """Given up while the process starts, while it is sent, or while it is decoded."""

    async def run() -> list[int]:
        pool = DecoderPool(1, 20, 1_000_000)
        found = []
        await pool.start()
        for level in range(10, 16):
            os.kill(pool.numbers[0], signal.SIGKILL) if level % 2 else None
            given_up = asyncio.ensure_future(level_of(pool, 200))
            await asyncio.sleep(seconds)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            found.append(await level_of(pool, level))
        await pool.stop()
        return found

    assert asyncio.run(run()) == list(range(10, 16))


def test_an_answer_to_another_order_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> int:
        replaced: list[int] = []
        pool = DecoderPool(1, 20, 1_000_000, lambda: replaced.append(1))
        await pool.start()
        monkeypatch.setattr(pool._all[0], "_orders", 7)
        # As if the answer to the seventh order had not been read.
        process = pool._all[0]._process
        assert process is not None and process.stdin is not None
        old = plain_picture(99)
        plain = {"want": "fitted", "measured": False, "preprocessing": FIT.to_json()}
        process.stdin.write(decoder_child.packed({**plain, "bytes": len(old.data), "order": 7}) + old.data)
        level = await level_of(pool, 55)
        assert replaced == [1]
        await pool.stop()
        return level

    assert asyncio.run(run()) == 55


def test_a_process_that_dies_on_a_picture_is_tried_twice_and_then_reported() -> None:
    async def run() -> None:
        replaced: list[int] = []
        pool = DecoderPool(1, 20, 1_000_000, lambda: replaced.append(1))
        await pool.start()

        async def kill() -> None:
            killed: set[int] = set()
            end = time.monotonic() + 20
            while len(killed) < 2 and time.monotonic() < end:
                for number in set(pool.numbers) - killed:
                    os.kill(number, signal.SIGKILL)
                    killed.add(number)
                await asyncio.sleep(0)

        killer = asyncio.ensure_future(kill())
        await asyncio.sleep(0)
        found = await pool.fit(plain_picture(1), FIT, measured=False)
        await killer
        assert isinstance(found, PictureDamaged) and "1.png" in str(found)
        assert len(replaced) == 2
        assert await level_of(pool, 3) == 3
        await pool.stop()

    asyncio.run(run())


def test_a_picture_beyond_the_limit_of_pixels_is_refused() -> None:
    async def run() -> object:
        pool = DecoderPool(1, 20, 1_000)
        await pool.start()
        found = await pool.fit(plain_picture(1), FIT, measured=False)
        await pool.stop()
        return found

    found = asyncio.run(run())
    assert isinstance(found, PictureTooLarge) and "2,000 pixels" in str(found)
