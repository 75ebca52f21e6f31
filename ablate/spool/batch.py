"""What a spool holds, as values: logged steps, events, checkpoints, and how the attempt ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ablate.domain import AttemptState, Checkpoint, Event, Point
from ablate.provenance import Code

ASKED = "asked to stop"
"""Why an attempt has paused."""
GPU_FULL = "out of GPU memory"
"""How the reason of an attempt begins whose GPU had no memory left."""


@dataclass(frozen=True, slots=True)
class StepValues:
    """What one call of ``log`` recorded; the points of a step without an object for each."""

    step: int
    time: float
    """Unix seconds at which it was logged."""
    keys: tuple[str, ...]
    """No key twice."""
    values: tuple[float, ...]
    """One for each key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How an attempt ended."""

    state: AttemptState
    reason: str | None = None
    """One line; it becomes the run's reason."""
    traceback: str | None = None
    exit_code: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoolBatch:
    """Whole frames of one attempt's spool, in the order in which they were written."""

    start_offset: int
    end_offset: int
    """Bytes; ``end_offset`` of one batch is ``start_offset`` of the next."""
    logs: tuple[StepValues, ...] = ()
    events: tuple[Event, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    pruned: tuple[str, ...] = ()
    """Paths of checkpoints of the run, whoever made them, that were deleted."""
    has_started: bool = False
    """Whether the frame that says from where the attempt starts is among them."""
    start_step: int | None = None
    """What that frame says: the step resumed from, None for the beginning."""
    first_step: int | None = None
    """What that frame says: from where the attempt counts, None for behind ``start_step``."""
    inexact: str | None = None
    """What that frame says: why the resume is not exact."""
    code: Code | None = None
    """What the attempt is trained by, as far as it is known by now."""
    ending: Ending | None = None
    """What the frame says that ends the attempt; for whoever calls `Store.finish`."""

    @property
    def points(self) -> Iterator[Point]:
        """The points of ``logs``, one by one."""
        for log in self.logs:
            for key, value in zip(log.keys, log.values, strict=True):
                yield Point(key, log.step, value, log.time)
