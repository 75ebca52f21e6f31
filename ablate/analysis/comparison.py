"""Variants side by side at one step: the one set of numbers that every view shows."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablate.analysis.causes import Cause, causes_of
from ablate.analysis.study_data import ENDED_EARLY, StudyData, read_step
from ablate.analysis.summaries import Summary, summarise
from ablate.analysis.verdicts import VariantVerdict, Verdict, judge
from ablate.analysis.wording import listed
from ablate.domain import Json, RunState
from ablate.errors import NotFoundError, did_you_mean
from ablate.rules import Goal


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One compared key."""

    key: str
    goal: Goal | None
    rule: str
    target: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One variant."""

    variant: str
    is_baseline: bool
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
    values: Mapping[str, Summary]
    """Key -> summary; a key without a value is absent."""

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
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())
    """What a reader must know: runs that hold the step back, values that stand in."""

    def row(self, variant: str) -> Row:
        """Return a variant's row."""
        return next(row for row in self.rows if row.variant == variant)


def compare(
    data: StudyData,
    *,
    at_step: int | None = None,
    baseline: str | None = None,
    metrics: Sequence[str] | None = None,
) -> Comparison:
    """Return the study's variants side by side.

    Args:
        data: The study.
        at_step: Where; None for the largest step that every run has reached, those aside that
            ended before their last step.
        baseline: With what; None for ``data.baseline``.
        metrics: Keys or patterns such as ``valid/*``; None for the declared metrics and targets,
            or, where nothing is declared, every validation metric or training loss.

    Raises:
        NotFoundError: For a baseline or metric that does not exist, with the closest name.
    """
    base = data.variant(baseline or data.baseline).name
    data = replace(data, baseline=base)
    step = at_step if at_step is not None else common_step(data)
    shown = _shown_keys(data, metrics)
    declared = [key for key in data.metrics if key not in shown]
    summaries = {key: summarise(data, data.spec(key), step) for key in (*shown, *declared)}
    verdicts = _verdicts(data, base, step, summaries)
    return Comparison(
        study=data.study,
        question=data.question,
        at_step=step,
        baseline=base,
        metrics=tuple(_metric(data, key) for key in shown),
        rows=tuple(
            _row(data, verdicts[name], step, shown=shown, summaries=summaries)
            for name in data.names
        ),
        notes=(
            *data.notes,
            *_notes(data, step, is_automatic=at_step is None, shown=shown, summaries=summaries),
        ),
    )


def common_step(data: StudyData) -> int | None:
    """Return the largest step that all runs have reached, None when no run has a point.

    A run without a point, and one that diverged, failed, was stopped or cancelled, holds nobody
    back. Where nothing but these is left, stopped runs are read where they were stopped, so the
    last of them says where to compare; without those it is the step that all have reached.
    """
    logged = [(r.state, r.step) for r in data.runs if r.step is not None]
    if whole := [step for state, step in logged if state not in ENDED_EARLY]:
        return min(whole)
    if stopped := [step for state, step in logged if state is RunState.STOPPED]:
        return max(stopped)
    return min((step for _, step in logged), default=None)


def _shown_keys(data: StudyData, wanted: Sequence[str] | None) -> tuple[str, ...]:
    known = tuple(dict.fromkeys([*data.declared_keys(), *data.keys, *data.logged]))
    if wanted is None:
        return data.declared_keys() or _default_keys(data)
    keys: dict[str, None] = {}
    for pattern in wanted:
        found = (
            [pattern] if pattern in known else [k for k in known if fnmatch.fnmatchcase(k, pattern)]
        )
        if not found:
            raise NotFoundError(
                f"no run of '{data.study}' has logged a metric '{pattern}'",
                hint=did_you_mean(pattern, known),
            )
        keys.update(dict.fromkeys(found))
    return tuple(keys)


def _default_keys(data: StudyData) -> tuple[str, ...]:
    for prefixes in (("valid/loss/", "valid/audio/"), ("train/loss/", "train/audio/"), ("",)):
        found = tuple(key for key in data.keys if key.startswith(prefixes))
        if compared := tuple(key for key in found if not key.startswith("system/")):
            return compared
    return ()


def _metric(data: StudyData, key: str) -> Metric:
    spec, target = data.spec(key), data.targets.get(key)
    return Metric(
        key=key, goal=spec.goal, rule=spec.rule.text, target=target.text if target else None
    )


def _verdicts(
    data: StudyData, base: str, step: int | None, summaries: Mapping[str, Mapping[str, Summary]]
) -> dict[str, VariantVerdict]:
    first = judge(data, base, step, contrasts={})
    verdicts = {base: first}
    for name in data.names:
        if name != base:
            contrasts = {
                key: summaries[key][name].contrast for key in data.metrics if name in summaries[key]
            }
            verdicts[name] = judge(
                data,
                name,
                step,
                contrasts={key: c for key, c in contrasts.items() if c and c.verdict},
                baseline_failed=first.verdict == Verdict.FAILED,
            )
    return verdicts


def _row(
    data: StudyData,
    verdict: VariantVerdict,
    step: int | None,
    *,
    shown: Sequence[str],
    summaries: Mapping[str, Mapping[str, Summary]],
) -> Row:
    name = verdict.variant
    states = [run.state for run in data.runs_of(name)]
    causes = causes_of(data, name, step) if step is not None else ()
    likeliest = tuple(f"likely cause: {cause.sentence}" for cause in causes[:1])
    return Row(
        variant=name,
        is_baseline=name == data.baseline,
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
    )


def _notes(
    data: StudyData,
    step: int | None,
    *,
    is_automatic: bool,
    shown: Sequence[str],
    summaries: Mapping[str, Mapping[str, Summary]],
) -> list[str]:
    if step is None:
        return ["no run has logged a point yet"]
    notes: list[str] = []
    reached = [r for r in data.runs if r.step is not None]
    if is_automatic and (far := [r for r in reached if (r.step or 0) > step]):
        first = [r for r in reached if r.step == step]
        text = f"compared at step {step}, the largest that every run reached"
        last = max(r.step or 0 for r in far)
        held = _few([f"{r.label} ({r.state})" for r in first])
        notes.append(f"{text}: {held} came no further, others reached {last}")
    if ends := [r for r in reached if (read_step(r, step) or step) < step]:
        names = _few([f"{r.label} (step {r.step})" for r in ends])
        notes.append(
            f"stopped before step {step}, read where stopped, part of no difference: {names}"
        )
    if short := [r for r in reached if read_step(r, step) is None]:
        names = _few([f"{r.label} ({r.state} at step {r.step})" for r in short])
        notes.append(f"without a value at step {step}: {names}")
    if none := [r for r in data.runs if r.step is None]:
        notes.append(f"without any point: {_few([f'{r.label} ({r.state})' for r in none])}")
    for key in shown:
        notes.extend(_value_notes(data, key, step, summaries[key]))
    return notes


def _value_notes(
    data: StudyData, key: str, step: int, by_variant: Mapping[str, Summary]
) -> list[str]:
    notes: list[str] = []
    earliest = data.spec(key).rule.window(step)[0]
    old = {
        v.step
        for s in by_variant.values()
        for v in s.seeds
        if v.step < earliest and not v.stopped_at
    }
    if old:
        where = f"step {step}" if earliest == step else f"steps {earliest} to {step}"
        notes.append(f"{key} has no point at {where}; the latest before it, {min(old)}, stands in")
    for name, summary in by_variant.items():
        if summary.not_finite:
            total = summary.n + summary.not_finite
            notes.append(
                f"{key} of {name} is NaN or infinite in {summary.not_finite} of {total} runs; "
                "the mean is over the others"
            )
    return notes


def _few(names: Sequence[str], limit: int = 6) -> str:
    if len(names) <= limit:
        return listed(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"
