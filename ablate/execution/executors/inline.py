"""Attempts in this process, one after the other: breakpoints and profilers work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ablate.attempt.job import Job
from ablate.attempt.worker import run_job
from ablate.execution.devices import devices_for
from ablate.execution.executors.base import ExecutorRequest, Exited, Preparation
from ablate.execution.slots import MachineSlots


class InlineExecutor:
    """See `ablate.execution.executors.base.Executor`; one attempt at a time, whatever is asked."""

    def __init__(self, request: ExecutorRequest) -> None:
        self.slots = MachineSlots(1, devices_for(request))
        self._exited: list[Exited] = []
        self._folder_before: Path | None = None

    def open(self, preparation: Preparation) -> None:
        """Go to the project's folder; modules are imported by the trainers themselves."""
        self._folder_before = Path.cwd()
        os.chdir(preparation.folder)

    def start(self, job: Job, on_step: Callable[[], None]) -> None:
        """Train the attempt and return when it is over."""
        run_job(job, on_step=on_step, is_guest=True)
        self._exited.append(Exited(job.attempt_id, 0))

    def poll(self, timeout_s: float) -> list[Exited]:
        """Return what `start` ran since the last call."""
        if not self._exited:
            time.sleep(timeout_s)
        exited, self._exited = self._exited, []
        return exited

    def stop(self, attempt_id: int, *, now: bool) -> None:
        """Signal this very process, in which the attempt listens; with ``now``, leave at once."""
        if now:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGTERM)

    def dump(self, attempt_id: int) -> None:
        """Never asked for: this thread is the one that would hang."""

    def close(self) -> None:
        """Go back to the folder of before; nothing outlives `start`."""
        if self._folder_before is not None:
            os.chdir(self._folder_before)
