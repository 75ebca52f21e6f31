"""Why a verdict was given: plain sentences with k of n, each with its weight."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ablate.analysis.curves.jumps import stops
from ablate.analysis.curves.onset import Miss, misses_of
from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.curves.windows import initial_value, relative_change
from ablate.analysis.judging.contrast_reasons import Told, contrast_reasons, loss_reasons
from ablate.analysis.judging.judged import JudgedRun
from ablate.analysis.judging.silence_reasons import (
    FAIL,
    NOTE,
    WARN,
    Reason,
    likeness_reasons,
    silence_reasons,
    so_far,
)
from ablate.analysis.wording import number, of_runs, percent, span, spread
from ablate.domain import IMPORTED, Event, RunState
from ablate.keys import GateJudged, GuardFired
from ablate.rules import DEFAULT_RULE, Status, Target, mean
from ablate.text import listed


def reasons_for(
    data: StudyData,
    at_step: int,
    *,
    runs: Sequence[JudgedRun],
    contrasts: Sequence[Told],
    repeats: Mapping[str, int],
    failed: Collection[str],
) -> tuple[str, ...]:
    """Return why a variant with points is judged as it is, the weightiest first; none may be."""
    reasons = [
        *_not_finite(runs),
        *_target_reasons(data, runs, at_step),
        *silence_reasons(runs),
        *likeness_reasons(runs),
        *_endings(runs),
        *_guard_reasons(data, runs),
        *_gate_reasons(data, runs, at_step),
        *loss_reasons(data, runs, data.references_of(runs[0].run.variant) if runs else ()),
        *contrast_reasons(runs, contrasts, failed),
        *_repeated(runs, repeats),
        *_unfinished(runs),
        *_waiting(runs),
        *_good_targets(data, runs),
        *_without_value(data, runs),
        *_lineage(runs),
    ]
    return tuple(text for _, text in sorted(reasons, key=lambda r: r[0]))


def reasons_without_points(runs: Sequence[JudgedRun]) -> tuple[str, ...]:
    """Return what is to be said of a variant of which no run has a point."""
    if not runs:
        return ("it has no run",)
    said = [text for _, text in sorted([*_endings(runs), *_waiting(runs)])]
    if len(runs) == 1:
        return (*said, "its only run has logged no point")
    return (*said, f"none of its {len(runs)} runs has logged a point")


def _not_finite(runs: Sequence[JudgedRun]) -> list[Reason]:
    """Return which compared keys are no numbers, those together that are so in the same runs."""
    grouped: dict[tuple[int, ...], list[str]] = {}
    for key in dict.fromkeys(key for r in runs for key in r.not_finite):
        places = tuple(i for i, r in enumerate(runs) if key in r.not_finite)
        grouped.setdefault(places, []).append(key)
    reasons: list[Reason] = []
    for order, (places, keys) in enumerate(grouped.items()):
        odd = [runs[i] for i in places]
        found = [r.not_finite[key] for r in odd for key in keys]
        kinds = listed(sorted({number(f.value) for f in found}), "or")
        text = f"{_stand(odd, len(runs), 'in')} {kinds} in {listed(keys)}"
        first = min(f.since for f in found)
        reasons.append(
            ((FAIL, -len(odd) / len(runs), order - 200), f"{text} (first at step {first})")
        )
    return reasons


def _stand(runs: Sequence[JudgedRun], total: int, preposition: str) -> str:
    """Return ``2 of 3 runs end with``, or what is true of runs that are not at their end."""
    head = of_runs(len(runs), total)
    verb = "stands" if len(runs) == total == 1 else "stand"
    if any(r.is_under_way for r in runs):
        return f"so far {head} {verb} at"
    if not all(r.is_at_its_end for r in runs):
        return f"{head} {verb} at"
    return f"{head} end{'s' if len(runs) == total == 1 else ''} {preposition}"


def _target_reasons(data: StudyData, runs: Sequence[JudgedRun], at_step: int) -> list[Reason]:
    reasons: list[Reason] = []
    for order, key in enumerate(data.targets):
        for status, severity in ((Status.CRITICAL, FAIL), (Status.DEGRADING, WARN)):
            missing = [r for r in runs if r.statuses.get(key) == status and key not in r.not_finite]
            if missing:
                text = _missed(data, key, missing=missing, total=len(runs))
                misses = misses_of(data, key, [r.run.id for r in missing], at_step)
                is_final = all(r.is_at_its_end for r in missing)
                since = _since(misses, is_final=is_final, at_step=at_step)
                reasons.append(((severity, -len(missing) / len(runs), order), text + since))
    return reasons


def _since(misses: Sequence[Miss], *, is_final: bool, at_step: int) -> str:
    if not misses:
        return ""
    if not any(miss.was_met for miss in misses):
        return "; never met" if is_final else "; not met yet"
    if min(miss.step for miss in misses) >= DEFAULT_RULE.window(at_step)[0]:
        return ""  # that it missed at the end is said already
    return (
        f"; missed {'for good ' if is_final else ''}from step {span(miss.step for miss in misses)}"
    )


def _missed(data: StudyData, key: str, *, missing: Sequence[JudgedRun], total: int) -> str:
    target = data.targets[key]
    values = [r.values[key] for r in missing]
    head = f"{_stand(missing, total, 'with')} {key} {spread(values)}"
    centre = mean(values)
    if target.kind == "drift":
        firsts = [initial_value(data.curve(r.run.id, key)) for r in missing]
        first = mean([f for f in firsts if f is not None])
        change = relative_change(key, centre, first)
        how = "away from" if change is None else _beside(change)
        return f"{head}, {how} its first value {number(first)} (target {target.text})"
    if target.value == 0 or centre * target.value < 0:
        return f"{head}, outside its target {target.text}"
    return f"{head}, {_beside(centre / target.value - 1)} its target {target.text}"


def _beside(relative: float) -> str:
    if relative != relative:
        return "not a number, against"
    if relative > 1:
        return f"{number(relative + 1)} times"
    side = "above" if relative > 0 else "below"
    return f"{abs(relative):.0%} {side}" if abs(relative) >= 0.005 else f"just {side}"


def _endings(runs: Sequence[JudgedRun]) -> list[Reason]:
    reasons: list[Reason] = []
    for order, state in enumerate((RunState.DIVERGED, RunState.FAILED, RunState.STOPPED)):
        ended = [r.run for r in runs if r.run.state == state]
        if ended:
            verb = {"stopped": f"{'was' if len(ended) == 1 else 'were'} stopped"}.get(state, state)
            steps = [run.step for run in ended if run.step is not None]
            whose = "its" if len(ended) == 1 else "their"
            at = f" at step {span(steps)}" if steps else f" before {whose} first point"
            why = sorted({run.reason for run in ended if run.reason})
            text = f"{of_runs(len(ended), len(runs))} {verb}{at}" + (f" ({why[0]})" if why else "")
            reasons.append(((FAIL, -len(ended) / len(runs), 200 + order), text))
    return reasons


def _guard_reasons(data: StudyData, runs: Sequence[JudgedRun]) -> list[Reason]:
    fired: dict[str, list[int]] = {}
    stopping: set[str] = set()
    for r in runs:
        for name, event in _first_firings(data, r.run.id).items():
            # A run that this guard stopped has said so already.
            if r.run.state != RunState.STOPPED or name not in (r.run.reason or ""):
                fired.setdefault(name, []).append(event.step)
                stopping |= {name} if r.is_ruled_out and stops(event) else set()
    return [
        (
            (FAIL if name in stopping else WARN, -len(steps) / len(runs), 300),
            f"guard {name}{', which stops runs,' if name in stopping else ''} fired in "
            f"{of_runs(len(steps), len(runs))} at step {span(steps)}",
        )
        for name, steps in sorted(fired.items())
    ]


def _first_firings(data: StudyData, run_id: str) -> dict[str, Event]:
    """Return guard -> the event of its first firing in a run."""
    first: dict[str, Event] = {}
    for event in data.events.get(run_id, ()):
        if fired := GuardFired.of(event.name, event.data):
            first.setdefault(fired.guard, event)
    return first


def _gate_reasons(data: StudyData, runs: Sequence[JudgedRun], at_step: int) -> list[Reason]:
    """Return what was critical at gates before the compared step, which has its own reasons."""
    critical: dict[int, dict[str, int]] = {}
    stopping: set[int] = set()
    for r in runs:
        for event, judged in _gates_passed(data, r.run.id):
            # A run that this gate stopped has said so already.
            stopped = (r.run.reason or "").startswith(f"gate {event.step}: ")
            if event.step < at_step and not stopped:
                stopping |= {event.step} if r.is_ruled_out and stops(event) else set()
                counts = critical.setdefault(event.step, {})
                for key, status in judged.statuses.items():
                    counts[key] = counts.get(key, 0) + (status == Status.CRITICAL)
    reasons: list[Reason] = []
    for step, counts in sorted(critical.items()):
        parts = [f"{key} in {of_runs(n, len(runs))}" for key, n in counts.items() if n]
        if parts:
            share = max(counts.values()) / len(runs)
            which = ", which stops runs" if step in stopping else ""
            text = f"critical at gate {step}{which}: {', '.join(parts)}"
            reasons.append(((FAIL if which else WARN, -share, 310), text))
    return reasons


def _gates_passed(data: StudyData, run_id: str) -> list[tuple[Event, GateJudged]]:
    """Return the events of the gates at which a run was judged, by step, with what they say."""
    return [
        (event, judged)
        for event in data.events.get(run_id, ())
        if (judged := GateJudged.of(event.name, event.data))
    ]


def _repeated(runs: Sequence[JudgedRun], repeats: Mapping[str, int]) -> list[Reason]:
    """Return which seeds gave the same to the bit."""
    own = [r.run for r in runs if r.run.id in repeats]
    if not own:
        return []
    seeds = sorted({repeats[run.id] for run in own} | {run.seed for run in own})
    until, why = "", ": the trainer does not use its seed"
    if own[0].trainer == IMPORTED:
        why = ": the same record twice, or a trainer that does not use its seed"
    if not all(r.is_at_its_end for r in runs):  # what comes later may differ
        until, why = f" up to step {max(r.step or 0 for r in runs)}", ""
    text = (
        f"seeds {listed([str(seed) for seed in seeds])} give the same curves to the bit{until} "
        f"and count {'once' if len(own) == len(seeds) - 1 else 'once each'}{why}"
    )
    return [((WARN, 0.0, 440), text)]


def _unfinished(runs: Sequence[JudgedRun]) -> list[Reason]:
    reasons: list[Reason] = []
    waiting = [r.run for r in runs if not r.run.state.is_finished]
    if waiting:
        steps = span(run.step or 0 for run in waiting)
        verb = "has" if len(waiting) == 1 else "have"
        text = f"{of_runs(len(waiting), len(runs))} {verb} not finished (step {steps})"
        reasons.append(((NOTE, 0.0, 500), text))
    ended = [r.run for r in runs if r.run.state == RunState.CANCELLED]
    if ended:
        steps = span(run.step or 0 for run in ended)
        verb = "was" if len(ended) == 1 else "were"
        text = f"{of_runs(len(ended), len(runs))} {verb} cancelled at step {steps}"
        reasons.append(((NOTE, 0.0, 501), text))
    return reasons


def _good_targets(data: StudyData, runs: Sequence[JudgedRun]) -> list[Reason]:
    met: list[str] = []
    for key, target in data.targets.items():
        known = [r for r in runs if key in r.statuses]
        if known and all(r.statuses[key] == Status.GOOD for r in known):
            met.append(_met(data, key, target, known))
    if not met:
        return []
    came = [r for r in runs if r.statuses]
    text = f"{so_far(came)}met in {of_runs(len(came), len(runs))}: {', '.join(met)}"
    return [((NOTE, 0.0, 350), text)]


def _met(data: StudyData, key: str, target: Target, known: Sequence[JudgedRun]) -> str:
    value = mean([r.values[key] for r in known])
    if target.kind != "drift":
        return f"{key} {number(value)} ({target.text})"
    firsts = [f for r in known if (f := initial_value(data.curve(r.run.id, key))) is not None]
    return f"{key} {percent(relative_change(key, value, mean(firsts)))} ({target.text})"


def _without_value(data: StudyData, runs: Sequence[JudgedRun]) -> list[Reason]:
    came = [r for r in runs if r.values or r.silence.losses or r.run.step is not None]
    missing = [key for key in data.targets if not any(key in r.values for r in came)]
    if not missing:
        return []
    return [((NOTE, 0.0, 550), f"nothing to judge the target of {', '.join(missing)} by")]


def _waiting(runs: Sequence[JudgedRun]) -> list[Reason]:
    waiting = [r.run.parent for r in runs if r.run.waits_for and r.run.parent]
    if not waiting:
        return []
    what = f"{waiting[0].variant} at step {waiting[0].step}"
    verb = "waits" if len(waiting) == 1 else "wait"
    text = f"{of_runs(len(waiting), len(runs))} {verb} for a checkpoint of {what}"
    return [((NOTE, 0.0, 560), text)]


def _lineage(runs: Sequence[JudgedRun]) -> list[Reason]:
    parents = [r.run.parent for r in runs if r.run.parent]
    if not parents:
        return []
    text = f"begins from {parents[0].variant} at step {parents[0].step}, seed by seed"
    return [((NOTE, 0.0, 570), text)]
