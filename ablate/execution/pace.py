"""How long a run may log nothing before it counts as hung: learned from its own steps.

A process can live and do nothing: a deadlock, a collective that waits for a GPU that is gone. Only
that it logs tells the difference, and only against how often it did before.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_FLOOR_S = 600.0
"""No run hangs before that, whatever its steps are like: a first evaluation takes its time."""
_FACTOR = 20.0
"""So many times its longest pause is more than a run takes."""
_FIRST_S = 1800.0
"""As long as nothing is known of a run's steps: data is prepared, a model is compiled."""
_PATIENCE = 4.0
"""A run that was ended as hung gets so much more time in its next attempt: it may only be slow."""
_TELL_S = 60.0
_TELL_FACTOR = 10.0
"""When a pause is told: after a minute, or ten times what is usual where that is longer."""
_MAX_LOOK_S = 1.0
"""Longer pauses between two looks are our own: suspended, or kept waiting by the database."""


class Pace:
    """Follows when a run logs.

    Args:
        limit_s: What the user has declared, 0 for no limit; None to learn it.
        n_hangs: How often the run was ended as hung before.
        now: A clock that is never set.
    """

    def __init__(
        self,
        limit_s: float | None = None,
        *,
        n_hangs: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._declared_s = limit_s
        self._patience = _PATIENCE**n_hangs
        self._now = now
        self._looked_at = now()
        self._n = 0
        self._total_s = 0.0
        self._longest_s = 0.0
        self.idle_s = 0.0
        """How long it has logged nothing, as far as somebody looked."""

    def look(self, *, has_logged: bool) -> None:
        """Note whether the run has logged something since the last look."""
        now = self._now()
        self.idle_s += min(now - self._looked_at, _MAX_LOOK_S)
        self._looked_at = now
        if has_logged:
            if self._n:  # what comes before the first step is none
                self._longest_s = max(self._longest_s, self.idle_s)
                self._total_s += self.idle_s
            self._n += 1
            self.idle_s = 0.0

    @property
    def limit_s(self) -> float:
        """How long it may log nothing."""
        if self._declared_s is not None:
            return self._declared_s or float("inf")
        if self._n < 2:
            return _FIRST_S * self._patience
        return max(_FLOOR_S, _FACTOR * self._longest_s) * self._patience

    @property
    def is_hung(self) -> bool:
        """Whether it has logged nothing for too long."""
        return self.idle_s > self.limit_s

    @property
    def told_s(self) -> float | None:
        """How long it has logged nothing where that is unusual; None while it logs as it does."""
        usual_s = self._total_s / (self._n - 1) if self._n > 1 else 0.0
        return self.idle_s if self.idle_s > max(_TELL_S, _TELL_FACTOR * usual_s) else None
