"""The step at which the runs of a study are compared."""

from __future__ import annotations

from ablate.analysis.curves.study_data import StudyData, is_under_way
from ablate.domain import RunState
from ablate.errors import NotFoundError


def check_step(data: StudyData, at_step: int | None) -> None:
    """Refuse a step that no run has reached.

    Raises:
        NotFoundError: With the furthest that there is.
    """
    reached = max((run.step for run in data.runs if run.step is not None), default=None)
    if at_step is not None and reached is not None and at_step > reached:
        raise NotFoundError(
            f"no run of '{data.study}' has come to step {at_step}: the furthest is at {reached}",
            hint=f"use --at {reached}, or no --at",
        )


def common_step(data: StudyData) -> int | None:
    """Return the step to compare at, None when no run has a point.

    It is the largest that all finished runs have reached: one that is under way holds none of them
    back, and is read where it stands. Where no run is finished it is the largest that all under way
    have reached, those aside that have barely begun. A run that diverged, failed, was stopped or
    cancelled holds nobody back; where nothing else is left, stopped runs are read where they were
    stopped, so the last of them says where to compare, and without those it is the step that all
    have reached.
    """
    logged = [(r.state, r.step) for r in data.runs if r.step is not None]
    if whole := [step for state, step in logged if state is RunState.SUCCEEDED]:
        return min(whole)
    if going := [r.step or 0 for r in data.runs if is_under_way(r)]:
        return min(step for step in going if step >= BARELY_BEGUN * max(going))
    if stopped := [step for state, step in logged if state is RunState.STOPPED]:
        return max(stopped)
    return min((step for _, step in logged), default=None)


BARELY_BEGUN = 0.1
"""A run under way that came less far than this fraction of the furthest says little yet."""
