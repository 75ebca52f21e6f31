"""What a scheduler tells about the runs it drives, for whoever shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ablate.domain import Run
from ablate.execution.pace import Pace
from ablate.keys import steps_of
from ablate.spool.batch import Ending, SpoolBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class RunProgress:
    """A run that is being trained, as of its last stored point."""

    run: Run
    step: int
    steps: int | None
    """Where it will end or pause, None when the config does not say."""
    steps_per_s: float | None
    idle_s: float | None
    """How long it has logged nothing, None unless that is unusual for it."""
    metric: str | None
    """Key of the metric that the study cares about most."""
    value: float | None

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the current speed; None while it does nothing."""
        if self.idle_s is not None or self.steps is None or not self.steps_per_s:
            return None
        return max(0.0, (self.steps - self.step) / self.steps_per_s)


class Observer(Protocol):
    """Shows what happens. Must not raise and must not block."""

    def started(self, run: Run, attempt: int) -> None:
        """An attempt began."""
        ...

    def progressed(self, active: Sequence[RunProgress]) -> None:
        """Points were stored; called a few times a second."""
        ...

    def ended(self, run: Run, ending: Ending) -> None:
        """An attempt ended."""
        ...

    def noted(self, text: str) -> None:
        """Something else that the user should know."""
        ...


class ProgressMeter:
    """Follows one run's speed and key metric over its stored points.

    Args:
        run: The run.
        metric: The key that is shown.
        limit: The step at which it pauses, None for its end.
        stall_s: How long it may log nothing, 0 for ever; None to learn it from its steps.
        n_hangs: How often it was ended because it did.
    """

    def __init__(
        self,
        run: Run,
        *,
        metric: str | None,
        limit: int | None,
        stall_s: float | None = None,
        n_hangs: int = 0,
    ) -> None:
        self._run = run
        self.pace = Pace(stall_s, n_hangs=n_hangs)
        self._has_logged = False
        self._metric = metric
        ends = [s for s in (steps_of(run.config), limit) if s is not None]
        self._steps = min(ends) if ends else None
        self._first: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None
        self._value: float | None = None

    def take(self, batch: SpoolBatch) -> None:
        """Note what a batch says."""
        self._has_logged = self._has_logged or batch.end_offset > batch.start_offset
        for log in batch.logs:
            place = (log.time, log.step)
            self._first = self._first or place
            self._last = place
            if self._metric in log.keys:
                self._value = log.values[log.keys.index(self._metric)]

    def look(self) -> None:
        """Note whether the run has logged anything since the last look."""
        self.pace.look(has_logged=self._has_logged)
        self._has_logged = False

    def read(self) -> RunProgress:
        """Return where the run stands."""
        return RunProgress(
            run=self._run,
            step=self._last[1] if self._last else self._run.start_step,
            steps=self._steps,
            steps_per_s=self._speed() if self.pace.told_s is None else None,
            idle_s=self.pace.told_s,
            metric=self._metric,
            value=self._value,
        )

    def _speed(self) -> float | None:
        if self._first is None or self._last is None:
            return None
        seconds, steps = self._last[0] - self._first[0], self._last[1] - self._first[1]
        return steps / seconds if seconds > 0 and steps > 0 else None
