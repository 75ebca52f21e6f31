"""What is said of runs, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.attempt.runners import place_of
from ablate.domain import IMPORTED, Attempt, Run, RunState
from ablate.text import printable

if TYPE_CHECKING:
    from ablate.app.code_check import OtherCode
    from ablate.execution.scheduling import Summary

_LISTED = 12
"""Runs that are listed before they are only counted."""


def other_code_lines(study: str, others: Sequence[OtherCode]) -> list[str]:
    """Return which runs of a study were trained by other code, by what of it differs."""
    by_change: dict[tuple[str, ...], list[str]] = {}
    for other in others:
        by_change.setdefault(other.changes, []).append(other.run.label)
    return [
        f"{study}: {len(labels)} run{' was' if len(labels) == 1 else 's were'} trained by other "
        f"code than is there now ({', '.join(changes)}): {some(labels)}"
        for changes, labels in by_change.items()
    ]


def why_not_requeued(runs: Sequence[Run]) -> list[str]:
    """Return a line for each run that is not put back into the queue: why, and what would."""
    reasons = {
        RunState.SUCCEEDED: "has succeeded; --fresh trains it anew",
        RunState.QUEUED: "is queued already",
        RunState.RUNNING: "is running; cancel it first",
    }
    lines = [
        f"{run.study}/{run.label} "
        + ("was imported" if run.trainer == IMPORTED else reasons.get(run.state, "was not moved"))
        for run in runs
    ]
    more = len(lines) - _LISTED
    return [*lines[:_LISTED], f"... and {more} more"] if more > 0 else lines


def waiting_lines(runs: Sequence[Run]) -> list[str]:
    """Return a line for each run that waits for the checkpoint of another."""
    lines = [f"{run.label} {run.waits_for}" for run in runs if run.waits_for]
    more = len(lines) - _LISTED
    return [*lines[:_LISTED], f"... and {more} more"] if more > 0 else lines


def summary_line(summary: Summary) -> str:
    """Return how `ablate run` went."""
    counts = ", ".join(
        f"{summary.runs[s]} {'paused' if s is RunState.QUEUED else s.value}"
        for s in RunState
        if summary.runs[s]
    )
    return f"{counts or 'nothing was run'} in {summary.wall_s:.0f} s"


def log_title(run: Run, attempt: Attempt | None = None) -> str:
    """Return the line above a log: of which run and attempt it is, and how that ended."""
    name = f"{run.study}/{run.label} (run {run.id[:8]})"
    if attempt is None:
        return f"==> {name}: never started <=="
    error = f": {attempt.error}" if attempt.error else ""
    which = f"attempt {attempt.number} of {run.attempts}"
    return printable(f"==> {name}, {which}: {attempt.state}{error} <==")


def where_log_is(attempt: Attempt, path: Path) -> str:
    """Return where the log of an attempt is that is not at its path."""
    place = place_of(attempt.runner)
    if place is None:
        return "it was imported, so there is no log"
    if place.is_here:
        return f"there is no log at {path}"
    return f"it was trained on {place}; its log is there"


def some(labels: Sequence[str]) -> str:
    """Return labels in a row, cut after some."""
    more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
    return ", ".join(labels[:_LISTED]) + more
