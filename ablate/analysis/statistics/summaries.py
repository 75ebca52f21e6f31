"""One metric of every variant over its seeds, with the contrasts to the baseline."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ablate.analysis.curves.drift import worst
from ablate.analysis.curves.study_data import (
    ENDED_BADLY,
    StudyData,
    is_under_way,
    read_step,
)
from ablate.analysis.curves.windows import RunValue, relative_change, value_at, value_before
from ablate.analysis.statistics.contrasts import Contrast, contrast_of, mean_interval, with_holm
from ablate.domain import Kind, Run, RunState
from ablate.rules import DeclaredMetric, Goal, Status, Target, mean


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedValue:
    """One run's share in a mean."""

    run_id: str
    seed: int
    value: float
    initial: float | None
    """Its first value; None where that is the only one."""
    step: int
    """The last step that counted."""
    status: Status | None
    stopped_at: int | None
    """The step at which the run was stopped, where that was before the compared step."""
    stands_at: int | None
    """The step of a run under way, where that is before the compared step."""

    @property
    def is_at_step(self) -> bool:
        """Whether it was read at the compared step, and takes part in differences."""
        return self.stopped_at is None and self.stands_at is None


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSummary:
    """One metric of one variant over its seeds."""

    mean: float
    """Over the finite values; NaN or infinite when there is none."""
    kind: Kind
    ci_low: float | None
    ci_high: float | None
    n: int
    """How many finite values."""
    not_finite: int
    """How many runs have a value that is NaN or infinite."""
    initial: float | None
    """Mean of the same runs' first values."""
    change: float | None
    """mean / initial - 1; None for decibels, from zero, or across zero."""
    status: Status | None
    """The worst over the runs; None without a target."""
    contrast: Contrast | None
    """None for the baseline, and where one of the two has no value at the compared step."""
    seeds: tuple[SeedValue, ...]

    @property
    def stopped_at(self) -> int | None:
        """The earliest step at which these runs were stopped, None when they were not."""
        return min((v.stopped_at for v in self.seeds if v.stopped_at is not None), default=None)

    @property
    def stands_at(self) -> int | None:
        """The least step at which these runs stand, None when they came to the compared step."""
        return min((v.stands_at for v in self.seeds if v.stands_at is not None), default=None)


def summarise(
    data: StudyData, spec: DeclaredMetric, step: int | None, *, repeats: Collection[str] = ()
) -> dict[str, MetricSummary]:
    """Return variant -> summary of one metric, with contrasts to ``data.baseline``.

    A variant of which no run has a value at the step is absent.

    Args:
        data: The study.
        spec: The metric.
        step: The compared step.
        repeats: Ids of runs that equal another seed's to the bit, and are not counted again.
    """
    if step is None:
        return {}
    target = data.targets.get(spec.key)
    found = {name: _seed_values(data, name, spec, step) for name in data.names}
    seeds = {
        name: tuple(v for v in values if v.run_id not in repeats) for name, values in found.items()
    }
    distances = {name: _compared(values, spec.goal, target) for name, values in seeds.items()}
    baseline = data.baseline
    others = [n for n in data.names if n != baseline and distances[n] and distances[baseline]]
    goal = None if spec.goal == "target" and target is None else spec.goal
    contrasts = [
        contrast_of(distances[n], distances[baseline], goal=goal, family=len(others))
        for n in others
    ]
    lost = {name: _lost(data, name, values) for name, values in found.items()}
    corrected = {
        name: _withheld(contrast, lost[name], lost[baseline])
        for name, contrast in zip(others, with_holm(contrasts, goal), strict=True)
    }
    return {
        name: _summary(spec.key, values, corrected.get(name), target)
        for name, values in seeds.items()
        if values
    }


def _lost(data: StudyData, variant: str, values: Sequence[SeedValue]) -> float:
    """Return the share of a variant's runs that ended badly or in what is no number."""
    runs = data.runs_of(variant)
    odd = {v.run_id for v in values if not math.isfinite(v.value)}
    return sum(r.state in ENDED_BADLY or r.id in odd for r in runs) / len(runs) if runs else 0.0


def _withheld(contrast: Contrast, lost: float, lost_by_baseline: float) -> Contrast:
    """Return the contrast without what survivors say for the side that lost more runs."""
    spared = {"better", "equal"} if lost > lost_by_baseline else set[str]()
    spared |= {"worse"} if lost < lost_by_baseline else set[str]()
    return replace(contrast, verdict="withheld") if contrast.verdict in spared else contrast


def _seed_values(
    data: StudyData, variant: str, spec: DeclaredMetric, step: int
) -> tuple[SeedValue, ...]:
    """Return the values at the step; where no run came so far, those of where each is read."""
    target = data.targets.get(spec.key)
    found: list[SeedValue] = []
    for run in data.runs_of(variant):
        at = read_step(run, step)
        curve = data.curve(run.id, spec.key)
        value = value_at(curve, spec.rule, at) if at is not None else None
        if value and at is not None:
            own = at if at < step else None
            first = value_before(curve, value)
            found.append(_seed_value(run, value, initial=first, target=target, own_step=own))
    return tuple(v for v in found if v.is_at_step) or tuple(found)


def _seed_value(
    run: Run,
    value: RunValue,
    *,
    initial: float | None,
    target: Target | None,
    own_step: int | None,
) -> SeedValue:
    return SeedValue(
        run_id=run.id,
        seed=run.seed,
        value=value.value,
        initial=initial,
        step=value.step,
        status=target.judge(value.value, initial) if target else None,
        stopped_at=own_step if run.state is RunState.STOPPED else None,
        stands_at=own_step if is_under_way(run) else None,
    )


def _compared(
    values: Sequence[SeedValue], goal: Goal | None, target: Target | None
) -> dict[int, float]:
    """Return seed -> the number that is compared: the value, or its distance to the target."""
    values = [v for v in values if v.is_at_step]
    if goal != "target" or target is None:
        return {v.seed: v.value for v in values}
    return {
        v.seed: distance
        for v in values
        if (distance := target_distance(target, v.value, v.initial)) is not None
    }


def target_distance(target: Target, value: float, initial: float | None) -> float | None:
    """Return how far a value is from its target: from a band's centre, below a floor, above a
    ceiling, or, for a drift, the fraction by which it moved.
    """
    match target.kind:
        case "band":
            return abs(value - target.value)
        case "at_least":
            return max(0.0, target.value - value) if math.isfinite(value) else math.nan
        case "at_most":
            return max(0.0, value - target.value) if math.isfinite(value) else math.nan
        case "drift":
            return abs(value / initial - 1) if initial else None


def _summary(
    key: str, values: Sequence[SeedValue], contrast: Contrast | None, target: Target | None
) -> MetricSummary:
    finite = [v for v in values if math.isfinite(v.value)]
    interval = mean_interval([v.value for v in finite or values])
    with_first = [v for v in finite if v.initial is not None and math.isfinite(v.initial)]
    initial = mean([v.initial for v in with_first if v.initial is not None]) if with_first else None
    now = mean([v.value for v in with_first]) if with_first else None
    return MetricSummary(
        mean=interval.mean,
        kind=Kind.of(interval.mean),
        ci_low=interval.low,
        ci_high=interval.high,
        n=len(finite),
        not_finite=len(values) - len(finite),
        initial=initial,
        change=relative_change(key, now, initial),
        status=worst(v.status for v in values if v.status) if target else None,
        contrast=contrast,
        seeds=tuple(values),
    )
