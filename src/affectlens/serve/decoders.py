"""A few processes that decode pictures of strangers: each can be ended at any moment, and is then replaced.

They stay, since starting one takes longer than decoding a photograph. No picture's bytes go to disk.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectlens import errors
from affectlens.decoding import call_in_child
from affectlens.errors import PictureDamaged, PictureError, PictureTooLarge
from affectlens.images import Pixels
from affectlens.inference.fitting import FittedPicture
from affectlens.preprocess import Preprocessing
from affectlens.serve.decoder_child import COMPLETE, FITTED, LENGTH, packed
from affectlens.serve.multipart import FilePart

_BUFFER = 1 << 20
_READY_SECONDS = 60.0  # for a process to start on a busy machine
_GONE = (asyncio.IncompleteReadError, ConnectionError, OSError)


@dataclass(frozen=True)
class DecodedPicture:
    """A picture for a map: (H, W) upright, and pixels, of reduced size where a large JPEG was decoded so."""

    size: tuple[int, int]
    pixels: Pixels


class DecoderProcess:
    """One process; it takes one order at a time."""

    def __init__(self, most_pixels: int) -> None:
        self._most_pixels = most_pixels
        self._process: Process | None = None
        self._orders = 0

    async def start(self) -> None:
        """Start the process if it is not there, and wait until it is ready."""
        if self._process is not None and self._process.returncode is None:
            return
        call = call_in_child("affectlens.serve.decoder_child:serve_orders", [str(self._most_pixels)])
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", call,
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=_BUFFER, env={**os.environ, **one_thread},
            start_new_session=True,  # Ctrl-C in a terminal is for the service, which still needs it
        )  # fmt: skip
        try:
            _widen(self._process)
            async with asyncio.timeout(_READY_SECONDS):
                await self._read()
        except BaseException:  # where no one waits any more, its first word would be taken for an answer
            await self.end()
            raise

    async def order(self, plain: dict[str, Any], data: bytes) -> tuple[dict[str, Any], Pixels | None]:
        """Send an order and wait for its answer."""
        assert self._process is not None and self._process.stdin is not None
        self._orders += 1
        self._process.stdin.write(packed({**plain, "bytes": len(data), "order": self._orders}))
        self._process.stdin.write(data)
        await self._process.stdin.drain()
        answer = await self._read()
        if answer["order"] != self._orders:  # that of another picture, which no client may ever get
            raise ConnectionError("the decoder is out of step")
        if "height" not in answer:
            return answer, None
        assert self._process.stdout is not None
        shape = answer["height"], answer["width"], 3
        pixels = await self._process.stdout.readexactly(shape[0] * shape[1] * 3)
        return answer, np.frombuffer(pixels, np.uint8).reshape(shape)

    async def _read(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        (length,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
        found: dict[str, Any] = json.loads(await self._process.stdout.readexactly(length))
        return found

    @property
    def number(self) -> int | None:
        """The number that the system has for the process."""
        return self._process.pid if self._process is not None else None

    async def end(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


class DecoderPool:
    """Decoders that pictures wait for, first come, first served."""

    def __init__(
        self, count: int, seconds: float, most_pixels: int, replaced: Callable[[], None] = lambda: None
    ) -> None:
        """Have `count` processes, with a limit of seconds and pixels for each picture.

        `replaced` is called whenever one ended before its time.
        """
        self._seconds, self._replaced = seconds, replaced
        self._idle: asyncio.Queue[DecoderProcess] = asyncio.Queue()
        self._all = [DecoderProcess(most_pixels) for _ in range(count)]

    @property
    def numbers(self) -> list[int]:
        """The numbers that the system has for the processes."""
        return [each.number for each in self._all if each.number is not None]

    async def start(self) -> None:
        """Start all processes."""
        await asyncio.gather(*(each.start() for each in self._all))
        for each in self._all:
            self._idle.put_nowait(each)

    async def stop(self) -> None:
        """End all processes."""
        await asyncio.gather(*(each.end() for each in self._all))

    async def fit(
        self, picture: FilePart, preprocessing: Preprocessing, *, measured: bool
    ) -> FittedPicture | PictureError:
        """Decode a picture and fit it to a network, or return its error."""
        plain = {"want": FITTED, "measured": measured, "preprocessing": preprocessing.to_json()}
        found = await self._decode(picture, plain)
        if isinstance(found, PictureError):
            return found
        answer, pixels = found
        return FittedPicture(pixels, answer["measured"])

    async def decode(self, picture: FilePart, preprocessing: Preprocessing) -> DecodedPicture:
        """Decode a picture. Raises `PictureError`."""
        found = await self._decode(picture, {"want": COMPLETE, "preprocessing": preprocessing.to_json()})
        if isinstance(found, PictureError):
            raise found
        answer, pixels = found
        return DecodedPicture((answer["size"][0], answer["size"][1]), pixels)

    async def _decode(
        self, picture: FilePart, plain: dict[str, Any]
    ) -> tuple[dict[str, Any], Pixels] | PictureError:
        decoder = await self._idle.get()
        try:
            answer, pixels = await self._ordered(decoder, plain, picture.data)
        except TimeoutError:
            reason = f"it takes longer than {self._seconds:g} seconds to decode. Make a smaller copy first."
            return PictureTooLarge(picture.name, reason)
        except _GONE:
            reason = "the decoder failed on it, or ran out of memory. Export it again."
            return PictureDamaged(picture.name, reason)
        finally:
            self._idle.put_nowait(decoder)
        if pixels is None:
            kind: type[PictureError] = getattr(errors, answer["error"])
            return kind(picture.name, answer["reason"])
        return answer, pixels

    async def _ordered(
        self, decoder: DecoderProcess, plain: dict[str, Any], data: bytes
    ) -> tuple[dict[str, Any], Pixels | None]:
        """Send an order, twice where the process ends: it may have been ended by someone else."""
        for is_last in (False, True):
            try:
                await decoder.start()
                async with asyncio.timeout(self._seconds):
                    return await decoder.order(plain, data)
            except _GONE as error:
                await self._replace(decoder)
                if is_last or isinstance(error, TimeoutError):
                    raise
            except BaseException:  # the client went away, and nothing is left to be decoded
                await self._replace(decoder)
                raise
        raise AssertionError("the second try returns or raises")

    async def _replace(self, decoder: DecoderProcess) -> None:
        self._replaced()
        await decoder.end()


def _widen(process: Process) -> None:
    """Give a process wide pipes, where the system can: a photograph then passes in few parts."""
    if sys.platform != "linux":
        return
    import fcntl

    transport: Any = process._transport  # type: ignore[attr-defined]
    for number in (0, 1):
        pipe = transport.get_pipe_transport(number).get_extra_info("pipe")
        if pipe is None:  # uvloop, on which Ray runs replicas, keeps its pipes to itself
            continue
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _BUFFER)
