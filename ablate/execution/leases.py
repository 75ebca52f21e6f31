"""Leases without clocks that can be set: how a runner shows that it lives, and how others watch it.

Two sides. A runner renews in the database, where others watch its beats; whoever has seen no beat
for a lease, by a clock of its own and with the database in reach all the time, takes over. And the
runner lets its trainers know until when no other can have done so: see
`ablate.attempt.permit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ablate.attempt.permit import clock
from ablate.attempt.runners import Life, life_of
from ablate.domain import Hold


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
