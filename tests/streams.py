"""A live film, sent over the network as cameras do."""

import time
from typing import Any

import av

from films import HEIGHT, WIDTH, plain


def send(port: int, count: int, pause: float) -> None:
    """Send a film as it is made, as cameras do."""
    for _ in range(400):
        out = av.open(f"tcp://127.0.0.1:{port}", "w", format="mpegts", options={"flush_packets": "1"})
        stream: Any = out.add_stream("mpeg2video", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = HEIGHT, WIDTH, "yuv420p", 5
        try:
            out.start_encoding()
            break
        except OSError:  # no one listens yet
            time.sleep(0.05)
    with out:
        for number in range(count):
            raw = av.VideoFrame.from_ndarray(plain((number * 2, 0, 0)), "rgb24")
            raw.pts = number
            out.mux(stream.encode(raw))
            time.sleep(pause)
        out.mux(stream.encode(None))
