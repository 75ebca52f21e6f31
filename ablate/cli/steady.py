"""A stream for progress that never stands in the way: not when it is gone, not when it is slow."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TextIO

_MAX_WAITING = 1000
"""Texts that may wait; more are dropped, as when a terminal stands still all night."""
_LAST_WAIT_S = 2.0


class SteadyStream:
    """Writes to another stream in a thread of its own.

    A terminal that was closed, a pager that ended or a terminal that was told to wait (Ctrl-S)
    costs lines of progress, and nothing else: who writes here neither fails nor waits.

    Args:
        stream: Where the text goes; None for nowhere.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._texts: queue.Queue[str | None] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:
        """Of the stream below."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether the stream below is a terminal."""
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        """Return the number of the stream below; a terminal is asked for its width by it."""
        if self._stream is None:
            raise OSError("there is no stream")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Have a text written as soon as that can be done."""
        with suppress(queue.Full):
            self._texts.put_nowait(text)
        return len(text)

    def flush(self) -> None:
        """Return at once: texts are flushed as they are written."""

    def close(self) -> None:
        """Give what waits a moment to be written; the stream below stays open."""
        with suppress(queue.Full):
            self._texts.put(None, timeout=_LAST_WAIT_S)
        self._thread.join(_LAST_WAIT_S)

    def _work(self) -> None:
        while (text := self._texts.get()) is not None:
            if self._stream is None:
                continue
            try:
                self._stream.write(text)
                if self._texts.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self._stream = None  # nobody reads any more
