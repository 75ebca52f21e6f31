"""What each factor of a study does to each metric at the compared step, over all its seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.analysis.curves.steps import check_step, common_step
from ablate.analysis.curves.study_data import StudyData, read_step
from ablate.analysis.curves.windows import value_at
from ablate.analysis.factorial.fit import Effects, Observation, effects_of
from ablate.analysis.factors import FactorTable, factors_of
from ablate.analysis.notes import preview_of
from ablate.analysis.repeats import repeats_of
from ablate.analysis.statistics.scales import natural_scale, on_scale
from ablate.domain import Plan, Run, RunState
from ablate.errors import UsageError
from ablate.planning.lookup import named_metrics
from ablate.rules import DeclaredMetric, Goal, Scale


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricEffects:
    """What the factors do to one metric."""

    key: str
    goal: Goal | None
    rule: str
    scale: Scale
    """On ``log`` effects are differences of natural logarithms: their exponentials are ratios."""
    effects: Effects | None
    """None where nothing can be told; then there is a reason."""
    reason: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    """Why runs of the combinations take no part -> how many."""
    held: Mapping[str, str] = field(default_factory=dict[str, str])
    """Factors of which only one level has a value here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyEffects:
    """What the factors of a study do."""

    study: str
    question: str
    at_step: int | None
    """None when no run has a point."""
    factors: FactorTable
    metrics: tuple[MetricEffects, ...]
    preview: str | None = None
    """That runs are under way, and where; None when nothing will change any more."""


def study_effects(
    data: StudyData,
    plan: Plan,
    *,
    metrics: Sequence[str] | None = None,
    at_step: int | None = None,
) -> StudyEffects:
    """Return what the factors of a study do to metrics.

    Args:
        data: The study.
        plan: Of the same study: its factors, and the phase that its design starts from.
        metrics: Keys or patterns; None for those that are declared, or, where none is, for those
            that a comparison shows.
        at_step: Where; None for the step at which `comparison.compare` compares.

    Raises:
        NotFoundError: For a metric that no run has logged, or a step that none has reached.
        UsageError: If nothing varies.
    """
    check_step(data, at_step)
    table = factors_of(plan, data.variants)
    if not table.levels:
        raise UsageError(
            f"the study '{data.study}' has no factors: its variants differ in nothing known",
            hint="declare 'factors:' in the study file, or import the runs with their configs "
            "(--config, --map COLUMN=config)",
        )
    step = common_step(data) if at_step is None else at_step
    known = tuple(dict.fromkeys([*data.declared_keys(), *data.keys, *data.logged]))
    primary = data.primary_keys()
    declared = sorted(data.metrics, key=lambda key: key not in primary)
    wanted = named_metrics(data.study, known, metrics) if metrics else declared
    return StudyEffects(
        study=data.study,
        question=data.question,
        at_step=step,
        factors=table,
        metrics=metric_effects(data, table, wanted or data.compared_keys(), step),
        preview=_preview(data, step),
    )


def metric_effects(
    data: StudyData, table: FactorTable, keys: Sequence[str], step: int | None
) -> tuple[MetricEffects, ...]:
    """Return what the factors do to each of some metrics at a step; there is a factor."""
    repeats = {run for name in table.of if step is not None for run in repeats_of(data, name, step)}
    return tuple(_metric(data, data.spec(key), table, step, repeats) for key in keys)


def _preview(data: StudyData, step: int | None) -> str | None:
    text = preview_of(data, step)
    return f"{text.partition(';')[0]}; effects are previews" if text else None


def _metric(
    data: StudyData,
    spec: DeclaredMetric,
    table: FactorTable,
    step: int | None,
    repeats: Collection[str],
) -> MetricEffects:
    left_out: Counter[str] = Counter()
    values: list[tuple[str, int, float]] = []
    for variant in table.of:
        for run in data.runs_of(variant):
            value = _value(data, run, spec, step)
            why = "with another seed's values" if run.id in repeats else value
            if isinstance(why, str):
                left_out[why] += 1
            elif isinstance(value, float):
                values.append((variant, run.seed, value))
    numbers = [value for *_, value in values]
    scale = spec.scale or natural_scale(spec.key, data.targets.get(spec.key), numbers)
    if not all(value > 0 for value in numbers):
        scale = "identity"
    observed = [
        Observation(levels=table.of[variant], seed=seed, value=on_scale(value, scale))
        for variant, seed, value in values
    ]
    varied, held = _varied(table, observed)
    reason = _too_little(observed, varied)
    return MetricEffects(
        key=spec.key,
        goal=spec.goal,
        rule=spec.rule.text,
        scale=scale,
        effects=None if reason else effects_of(observed, varied),
        reason=reason,
        left_out=dict(left_out),
        held=held,
    )


def _value(data: StudyData, run: Run, spec: DeclaredMetric, step: int | None) -> float | str:
    """Return a run's value at the step, or why it has none."""
    if run.state in (RunState.DIVERGED, RunState.FAILED, RunState.STOPPED):
        return str(run.state)
    if step is None or read_step(run, step) != step:
        return "not at the step"
    found = value_at(data.curve(run.id, spec.key), spec.rule, step)
    if found is None:
        return "without a value"
    return found.value if math.isfinite(found.value) else "not a number"


def _varied(
    table: FactorTable, observed: Sequence[Observation]
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Return the factors of which two levels or more have values, and the others' one level."""
    varied: dict[str, tuple[str, ...]] = {}
    held: dict[str, str] = {}
    for name, levels in table.levels.items():
        seen = {each.levels[name] for each in observed}
        if len(seen) > 1:
            varied[name] = levels
        elif seen:
            held[name] = seen.pop()
    return varied, held


def _too_little(observed: Sequence[Observation], varied: Mapping[str, object]) -> str:
    if not observed:
        return "no run of a combination has a value at this step"
    if not varied:
        return "all runs with a value at this step are of one combination of levels"
    return ""
