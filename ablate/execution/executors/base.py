"""The contract of an executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ablate.attempt.job import Job


@dataclass(frozen=True, slots=True)
class Exited:
    """A process that ended. What it did is in its spool; this says only that it is gone."""

    attempt_id: int
    exit_code: int | None
    """Negative for a signal; None when it was ended with all others, so that nothing is known."""


class Executor(Protocol):
    """Runs attempts. Owned by one scheduler, used from its thread alone.

    When the executor's owner dies, however it dies, every attempt that it runs ends too.
    """

    def start(self, job: Job, on_step: Callable[[], None]) -> None:
        """Begin an attempt.

        Args:
            job: The attempt; its folder exists.
            on_step: Called at step boundaries by an executor that blocks until the attempt is
                over, so that leases are renewed meanwhile; ignored by others.
        """
        ...

    def poll(self, timeout_s: float) -> list[Exited]:
        """Return the attempts that ended, waiting up to ``timeout_s`` for one."""
        ...

    def stop(self, attempt_id: int, *, now: bool) -> None:
        """Ask an attempt to save and return; with ``now``, end it without asking."""
        ...

    def dump(self, attempt_id: int) -> None:
        """Have an attempt's process write the stacks of all its threads into its log."""
        ...

    def close(self) -> None:
        """End what still runs and give everything back."""
        ...
