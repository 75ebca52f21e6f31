"""Until when a trainer may go on, by a clock that nobody can set."""

from __future__ import annotations

import math
import os
import struct
import time
from pathlib import Path

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_UNTIL = struct.Struct("<d")


def clock() -> float:
    """Return seconds since the machine started, sleep counts too: nobody can set this clock."""
    return time.clock_gettime(_CLOCK)


class Permit:
    """Until when a trainer may change what another runner would need: a number in a file.

    The runner extends it with each renewal, counted from before it asked for that. So it ends
    before any other runner can take over, and a trainer whose runner is suspended, or cut off from
    the database, knows. Both are on one machine and read one clock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._until = 0.0

    def extend(self, until: float) -> None:
        """Let the trainer go on until then.

        Raises:
            OSError: If the file cannot be written.
        """
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.pwrite(file, _UNTIL.pack(until), 0)
        finally:
            os.close(file)

    @property
    def is_valid(self) -> bool:
        """Whether it has not run out; reads the file only when what was read before has."""
        now = clock()
        if now < self._until:
            return True
        self._until = self.until
        return now < self._until

    @property
    def until(self) -> float:
        """When it runs out, by `clock`, as the file says now; never where no runner limits it."""
        try:
            return _UNTIL.unpack(self.path.read_bytes())[0]
        except FileNotFoundError:
            return math.inf
        except (OSError, struct.error):
            return 0.0
