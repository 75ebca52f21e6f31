"""Jumps of curves that coincide with events: a quantizer becomes active, a warm-up ends."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from ablate.analysis.curves.study_data import RunCurve, StudyData
from ablate.analysis.wording import number
from ablate.domain import Event, Json
from ablate.keys import STOP, GateJudged, GuardFired
from ablate.rules import Status, mean

POINTS = 5
"""Points compared on each side of an event."""
NOISE = 6.0
"""A jump is larger than this many robust standard deviations of the step-to-step change."""
LEAST = 0.2
"""A jump changes the level by at least this fraction."""
LONG = 32
"""Characters of a value of an event that are shown; a digest needs no more."""
LIMIT = 200
"""Steps within which the points on either side of an event must lie."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventMark:
    """One event of a variant: in how many of its runs, and when."""

    variant: str
    name: str
    steps: tuple[int, ...]
    """One for each run that had it, ascending."""
    runs: int
    detail: str
    """The event's data as ``key=value``, of the first run that had it."""
    label: str
    """Short: the name, and for a guard or a gate which one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Jump:
    """A curve whose level changed where an event happened, as means over the runs that jumped."""

    variant: str
    key: str
    event: str
    step: int
    before: float
    after: float
    jumped: int
    """In how many runs."""
    runs: int
    """In how many the event happened."""


def events_of(data: StudyData, variant: str, at_step: int) -> tuple[EventMark, ...]:
    """Return a variant's events up to a step, by step.

    The k-th event of one name in each run is taken as the same event.
    """
    grouped: dict[tuple[str, int], list[Event]] = {}
    runs = data.runs_of(variant)
    for run in runs:
        seen: dict[str, int] = {}
        for event in data.events.get(run.id, ()):
            if event.step <= at_step:
                ordinal = seen[event.name] = seen.get(event.name, 0) + 1
                grouped.setdefault((event.name, ordinal), []).append(event)
    marks = [
        EventMark(
            variant=variant,
            name=name,
            steps=tuple(sorted(event.step for event in events)),
            runs=len(runs),
            detail=", ".join(f"{k}={_shown(v)}" for k, v in sorted(events[0].data.items())),
            label=_label(events[0]),
        )
        for (name, _), events in grouped.items()
    ]
    return tuple(sorted(marks, key=lambda mark: (mark.steps, mark.name, mark.detail)))


def _label(event: Event) -> str:
    if fired := GuardFired.of(event.name, event.data):
        return f"guard {fired.guard}"
    return f"gate {event.step}" if event.name == GateJudged.NAME else event.name


def _shown(value: Json) -> str:
    if isinstance(value, Mapping):
        return " and ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    text = number(value) if isinstance(value, float) else str(value)
    return text if len(text) <= LONG else f"{text[:LONG]}…"


def stops(event: Event) -> bool:
    """Whether an event is that of a guard or a gate that ends a run."""
    if fired := GuardFired.of(event.name, event.data):
        return fired.do == STOP
    judged = GateJudged.of(event.name, event.data)
    return judged is not None and judged.do == STOP and Status.CRITICAL in judged.statuses.values()


def jumps_of(data: StudyData, variant: str, keys: Iterable[str], at_step: int) -> tuple[Jump, ...]:
    """Return where curves of a variant jump together with an event, largest first."""
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    happened: dict[tuple[str, int], int] = {}
    wanted = tuple(keys)
    for run in data.runs_of(variant):
        moments = {(e.name, e.step) for e in data.events.get(run.id, ()) if 0 < e.step <= at_step}
        for name, step in moments:
            happened[name, step] = happened.get((name, step), 0) + 1
            for key in wanted:
                if sides := jump_at(data.curve(run.id, key), step):
                    found.setdefault((key, name, step), []).append(sides)
    jumps = [
        Jump(
            variant=variant,
            key=key,
            event=name,
            step=step,
            before=mean([before for before, _ in sides]),
            after=mean([after for _, after in sides]),
            jumped=len(sides),
            runs=happened[name, step],
        )
        for (key, name, step), sides in found.items()
    ]
    return tuple(sorted(jumps, key=lambda j: (-_size(j), j.step, j.key, j.event)))


def jump_at(curve: RunCurve | None, step: int) -> tuple[float, float] | None:
    """Return the mean level just before and after ``step``, None when the curve does not jump.

    The noise is the median step-to-step change in the same stretch, so that a curve that falls
    steeply anyway does not count as jumping.
    """
    if curve is None:
        return None
    middle = bisect_left(curve.steps, step)
    start = max(bisect_left(curve.steps, step - LIMIT), middle - POINTS)
    # The value at the event's own step may be of before or after it; it is left out.
    after_start = bisect_right(curve.steps, step)
    end = min(bisect_right(curve.steps, step + LIMIT), after_start + POINTS)
    before, after = curve.values[start:middle], curve.values[after_start:end]
    if len(before) < 2 or len(after) < 2 or not all(map(math.isfinite, before + after)):
        return None
    changes = [abs(b - a) for side in (before, after) for a, b in pairwise(side)]
    level, gap = mean(before), abs(mean(after) - mean(before))
    edge = abs(after[0] - before[-1])
    noise = statistics.median(changes) / 0.6745
    if edge <= NOISE * noise or gap <= LEAST * abs(level) or gap <= NOISE * noise:
        return None
    return level, mean(after)


def _size(jump: Jump) -> float:
    return abs(jump.after - jump.before) / max(abs(jump.before), 1e-12)
