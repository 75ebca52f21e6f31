"""What a scheduler is asked for, and what it tells at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ablate.attempt.permit import clock
from ablate.attempt.runners import Life, life_of
from ablate.domain import RunState
from ablate.store.base import LEASE_S, ClaimFilter


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerOptions:
    """What to run, and when to give up."""

    wanted: ClaimFilter
    max_failures: int | None = None
    """Claim nothing more after so many failed runs, None for never."""
    lease_s: float = LEASE_S
    now: Callable[[], float] = clock
    """Seconds, by a clock that nobody can set."""
    life: Callable[[str], Life] = life_of
    """Tells from a runner's name whether it lives."""


@dataclass(slots=True)
class Summary:
    """How the runs of one `Scheduler.run` ended."""

    runs: Counter[RunState] = field(default_factory=Counter[RunState])
    """State -> runs that are in it after their last attempt here."""
    wall_s: float = 0.0
    was_stopped: bool = False
    held_elsewhere: int = 0
    """Runners that still hold runs when nothing is left in the queue."""
