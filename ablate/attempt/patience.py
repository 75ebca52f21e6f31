"""What a training process does when a disk is full: it waits for space instead of dying.

Hours of training hang on a process; the disk is somebody's to clear. A write that finds no space
is tried again until there is some or the trainer is asked to stop.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


def echo(text: str) -> None:
    """Write a line to stderr, if that can be written: it may lie on the disk that is full."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def is_full(error: BaseException | None) -> bool:
    """Whether an error is, or follows from, a disk or a quota without space."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


class Patience:
    """Repeats what found no space.

    Args:
        path: What lies on the disk, for the message.
        warn: Is told once for each wait that it began, and that it ended.
        may_wait: Asked before each pause; without its consent the error is raised.
    """

    def __init__(
        self, path: Path, warn: Callable[[str], None], may_wait: Callable[[], bool]
    ) -> None:
        self._path = path
        self._warn = warn
        self._may_wait = may_wait

    def __call__(self, write: Callable[..., Result], *arguments: Any) -> Result:
        """Return what ``write`` returns once it finds space."""
        pause_s = 0.0
        while True:
            try:
                result = write(*arguments)
            except Exception as error:
                if not is_full(error) or not self._may_wait():
                    raise
            else:
                if pause_s:
                    self._warn(f"{self._path}: there is space again, training goes on")
                return result
            if not pause_s:
                self._warn(
                    f"{self._path}: no space is left on its disk; training waits, nothing is lost:"
                    " free some space and it goes on by itself"
                )
            pause_s = min(pause_s * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
            time.sleep(pause_s)
