"""One run against its study's targets, against silence, and whether it ends in numbers at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ablate.analysis.curves.jumps import stops
from ablate.analysis.curves.study_data import (
    ENDED_BADLY,
    RunCurve,
    StudyData,
    is_under_way,
    read_step,
)
from ablate.analysis.curves.windows import value_at, value_before
from ablate.analysis.diagnosis.silence import Silence, silence_of
from ablate.analysis.diagnosis.trivial import Likeness, likeness_of
from ablate.domain import IMPORTED, Run
from ablate.rules import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class NotFinite:
    """A compared key that is no number where it is judged."""

    value: float
    """NaN or infinite."""
    since: int
    """The first step at which it was none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedRun:
    """One run against the study's targets at the compared step."""

    run: Run
    step: int | None
    """Where it is read; None where there is nothing to read."""
    values: Mapping[str, float]
    """Key -> value, for the compared keys that have one."""
    statuses: Mapping[str, Status]
    """Key -> status, for the targets that have a value."""
    not_finite: Mapping[str, NotFinite]
    """Those of `values` that are no numbers."""
    silence: Silence
    likeness: Likeness
    is_ruled_out: bool = False
    """Whether a guard or a gate that stops would have ended it, had it not been imported."""

    @property
    def ended_badly(self) -> bool:
        """Whether it fails by its state alone, or because it would have been stopped."""
        return self.run.state in ENDED_BADLY or self.is_ruled_out

    @property
    def is_judged(self) -> bool:
        """Whether there is anything to judge it by."""
        return self.ended_badly or bool(self.values or self.silence.losses or self.likeness.losses)

    @property
    def is_under_way(self) -> bool:
        """Whether what it shows is not final."""
        return is_under_way(self.run)

    @property
    def is_at_its_end(self) -> bool:
        """Whether it is finished and read at its last step."""
        return self.run.state.is_finished and self.step == self.run.step

    @property
    def is_lost(self) -> bool:
        """Whether it ended badly, or in what is no number: it has no result to compare."""
        return self.ended_badly or bool(self.not_finite)

    @property
    def fails(self) -> bool:
        """Whether it is lost, misses a target critically, or is as good as what knows nothing."""
        return (
            self.is_lost
            or self.silence.is_silent
            or self.likeness.is_trivial
            or Status.CRITICAL in self.statuses.values()
        )

    @property
    def degrades(self) -> bool:
        """Whether it misses a target by little, or is of use in its spectrum alone."""
        return self.likeness.is_spectrum_only or Status.DEGRADING in self.statuses.values()


def judged_runs(data: StudyData, variant: str, at_step: int) -> tuple[JudgedRun, ...]:
    """Return every run of a variant against the targets; one that came less far has no values."""
    return tuple(_judge_run(data, run, at_step) for run in data.runs_of(variant))


def _judge_run(data: StudyData, run: Run, at_step: int) -> JudgedRun:
    step = read_step(run, at_step)
    values: dict[str, float] = {}
    statuses: dict[str, Status] = {}
    not_finite: dict[str, NotFinite] = {}
    for key in data.compared_keys() if step is not None else ():
        curve = data.curve(run.id, key)
        found = value_at(curve, data.spec(key).rule, step or 0)
        if curve is None or found is None:
            continue
        values[key] = found.value
        if key in data.targets:
            statuses[key] = data.targets[key].judge(found.value, value_before(curve, found))
        if not math.isfinite(found.value):
            not_finite[key] = NotFinite(value=found.value, since=_since(curve, found.step))
    return JudgedRun(
        run=run,
        step=step,
        values=values,
        statuses=statuses,
        not_finite=not_finite,
        silence=Silence(run_id=run.id, losses=())
        if step is None
        else silence_of(data, run.id, step),
        likeness=Likeness() if step is None else likeness_of(data, run.id, step),
        is_ruled_out=run.trainer == IMPORTED
        and any(stops(e) and e.step <= at_step for e in data.events.get(run.id, ())),
    )


def _since(curve: RunCurve, last: int) -> int:
    """Return the first step up to ``last`` at which a curve is no number."""
    points = zip(curve.steps, curve.values, strict=True)
    return next((step for step, value in points if not math.isfinite(value)), last)


def most(runs: Sequence[JudgedRun], holds: Callable[[JudgedRun], bool]) -> bool:
    """Return whether it holds for at least half of the runs, and for one at all."""
    return bool(runs) and 2 * sum(map(holds, runs)) >= len(runs)
