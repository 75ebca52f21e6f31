"""The contract of an executor, and what it is asked for and given.

An executor is a class that an entry point of the group ``ablate.executors`` names; it is made of an
`ExecutorRequest`. Its promises are a suite of tests, `ablate.testing.executors.ExecutorContract`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ablate.attempt.job import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What one attempt takes; an executor that cannot keep to a limit refuses it."""

    gpus: int = 1
    """GPUs that train one run together, where there are any."""
    cpus: int | None = None
    """Processor cores; None for an equal share of what there is."""
    memory_gib: float | None = None
    """Main memory, None for no limit."""
    time_min: float | None = None
    """Minutes after which an attempt is ended, None for no limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutorRequest:
    """What an executor is made of: how much is to run at once, and on what."""

    workers: int | None = None
    """Attempts at once, None for as many as fit."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:0,1``."""
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """What workers need before the first attempt starts."""

    folder: Path
    """Where they run: relative paths of a config are relative to the project."""
    preload: Sequence[str] = ()
    """Modules that are imported once for all of them."""
    may_preload: Sequence[str] = ()
    """Those that are, where that leaves a process fit to fork."""
    note: Callable[[str], None] = lambda _: None
    """Told of what the user should know, as of a module that is imported by each run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Binding:
    """On what an attempt runs, by the slot that it was given."""

    device: str
    """``cpu`` or ``cuda``."""
    gpus: tuple[int, ...] = ()
    """Indices as CUDA_VISIBLE_DEVICES takes them."""
    threads: int = 1


class Slots(Protocol):
    """Places for attempts that run at once; numbered from 0."""

    @property
    def number(self) -> int:
        """How many there are."""
        ...

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether none is taken."""
        ...

    def take(self) -> int | None:
        """Return a slot that is free from now on taken, None when there is none."""
        ...

    def give_back(self, slot: int) -> None:
        """Let others have a slot."""
        ...

    def binding(self, slot: int) -> Binding:
        """Return on what an attempt in a slot runs."""
        ...

    def neighbours(self, slot: int) -> int:
        """Return how many others shared the GPUs of a slot at once, at most."""
        ...

    def share_less(self, slot: int) -> int:
        """Have GPUs shared by one less; return how much is run at once from now on."""
        ...

    def run_less(self) -> int:
        """Run one less at once than now; return how much that is."""
        ...


@dataclass(frozen=True, slots=True)
class Exited:
    """A process that ended. What it did is in its spool; this says only that it is gone."""

    attempt_id: int
    exit_code: int | None
    """Negative for a signal; None when it was ended with all others, so that nothing is known."""


class Executor(Protocol):
    """Runs attempts. Owned by one scheduler, used from its thread alone.

    When the executor's owner dies, however it dies, every attempt that it runs ends too. Made of an
    `ExecutorRequest`, it refuses what it cannot do with a `UsageError` and starts nothing.
    """

    @property
    def slots(self) -> Slots:
        """How many attempts run at once, and on what."""
        ...

    def open(self, preparation: Preparation) -> None:
        """Make ready for attempts.

        Raises:
            TrainerError: If a module cannot be imported.
        """
        ...

    def start(self, job: Job, on_step: Callable[[], None]) -> None:
        """Begin an attempt.

        Args:
            job: The attempt; its folder exists, and its file is written.
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
        """End what still runs and give everything back; also where `open` failed."""
        ...
