"""When it became clear: the step from which on a target was missed for good."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from ablate.analysis.curves.study_data import RunCurve, StudyData
from ablate.rules import Status, Target


@dataclass(frozen=True, kw_only=True, slots=True)
class Miss:
    """A run that misses a target up to the compared step."""

    run_id: str
    key: str
    step: int
    """The first step of the last unbroken stretch of misses."""
    was_met: bool
    """Whether the target was met at any earlier point."""


def missed_from(curve: RunCurve | None, target: Target, at_step: int) -> Miss | None:
    """Return since when a curve misses its target for good, None when it meets it at the end.

    Judged at every logged point: nothing is averaged and nothing interpolated.
    """
    if curve is None:
        return None
    steps, values = curve.steps, curve.values
    initial = values[0]
    since: int | None = None
    was_met = False
    for i in range(bisect_right(steps, at_step) - 1, -1, -1):
        was_met = target.judge(values[i], initial) in (Status.GOOD, Status.NO_DATA)
        if was_met:
            break
        since = steps[i]
    if since is None:
        return None
    return Miss(run_id=curve.run_id, key=curve.key, step=since, was_met=was_met)


def misses_of(data: StudyData, key: str, run_ids: Iterable[str], at_step: int) -> tuple[Miss, ...]:
    """Return the misses of a target by run."""
    target = data.targets[key]
    found = (missed_from(data.curve(run_id, key), target, at_step) for run_id in run_ids)
    return tuple(miss for miss in found if miss)
