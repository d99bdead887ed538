"""What a decoder process does: pictures on standard input, pixels on standard output, until its input ends.

Each order is four bytes, how long its JSON is, that JSON, and a picture file's bytes; each answer the same
with pixels. Bytes of strangers are decoded in such a process alone, which has little memory, writes no files
and can be ended at any moment.
"""

import json
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from affectlens.errors import PictureError, PictureTooLarge
from affectlens.images import Pixels, decode_in_this_process, read_pixels, read_size
from affectlens.inference.fitting import fit_picture
from affectlens.preprocess import Preprocessing

LENGTH = struct.Struct("<I")
FITTED, COMPLETE = "fitted", "complete"  # what an order wants: the network's input, or the picture for a map
# Bytes of a pixel while a picture is read, and of all else that the process holds.
_BYTES_PER_PIXEL, _BASE = 16, 1_500_000_000


def serve_orders(most_pixels: str) -> None:
    """Decode until standard input ends."""
    decode_in_this_process(int(most_pixels))
    _limit_resources(int(most_pixels) * _BYTES_PER_PIXEL + _BASE)
    given, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # where libraries in C may print
    write_answer(answers, {"order": 0})
    while (order := read_order(given)) is not None:
        plain, pixels = _answer(order, given.read(order["bytes"]))
        write_answer(answers, {**plain, "order": order["order"]}, pixels)


def read_order(stream: IO[bytes]) -> dict[str, Any] | None:
    """Read the JSON of an order; None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    found: dict[str, Any] = json.loads(stream.read(*LENGTH.unpack(head)))
    return found


def write_answer(stream: IO[bytes], plain: dict[str, Any], pixels: Pixels | None = None) -> None:
    """Write an answer."""
    stream.write(packed(plain))
    if pixels is not None:
        stream.write(pixels.data.cast("B"))
    stream.flush()


def packed(plain: dict[str, Any]) -> bytes:
    """Return JSON with its length before it."""
    text = json.dumps(plain).encode()
    return LENGTH.pack(len(text)) + text


def _answer(order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], Pixels | None]:
    try:
        plain, pixels = _pixels_for(order, data)
    except PictureError as error:
        return {"error": type(error).__name__, "reason": error.reason}, None
    except MemoryError:
        reason = "it takes more memory to decode than is allowed. Make a smaller copy first."
        return {"error": PictureTooLarge.__name__, "reason": reason}, None
    height, width, _ = pixels.shape
    return {**plain, "height": height, "width": width}, pixels


def _pixels_for(order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], Pixels]:
    preprocessing = Preprocessing.from_json(order["preprocessing"])
    if order["want"] == FITTED:
        fitted = fit_picture(data, preprocessing, measured=order["measured"])
        return {"measured": fitted.measured}, fitted.pixels
    size = read_size(data)
    return {"size": size}, read_pixels(data, at_least=preprocessing.at_least)


def _limit_resources(memory: int) -> None:
    """Have the system refuse more memory, files and dumps to this process, where it can."""
    if sys.platform == "win32":
        return
    import resource

    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        with suppress(OSError, ValueError):  # one that is lower already, or of a system without that
            resource.setrlimit(kind, (limit, limit))
    with suppress(OSError):  # the first to be ended where the machine runs out of memory
        Path("/proc/self/oom_score_adj").write_text("800")
