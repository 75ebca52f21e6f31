"""When it became clear: the step from which on a target was missed for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ablate.analysis.study_data import StudyData
from ablate.rules import Status, Target
from ablate.store.base import Curve


@dataclass(frozen=True, kw_only=True, slots=True)
class Miss:
    """A run that misses a target up to the compared step."""

    run_id: str
    key: str
    step: int
    """The first step of the last unbroken stretch of misses."""
    was_met: bool
    """Whether the target was met at any earlier point."""


def missed_from(curve: Curve | None, target: Target, at_step: int) -> Miss | None:
    """Return since when a curve misses its target for good, None when it meets it at the end.

    Judged at every logged point: nothing is averaged and nothing interpolated.
    """
    if curve is None:
        return None
    initial = curve.values[0]
    points = [p for p in zip(curve.steps, curve.values, strict=True) if p[0] <= at_step]
    is_met = [target.judge(value, initial) in (Status.GOOD, Status.NO_DATA) for _, value in points]
    if not points or is_met[-1]:
        return None
    last_met = max((i for i, met in enumerate(is_met) if met), default=-1)
    return Miss(
        run_id=curve.run_id, key=curve.key, step=points[last_met + 1][0], was_met=last_met >= 0
    )


def misses_of(data: StudyData, key: str, run_ids: Iterable[str], at_step: int) -> tuple[Miss, ...]:
    """Return the misses of a target by run."""
    target = data.targets[key]
    found = (missed_from(data.curve(run_id, key), target, at_step) for run_id in run_ids)
    return tuple(miss for miss in found if miss)
