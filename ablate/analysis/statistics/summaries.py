"""The metrics of every variant over its seeds, with the contrasts to its references."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.analysis.curves.drift import worst
from ablate.analysis.curves.study_data import (
    ENDED_BADLY,
    StudyData,
    is_under_way,
    read_step,
)
from ablate.analysis.curves.windows import RunValue, relative_change, value_at, value_before
from ablate.analysis.statistics.contrasts import (
    Contrast,
    Measure,
    Measured,
    Pair,
    best_of,
    contrasts_of,
)
from ablate.analysis.statistics.intervals import mean_interval
from ablate.analysis.statistics.scales import natural_scale
from ablate.domain import Kind, Run, RunState
from ablate.keys import GuardFired
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
    contrasts: tuple[Contrast, ...]
    """To each reference that has a value at the compared step, in their order."""
    seeds: tuple[SeedValue, ...]

    def contrast_to(self, reference: str) -> Contrast | None:
        """Return the contrast to a variant, None where there is none."""
        return next((c for c in self.contrasts if c.reference == reference), None)

    @property
    def stopped_at(self) -> int | None:
        """The earliest step at which these runs were stopped, None when they were not."""
        return min((v.stopped_at for v in self.seeds if v.stopped_at is not None), default=None)

    @property
    def stands_at(self) -> int | None:
        """The least step at which these runs stand, None when they came to the compared step."""
        return min((v.stands_at for v in self.seeds if v.stands_at is not None), default=None)


def summarise(
    data: StudyData,
    metrics: Sequence[DeclaredMetric],
    step: int | None,
    *,
    repeats: Collection[str] = (),
) -> dict[str, dict[str, MetricSummary]]:
    """Return key -> variant -> summary, with the contrasts to what each variant is compared with.

    A variant of which no run has a value at the step is absent.

    Args:
        data: The study.
        metrics: Which; those of a study's primary metrics decide together.
        step: The compared step.
        repeats: Ids of runs that equal another seed's to the bit, and are not counted again.
    """
    if step is None:
        return {spec.key: {} for spec in metrics}
    found = {
        spec.key: {name: _seed_values(data, name, spec, step) for name in data.names}
        for spec in metrics
    }
    seeds = {
        key: {name: _without(values, repeats) for name, values in by_name.items()}
        for key, by_name in found.items()
    }
    primary = data.primary_keys()
    measured = {
        spec.key: as_compared(data, spec, seeds[spec.key], is_primary=spec.key in primary)
        for spec in metrics
    }
    contrasts = contrasts_of(
        measured, data.contrasts(), beside=data.contrasts_beside(), pairing=data.pairing
    )
    mixed = {name for name in data.names if _is_mixed(data, name, step)}
    sound = {key: _sound(data, own, found[key], mixed) for key, own in contrasts.items()}
    return {
        key: {
            name: _summary(key, values, tuple(sound[key].get(name, ())), data.targets)
            for name, values in by_name.items()
            if values
        }
        for key, by_name in seeds.items()
    }


def best_variants(
    data: StudyData,
    spec: DeclaredMetric,
    summaries: Mapping[str, MetricSummary],
    among: Collection[str],
) -> frozenset[str]:
    """Return which of some variants are best in a metric: the best mean, and its ties."""
    seeds = {name: summary.seeds for name, summary in summaries.items()}
    return best_of(as_compared(data, spec, seeds, is_primary=False), among, data.pairing)


def _without(values: Sequence[SeedValue], repeats: Collection[str]) -> tuple[SeedValue, ...]:
    return tuple(v for v in values if v.run_id not in repeats)


def as_compared(
    data: StudyData,
    spec: DeclaredMetric,
    seeds: Mapping[str, Sequence[SeedValue]],
    *,
    is_primary: bool,
) -> Measured:
    """Return a metric as it is compared: by the value where more or less is better, else by the
    distance to the target.

    Args:
        data: Says what targets there are.
        spec: The metric.
        seeds: Variant -> its values.
        is_primary: Whether it may decide verdicts.
    """
    target = data.targets.get(spec.key)
    goal, measure = _direction(spec.goal, target)
    arms = {name: _numbers(values, measure, target) for name, values in seeds.items()}
    numbers = [value for arm in arms.values() for value in arm.values()]
    scale = spec.scale or natural_scale(spec.key, target, numbers)
    if measure != "value" or (scale == "log" and not all(value > 0 for value in numbers)):
        scale = "identity"
    margin = spec.margin.size if spec.margin and spec.margin.scale == scale else None
    return Measured(
        arms=arms,
        goal=goal,
        scale=scale,
        margin=margin,
        is_primary=is_primary,
        measure=measure,
        apart=frozenset(name for name, values in seeds.items() if _blew_up(values, goal)),
    )


BLOWN_UP = 1000.0
"""A loss of so many times its first value is of no training any more."""


def _blew_up(values: Sequence[SeedValue], goal: Goal | None) -> bool:
    return goal == "min" and any(
        v.initial is not None and v.value > BLOWN_UP * abs(v.initial) > 0 for v in values
    )


def _direction(goal: Goal | None, target: Target | None) -> tuple[Goal | None, Measure]:
    """Return which direction is good, and of what.

    A floor or a ceiling is compared by the value: its distance would be zero for all that meet it.
    """
    if goal != "target":
        return goal, "value"
    if target is None:
        return None, "value"
    match target.kind:
        case "at_least":
            return "max", "value"
        case "at_most":
            return "min", "value"
        case _:
            return "min", "distance to target"


def _is_mixed(data: StudyData, variant: str, step: int) -> bool:
    """Whether a guard fired in some of a variant's runs and not in others.

    Then there are two kinds of runs, and their mean is of neither.
    """
    runs = data.runs_of(variant)
    fired = [
        {
            fired.guard
            for event in data.events.get(run.id, ())
            if event.step <= step and (fired := GuardFired.of(event.name, event.data))
        }
        for run in runs
    ]
    return any(fired) and any(fired[0] != names for names in fired[1:])


def _sound(
    data: StudyData,
    contrasts: Mapping[Pair, Contrast],
    values: Mapping[str, Sequence[SeedValue]],
    mixed: Collection[str],
) -> dict[str, list[Contrast]]:
    """Return variant -> its contrasts, without what survivors say for the side that lost more
    runs, and without those that have no value on a side.
    """
    found: dict[str, list[Contrast]] = {}
    lost = {name: _lost(data, name, own) for name, own in values.items()}
    known = {name for name, own in values.items() if any(v.is_at_step for v in own)}
    for (name, reference), contrast in contrasts.items():
        if name in known and reference in known:
            spared = set[str]()
            if lost[name] > lost[reference] or name in mixed:
                spared |= {"better", "equal"}
            if lost[name] < lost[reference] or reference in mixed:
                spared |= {"worse"}
            is_spared = contrast.verdict in spared
            told = replace(contrast, verdict="withheld") if is_spared else contrast
            found.setdefault(name, []).append(told)
    return found


def _lost(data: StudyData, variant: str, values: Sequence[SeedValue]) -> float:
    """Return the share of a variant's runs that ended badly or in what is no number."""
    runs = data.runs_of(variant)
    odd = {v.run_id for v in values if not math.isfinite(v.value)}
    return sum(r.state in ENDED_BADLY or r.id in odd for r in runs) / len(runs) if runs else 0.0


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


def _numbers(
    values: Sequence[SeedValue], measure: Measure, target: Target | None
) -> dict[int, float]:
    """Return seed -> the finite number that is compared: the value, or its distance."""
    found: dict[int, float] = {}
    for v in values:
        number = v.value if v.is_at_step else None
        if number is not None and measure != "value" and target is not None:
            number = _distance(target, v.value, v.initial)
        if number is not None and math.isfinite(number):
            found[v.seed] = number
    return found


def _distance(target: Target, value: float, initial: float | None) -> float | None:
    """Return how far a value is from a band's centre, or the fraction by which it drifted."""
    if target.kind == "drift":
        return abs(value / initial - 1) if initial else None
    return abs(value - target.value)


def _summary(
    key: str,
    values: Sequence[SeedValue],
    contrasts: tuple[Contrast, ...],
    targets: Mapping[str, Target],
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
        status=worst(v.status for v in values if v.status) if key in targets else None,
        contrasts=contrasts,
        seeds=tuple(values),
    )
