"""Cameras and streams: the newest frame, however slow its user is."""

import threading
from collections.abc import Iterator

from affectlens.video.reader import Frame, Video

# Seconds to wait for a frame that is being read when the source is closed.
_PATIENCE = 1.0


class NewestFrames:
    """A live source's frames, always the newest: what came meanwhile is dropped and counted.

    A thread reads and decodes as fast as frames come, so that none is older than it takes to decode one,
    however slow its user is. Iterate over it; it ends with the source, or after `close`. `size` is that of
    the thumbnail which is taken of every frame in the thread.
    """

    def __init__(self, video: Video) -> None:
        self.video = video
        self._newest: Frame | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="newest-frames", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._changed:
                while self._newest is None and not self._ended:
                    # With a limit, or an interrupt from the keyboard would wait for the next frame.
                    self._changed.wait(0.2)
                frame, self._newest = self._newest, None
                if frame is None:
                    if self._error is not None:
                        raise self._error
                    return
            yield frame

    def close(self) -> None:
        """Stop reading. A source that gives nothing keeps its thread, which then closes the source itself."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(_PATIENCE)
        self.video.close()

    def _read(self) -> None:
        try:
            for frame in self.video.frames():
                with self._changed:
                    if self._ended:
                        return
                    self.video.decoded.dropped += self._newest is not None
                    self._newest = frame
                    self._changed.notify_all()
        except BaseException as error:  # raised where the frames are used
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
