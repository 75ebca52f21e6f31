"""What a reader of a comparison must know: who holds the step back, which values stand in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ablate.analysis.curves.study_data import StudyData, is_under_way, read_step
from ablate.analysis.statistics.summaries import MetricSummary
from ablate.analysis.wording import of_runs
from ablate.domain import IMPORTED, Run, RunState
from ablate.keys import steps_of
from ablate.text import few


def preview_of(data: StudyData, step: int | None) -> str | None:
    """Return ``at step 60 of 700: 3 of 8 runs are under way; verdicts are previews``.

    None when no run is under way.
    """
    going = [run for run in data.runs if is_under_way(run)]
    if not going or step is None:
        return None
    planned = [end for run in data.runs if (end := steps_of(run.config)) is not None]
    end = f" of {max(planned)}" if planned and max(planned) > step else ""
    verb = "is" if len(going) == 1 else "are"
    return (
        f"at step {step}{end}: {of_runs(len(going), len(data.runs))} {verb} under way; "
        "verdicts are previews"
    )


def held_back(data: StudyData, step: int | None) -> str | None:
    """Return ``up to step 10 only: short ended there, others went on to 80``.

    None where all are compared at their ends, or runs are under way.
    """
    last = max((run.step or 0 for run in data.runs), default=0)
    if step is None or last <= step or any(map(is_under_way, data.runs)):
        return None
    held = few(list(dict.fromkeys(run.variant for run in data.runs if run.step == step)))
    return f"up to step {step} only: {held} ended there, others went on to {last}"


def step_notes(data: StudyData, step: int, *, is_automatic: bool) -> list[str]:
    """Return which runs came further than the compared step, or less far."""
    reached = [r for r in data.runs if r.step is not None]
    return [
        *(_waiting_for(reached, step) if is_automatic else ()),
        *_read_elsewhere(reached, step),
        *_without_value(data, reached, step),
    ]


def _waiting_for(reached: Sequence[Run], step: int) -> Iterable[str]:
    far = [r for r in reached if (r.step or 0) > step]
    if far and any(map(is_under_way, reached)):
        held = few([f"{r.label} ({r.state})" for r in reached if r.step == step])
        last = max(r.step or 0 for r in far)
        yield (
            f"compared at step {step}, the largest that every run reached: {held} came no further, "
            f"others reached {last}"
        )


def _read_elsewhere(reached: Sequence[Run], step: int) -> Iterable[str]:
    elsewhere = [r for r in reached if (read_step(r, step) or step) < step]
    if stopped := [r for r in elsewhere if r.state is RunState.STOPPED]:
        names = few([f"{r.label} (step {r.step})" for r in stopped])
        yield f"stopped before step {step}, read where stopped, part of no difference: {names}"
    if going := [r for r in elsewhere if is_under_way(r)]:
        names = few([f"{r.label} (step {r.step})" for r in going])
        yield f"under way before step {step}, read where they stand, part of no difference: {names}"


def _without_value(data: StudyData, reached: Sequence[Run], step: int) -> Iterable[str]:
    if short := [r for r in reached if read_step(r, step) is None]:
        names = few([f"{r.label} ({r.state} at step {r.step})" for r in short])
        yield f"without a value at step {step}: {names}"
    if none := [r for r in data.runs if r.step is None]:
        yield f"without any point: {few([f'{r.label} ({r.state})' for r in none])}"


def value_notes(
    data: StudyData, key: str, step: int, by_variant: Mapping[str, MetricSummary]
) -> list[str]:
    """Return which values of a metric stand in for others, are left out, or are of other seeds."""
    notes: list[str] = []
    earliest = data.spec(key).rule.window(step)[0]
    old = {
        v.step for s in by_variant.values() for v in s.seeds if v.step < earliest and v.is_at_step
    }
    if old:
        where = f"step {step}" if earliest == step else f"steps {earliest} to {step}"
        notes.append(f"{key} has no point at {where}; the latest before it, {min(old)}, stands in")
    for name, summary in by_variant.items():
        if summary.not_finite:
            head = of_runs(summary.not_finite, summary.n + summary.not_finite)
            others = "; the mean is over the others" if summary.n else ""
            notes.append(f"{key} of {name} is NaN or infinite in {head}{others}")
    return notes


def noise_notes(data: StudyData, summaries: Mapping[str, Mapping[str, MetricSummary]]) -> list[str]:
    """Return of which references one more seed would help most contrasts that are open."""
    open_: dict[str, list[bool]] = {}
    for key in data.primary_keys():
        for summary in summaries.get(key, {}).values():
            for contrast in summary.contrasts:
                if contrast.is_primary and contrast.verdict == "unresolved":
                    said = open_.setdefault(contrast.reference, [])
                    said.append(contrast.is_reference_noisier)
    helped = [ref for ref, noisier in open_.items() if len(noisier) > 1 and all(noisier)]
    return [
        f"one more seed of {name} helps all {len(open_[name])} contrasts with it that are open: "
        "its own seeds differ most"
        for name in helped
    ]


def label_notes(data: StudyData) -> list[str]:
    """Return that variants which should differ were trained with one config, which is a fault.

    Databases of early versions can be so; `ablate db check` finds every such run, with the trainer
    at hand. Here one run of each variant is looked at, and what it branches off from.
    """
    firsts = [runs[0] for name in data.names if (runs := data.runs_of(name))]
    configs = {run.identity: _config_of(run) for run in firsts if _is_trained(run)}
    alike = sum(count for count in Counter(configs.values()).values() if count > 1)
    if not alike:
        return []
    return [
        f"{alike} variants have one and the same stored config: their runs were trained alike; "
        "`ablate db check` names them"
    ]


def placing_notes(data: StudyData) -> list[str]:
    """Return which variants' seeds an earlier version took from imported runs of one name."""
    early = [
        name for name in data.names if sum(run.is_placed_by_name for run in data.runs_of(name)) > 1
    ]
    if not early:
        return []
    return [
        f"an earlier version imported {few(early)} and took runs of one name for seeds; "
        "`ablate db check` names those for which nothing else speaks"
    ]


def resume_notes(data: StudyData) -> list[str]:
    """Return which runs are not what one that was never stopped would be, by the reason."""
    by_reason: dict[str, list[str]] = {}
    for run in data.runs:
        if run.inexact:
            by_reason.setdefault(run.inexact, []).append(run.label)
    return [
        f"resumed, but not exactly ({reason}): {few(labels)}"
        for reason, labels in by_reason.items()
    ]


def _is_trained(run: Run) -> bool:
    return run.attempts > 0 and run.trainer != IMPORTED


def _config_of(run: Run) -> tuple[str, tuple[str, int] | None]:
    start = (run.parent.variant, run.parent.step) if run.parent else None
    return json.dumps(run.config, sort_keys=True), start
