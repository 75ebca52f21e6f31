"""Leases without clocks that can be set: how a runner shows that it lives, and how others watch it.

Two sides. A runner renews in the database, where others watch its beats; whoever has seen no beat
for a lease, by a clock of its own and with the database in reach all the time, takes over. And the
runner lets its trainers know until when no other can have done so: see `Permit`.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ablate.domain import Hold
from ablate.execution.runners import Life, life_of

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_UNTIL = struct.Struct("<d")


def clock() -> float:
    """Return seconds since the machine started, sleep counts too: nobody can set this clock."""
    return time.clock_gettime(_CLOCK)


@dataclass(slots=True)
class _Seen:
    hold: Hold
    since: float
    has_changed: bool = False


class Watch:
    """Tells which holds are abandoned, from one observation to the next.

    Args:
        now: The clock.
        life: Tells from a runner's name whether it lives.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = clock,
        life: Callable[[str], Life] = life_of,
    ) -> None:
        self._now = now
        self._life = life
        self._seen: dict[int, _Seen] = {}
        self._last = now()

    def restart(self) -> None:
        """Forget what was seen: the database was out of reach, for others it may still be."""
        self._seen.clear()

    def abandoned(self, holds: Iterable[Hold], asked_at: float) -> tuple[Hold, ...]:
        """Return which of all holds of other runners may be taken over.

        Args:
            holds: As the database shows them now.
            asked_at: When the database was asked, by the clock.
        """
        now = self._now()
        unwatched_s, waited_s = asked_at - self._last, now - asked_at
        self._last = now
        before, self._seen = self._seen, {}
        gone: list[Hold] = []
        for hold in holds:
            seen = before.get(hold.attempt_id)
            if seen is None or seen.hold != hold:
                seen = _Seen(hold, now, has_changed=seen is not None)
            elif unwatched_s > hold.lease_s / 2 or waited_s > hold.lease_s / 4:
                seen.since = now  # the database may have been out of the runner's reach too
            life = self._life(hold.runner)
            if life is Life.ALIVE:
                continue
            if life is Life.DEAD or asked_at - seen.since >= hold.lease_s:
                gone.append(hold)
            else:
                self._seen[hold.attempt_id] = seen
        return tuple(gone)

    @property
    def is_undecided(self) -> bool:
        """Whether there are holds of which no sign was seen yet, and not for a lease."""
        return any(not seen.has_changed for seen in self._seen.values())


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
