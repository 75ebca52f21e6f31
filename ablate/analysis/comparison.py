"""Variants side by side at one step: the one set of numbers that every view shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablate.analysis.aa import Copies, Floor, copies_of
from ablate.analysis.curves.steps import check_step, common_step
from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.diagnosis.causes import Cause, causes_of
from ablate.analysis.effects import MetricEffects, metric_effects
from ablate.analysis.factors import FactorTable
from ablate.analysis.judging.verdicts import VariantVerdict, Verdict, judge
from ablate.analysis.notes import (
    held_back,
    label_notes,
    noise_notes,
    placing_notes,
    preview_of,
    resume_notes,
    step_notes,
    value_notes,
)
from ablate.analysis.other_code import CodeFindings, code_findings
from ablate.analysis.repeats import repeats_of
from ablate.analysis.statistics.contrasts import Contrast
from ablate.analysis.statistics.summaries import MetricSummary, best_variants, summarise
from ablate.domain import Json, RunState
from ablate.planning.lookup import named_metrics
from ablate.rules import Goal, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One compared key."""

    key: str
    goal: Goal | None
    rule: str
    target: str | None
    is_drift: bool = False
    """Whether the target is about how far it moves from its first value."""
    is_primary: bool = False
    """Whether it decides verdicts."""
    margin: str | None = None
    """The smallest difference that matters, as declared."""
    best: frozenset[str] = frozenset()
    """The variants that did not fail and have the best mean, or cannot be told from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedVariant:
    """One variant."""

    variant: str
    is_baseline: bool
    references: tuple[str, ...]
    """What it is compared with."""
    factors: Mapping[str, Json]
    runs: int
    diverged: int
    failed: int
    stopped: int
    unfinished: int
    verdict: Verdict
    reasons: tuple[str, ...]
    """Why it is judged so, the likeliest cause of it first."""
    causes: tuple[Cause, ...]
    """What is likely to have gone wrong, the most probable first."""
    values: Mapping[str, MetricSummary]
    """Key -> summary; a key without a value is absent."""
    targets: int = 0
    """How many targets have a value to judge."""
    targets_met: int = 0
    """How many of them are met in every run."""
    other_code: tuple[str, ...] = ()
    """In what the code of its runs differs from the baseline's: files, or a declared version."""
    mixed_code: tuple[str, ...] = ()
    """In what the code of its own runs differs, seed from seed or attempt from attempt."""

    @property
    def symptoms(self) -> tuple[str, ...]:
        """The reasons without the likeliest cause."""
        return self.reasons[1:] if self.causes else self.reasons


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Variants side by side at one step."""

    study: str
    question: str
    at_step: int | None
    """None when no run has a point."""
    baseline: str
    metrics: tuple[Metric, ...]
    rows: tuple[ComparedVariant, ...]
    notes: tuple[str, ...] = field(default=())
    """What a reader must know: runs that hold the step back, values that stand in."""
    preview: str | None = None
    """That runs are under way, and where; None when nothing will change any more."""
    held_back: str | None = None
    """Which variants ended so early that the others are not compared at their ends."""
    effects: tuple[MetricEffects, ...] = ()
    """What each factor of the study does to the primary metrics; empty without factors."""
    aa: tuple[Copies, ...] = ()
    """What copies under other seeds show in the metrics that decide, else in the first; empty
    without copies. They are no rows."""

    def floor(self, variant: str, key: str) -> Floor | None:
        """Return what copies of a variant show in a metric, None where nothing is known."""
        own = next((copies for copies in self.aa if copies.of == variant), None)
        return own and next((floor for floor in own.floors if floor.key == key), None)

    def row(self, variant: str) -> ComparedVariant:
        """Return a variant's row."""
        return next(row for row in self.rows if row.variant == variant)


def compare(
    data: StudyData,
    *,
    at_step: int | None = None,
    baseline: str | None = None,
    metrics: Sequence[str] | None = None,
    factors: FactorTable | None = None,
) -> Comparison:
    """Return the study's variants side by side.

    Args:
        data: The study.
        at_step: Where; None for `common_step`.
        baseline: With what; None for ``data.baseline``.
        metrics: Keys or patterns such as ``valid/*``; None for the declared metrics and targets,
            or, where nothing is declared, every validation metric or training loss.
        factors: Of the study, to say what each of them does; None for not to.

    Raises:
        NotFoundError: For a baseline or metric that does not exist, with the closest name; for a
            step that no run has reached.
    """
    check_step(data, at_step)
    base = data.variant(baseline or data.baseline).name
    if baseline is not None:  # asked for by name: all are compared with it
        data = replace(data, baseline=base, references={})
    step = at_step if at_step is not None else common_step(data)
    shown = _shown_keys(data, metrics)
    declared = [key for key in data.declared_keys() if key not in shown]
    repeats = _repeats(data, step)
    summaries = summarise(
        data, [data.spec(key) for key in (*shown, *declared)], step, repeats=repeats
    )
    verdicts = _verdicts(data, step, summaries, repeats)
    sound = {name for name in data.names if verdicts[name].verdict is not Verdict.FAILED}
    code = code_findings(data.with_copies())
    causes = causes_of(data, step) if step is not None else {}
    return Comparison(
        study=data.study,
        question=data.question,
        at_step=step,
        baseline=base,
        metrics=tuple(_metric(data, key, summaries[key], sound) for key in shown),
        rows=tuple(
            _row(
                data,
                verdicts[name],
                causes.get(name, ()),
                shown=shown,
                summaries=summaries,
                code=code,
            )
            for name in data.names
        ),
        notes=(
            *data.notes,
            *code.notes,
            *label_notes(data),
            *placing_notes(data),
            *resume_notes(data),
            *_notes(data, step, is_automatic=at_step is None, shown=shown, summaries=summaries),
        ),
        preview=preview_of(data, step),
        held_back=held_back(data, step) if at_step is None else None,
        effects=_effects(data, step, factors),
        aa=copies_of(data, _telling_keys(data, shown), step, summaries),
    )


def _telling_keys(data: StudyData, shown: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that decide among those that are shown, else the first of these."""
    primary = data.primary_keys()
    return tuple(key for key in shown if key in primary) or tuple(shown[:1])


_MOST_RUNS = 500
"""Of more, `ablate effects` is asked for what factors do: it may take seconds."""


def _effects(
    data: StudyData, step: int | None, factors: FactorTable | None
) -> tuple[MetricEffects, ...]:
    if factors is None or step is None or not factors.levels or len(data.runs) > _MOST_RUNS:
        return ()
    return metric_effects(data, factors, data.primary_keys(), step)


def _repeats(data: StudyData, step: int | None) -> Mapping[str, int]:
    """Return run id -> the earlier seed that the run repeats to the bit."""
    found: dict[str, int] = {}
    for name in data.names if step is not None else ():
        found |= repeats_of(data, name, step or 0)
    return found


def _shown_keys(data: StudyData, wanted: Sequence[str] | None) -> tuple[str, ...]:
    if wanted is None:
        return data.compared_keys()
    known = tuple(dict.fromkeys([*data.declared_keys(), *data.keys, *data.logged]))
    return named_metrics(data.study, known, wanted)


def _metric(
    data: StudyData, key: str, summaries: Mapping[str, MetricSummary], sound: Collection[str]
) -> Metric:
    spec, target = data.spec(key), data.targets.get(key)
    return Metric(
        key=key,
        goal=spec.goal,
        rule=spec.rule.text,
        target=target.text if target else None,
        is_drift=target is not None and target.kind == "drift",
        is_primary=key in data.primary_keys(),
        margin=spec.margin.text if spec.margin else None,
        best=best_variants(data, spec, summaries, sound),
    )


def _verdicts(
    data: StudyData,
    step: int | None,
    summaries: Mapping[str, Mapping[str, MetricSummary]],
    repeats: Mapping[str, int],
) -> dict[str, VariantVerdict]:
    references = dict.fromkeys(other for _, other in data.contrasts())
    failed = {name for name in references if judge(data, name, step).verdict == Verdict.FAILED}
    return {
        name: judge(
            data,
            name,
            step,
            contrasts=_contrasts_of(data, name, summaries),
            repeats=repeats,
            failed=failed,
        )
        for name in data.names
    }


def _contrasts_of(
    data: StudyData, variant: str, summaries: Mapping[str, Mapping[str, MetricSummary]]
) -> list[tuple[str, Contrast]]:
    """Return the contrasts of a variant to its references in the declared metrics."""
    wanted = data.references_of(variant)
    return [
        (key, contrast)
        for key in data.metrics
        if (summary := summaries[key].get(variant))
        for contrast in summary.contrasts
        if contrast.reference in wanted and contrast.verdict
    ]


def _row(
    data: StudyData,
    verdict: VariantVerdict,
    causes: tuple[Cause, ...],
    *,
    shown: Sequence[str],
    summaries: Mapping[str, Mapping[str, MetricSummary]],
    code: CodeFindings,
) -> ComparedVariant:
    name = verdict.variant
    statuses = [s.status for key in data.targets if (s := summaries[key].get(name)) and s.status]
    states = [run.state for run in data.runs_of(name)]
    likeliest = tuple(f"likely cause: {cause.sentence}" for cause in causes[:1])
    return ComparedVariant(
        variant=name,
        is_baseline=name == data.baseline,
        references=data.references_of(name),
        factors=data.variant(name).factors,
        runs=len(states),
        diverged=states.count(RunState.DIVERGED),
        failed=states.count(RunState.FAILED),
        stopped=states.count(RunState.STOPPED),
        unfinished=sum(not state.is_finished for state in states),
        verdict=verdict.verdict,
        reasons=(*likeliest, *verdict.reasons),
        causes=causes,
        values={key: summaries[key][name] for key in shown if name in summaries[key]},
        targets=len(statuses),
        targets_met=statuses.count(Status.GOOD),
        other_code=code.other.get(name, ()),
        mixed_code=code.mixed.get(name, ()),
    )


def _notes(
    data: StudyData,
    step: int | None,
    *,
    is_automatic: bool,
    shown: Sequence[str],
    summaries: Mapping[str, Mapping[str, MetricSummary]],
) -> list[str]:
    if step is None:
        return ["no run has logged a point yet"]
    notes = step_notes(data, step, is_automatic=is_automatic)
    for key in shown:
        notes += value_notes(data, key, step, summaries[key])
    return notes + noise_notes(data, summaries)
