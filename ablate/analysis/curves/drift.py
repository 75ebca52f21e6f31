"""Tables over a variant's keys: trends over windows, and parameters from first value to now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablate.analysis.curves.study_data import StudyData, read_step
from ablate.analysis.curves.windows import (
    Window,
    initial_value,
    relative_change,
    trend_windows,
    value_at,
    value_before,
    window_mean,
)
from ablate.rules import DEFAULT_RULE, Status, Target, mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend:
    """One key over the trend windows, as a mean over the runs of a variant."""

    key: str
    means: tuple[float | None, ...]
    change: float | None
    """Last window against the first, as a fraction."""
    target: Target | None
    status: Status | None
    """Of the last window's mean; None without a target."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One key from its first value to the compared step, as a mean over the runs."""

    key: str
    initial: float | None
    value: float
    change: float | None
    target: Target | None
    status: Status | None
    """The worst over the runs; None without a target."""
    runs: int


def trends_of(
    data: StudyData, variant: str, keys: Iterable[str], at_step: int
) -> tuple[tuple[Window, ...], tuple[Trend, ...]]:
    """Return the trend windows and, for each key that has points in one, its means there."""
    windows = trend_windows(at_step)
    ids = [run.id for run in data.runs_of(variant)]
    rows = (_trend(data, ids, key, windows) for key in keys)
    return windows, tuple(row for row in rows if row)


def parameters_of(
    data: StudyData, variant: str, keys: Iterable[str], at_step: int
) -> tuple[Parameter, ...]:
    """Return, for each key with points, its first value, its value now and how it stands."""
    read = [(r.id, s) for r in data.runs_of(variant) if (s := read_step(r, at_step)) is not None]
    rows = (_parameter(data, read, key) for key in keys)
    return tuple(row for row in rows if row)


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst status; `NO_DATA` when there is none or no other."""
    order = (Status.NO_DATA, Status.GOOD, Status.DEGRADING, Status.CRITICAL)
    return max(statuses, key=order.index, default=Status.NO_DATA)


def _trend(
    data: StudyData, ids: Sequence[str], key: str, windows: tuple[Window, ...]
) -> Trend | None:
    curves = [data.curve(run_id, key) for run_id in ids]
    means = [_mean([window_mean(c, w) for c in curves]) for w in windows]
    if all(value is None for value in means):
        return None
    target = data.targets.get(key)
    initial = _mean([initial_value(c) for c in curves])
    return Trend(
        key=key,
        means=tuple(means),
        change=relative_change(key, means[-1], means[0]) if len(means) > 1 else None,
        target=target,
        status=target.judge(means[-1], initial) if target else None,
    )


def _parameter(data: StudyData, read: Sequence[tuple[str, int]], key: str) -> Parameter | None:
    rule = data.metrics[key].rule if key in data.metrics else DEFAULT_RULE
    curves = [(data.curve(run_id, key), step) for run_id, step in read]
    found = [(c, value_at(c, rule, step)) for c, step in curves]
    known = [(now.value, value_before(c, now)) for c, now in found if now]
    if not known:
        return None
    value, initial = mean([now for now, _ in known]), _mean([first for _, first in known])
    target = data.targets.get(key)
    return Parameter(
        key=key,
        initial=initial,
        value=value,
        change=relative_change(key, value, initial),
        target=target,
        status=worst(target.judge(now, first) for now, first in known) if target else None,
        runs=len(known),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return mean(known) if known else None
