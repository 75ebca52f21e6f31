"""What the tables say about metrics and events, without what resumes replaced."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, TypeAlias

from sqlalchemy import Connection, or_, select

from ablate.domain import Event
from ablate.storable import from_json
from ablate.store.curves import Curve, Stretches
from ablate.store.reading.queries import counts, counts_from, counts_to
from ablate.store.reading.spans import Span, key_names, read_points, read_stretches
from ablate.store.schema.models import (
    AttemptRow,
    EventRow,
    MetricKeyRow,
    PointRow,
    SeriesRow,
    StepRow,
)
from ablate.store.schema.rows import decode
from ablate.store.schema.statements import MAX_STEP, chunks


class CountingSteps(NamedTuple):
    """The steps of an attempt that count."""

    run_id: str
    attempt_id: int
    first_step: int
    last_step: int
    written: int
    """The largest step with a point, -1 for none."""


def counting_steps(
    connection: Connection, run_ids: Sequence[str], first_step: int, last_step: int | None
) -> dict[str, list[CountingSteps]]:
    """Return by run what counts of its attempts, in the order of their steps."""
    found: dict[str, list[CountingSteps]] = defaultdict(list)
    last = MAX_STEP if last_step is None else last_step
    for part in chunks(dict.fromkeys(run_ids)):
        query = select(AttemptRow.run_id, AttemptRow.id, counts_from(), counts_to())
        query = query.add_columns(AttemptRow.last_step)
        query = query.where(AttemptRow.run_id.in_(part)).order_by(AttemptRow.number)
        for run_id, attempt_id, first, cut, written in connection.execute(query).all():
            window = CountingSteps(
                run_id, attempt_id, max(first, first_step), min(cut, last), written
            )
            if window.first_step <= window.last_step:
                found[run_id].append(window)
    return found


def metric_keys(connection: Connection, run_ids: Sequence[str]) -> tuple[str, ...]:
    """Return the keys that any of the runs has logged, sorted: one index seek for each series."""
    found: set[str] = set()
    points = select(PointRow.step).where(PointRow.series_id == SeriesRow.id)
    for part in chunks(dict.fromkeys(run_ids)):
        query = (
            select(MetricKeyRow.name)
            .distinct()
            .join_from(AttemptRow, SeriesRow, SeriesRow.attempt_id == AttemptRow.id)
            .join(MetricKeyRow, MetricKeyRow.id == SeriesRow.key_id)
            .where(AttemptRow.run_id.in_(part), points.where(counts(PointRow.step)).exists())
        )
        found.update(connection.execute(query).scalars())
    return tuple(sorted(found))


def keys_by_run(connection: Connection, run_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return by run the keys that it has logged, sorted; a run without a point is absent."""
    found: dict[str, set[str]] = defaultdict(set)
    points = select(PointRow.step).where(PointRow.series_id == SeriesRow.id)
    for part in chunks(dict.fromkeys(run_ids)):
        query = (
            select(AttemptRow.run_id, MetricKeyRow.name)
            .join_from(AttemptRow, SeriesRow, SeriesRow.attempt_id == AttemptRow.id)
            .join(MetricKeyRow, MetricKeyRow.id == SeriesRow.key_id)
            .where(AttemptRow.run_id.in_(part), points.where(counts(PointRow.step)).exists())
        )
        for run_id, key in connection.execute(query).all():
            found[run_id].add(key)
    # Most runs log the same keys: keep them once.
    alike: dict[tuple[str, ...], tuple[str, ...]] = {}
    for_run = {run_id: tuple(sorted(keys)) for run_id, keys in found.items()}
    return {run_id: alike.setdefault(keys, keys) for run_id, keys in for_run.items()}


def curves(
    connection: Connection,
    run_ids: Sequence[str],
    keys: Sequence[str],
    *,
    steps: tuple[int, int | None],
    with_times: bool,
) -> tuple[Curve, ...]:
    """Return the curves of the runs, ordered by run, then by key; ``steps`` is first and last."""
    windows = counting_steps(connection, run_ids, *steps)
    columns = _columns(connection, windows, keys, with_times=with_times)
    return tuple(
        _curve(run_id, key, columns[run_id, key])
        for run_id in run_ids
        for key in keys
        if (run_id, key) in columns
    )


_Columns: TypeAlias = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]


def _columns(
    connection: Connection,
    windows: Mapping[str, Iterable[CountingSteps]],
    keys: Sequence[str],
    *,
    with_times: bool,
) -> dict[tuple[str, str], list[_Columns]]:
    """Return by run and key the steps, values and times of each attempt that counts, ascending."""
    found: dict[tuple[str, str], list[_Columns]] = defaultdict(list)
    names = key_names(connection, keys)
    flat = [window for of_run in windows.values() for window in of_run]
    spans = [Span(place, w.attempt_id, w.first_step, w.last_step) for place, w in enumerate(flat)]
    times = [_step_times(connection, w) for w in flat] if with_times else []
    rows = sorted(read_points(connection, spans, names, with_times=with_times))
    before: tuple[int, ...] = ()
    end = 0
    while end < len(rows):
        place, key_id, *_ = rows[end]
        series = rows[end : bisect_right(rows, (place, key_id, math.inf), end)]
        end += len(series)
        _, _, steps, values, kinds, *own = zip(*series, strict=True)
        if steps == before:
            steps = before  # most keys are logged at the same steps: keep them once
        before = steps
        if any(kinds):
            values = tuple(map(decode, values, kinds))
        logged = _times(steps, own[0], times[place]) if with_times else ()
        found[flat[place].run_id, names[key_id]].append((steps, values, logged))
    return found


def _times(
    steps: Sequence[int], own: Sequence[float | None], step_times: Mapping[int, float]
) -> tuple[float, ...]:
    """Return when points were logged: a time of their own, or that of their step."""
    if own.count(None) == len(own):
        return tuple(map(step_times.__getitem__, steps))
    pairs = zip(steps, own, strict=True)
    return tuple(step_times[step] if time is None else time for step, time in pairs)


def _curve(run_id: str, key: str, parts: Sequence[_Columns]) -> Curve:
    whole = parts[0]
    if len(parts) > 1:
        steps, values, times = (tuple(chain.from_iterable(p)) for p in zip(*parts, strict=True))
        whole = steps, values, times
    return Curve(run_id=run_id, key=key, steps=whole[0], values=whole[1], times=whole[2])


def stretches(
    connection: Connection, run_ids: Sequence[str], keys: Sequence[str], width: int
) -> tuple[Stretches, ...]:
    """Return the curves of the runs summed up over stretches, ordered by run, then by key."""
    names = key_names(connection, keys)
    windows = counting_steps(connection, run_ids, 0, None)
    flat = [window for of_run in windows.values() for window in of_run]
    spans = [Span(place, w.attempt_id, w.first_step, w.last_step) for place, w in enumerate(flat)]
    found: dict[tuple[str, str], dict[int, _Sums]] = defaultdict(dict)
    for place, key_id, number, *sums in read_stretches(connection, spans, names, width):
        of_curve = found[flat[place].run_id, names[key_id]]
        # A run that went on within a stretch has a part of it from each attempt.
        before = of_curve.get(number)
        of_curve[number] = _Sums(*sums) if before is None else before.plus(_Sums(*sums))
    places = [(run_id, key) for run_id in run_ids for key in keys]
    return tuple(_stretches(*place, found[place], width) for place in places if place in found)


class _Sums(NamedTuple):
    points: int
    usual: int
    total: float | None
    low: float | None
    high: float | None
    last: int

    def plus(self, other: _Sums) -> _Sums:
        totals, lows, highs = (
            [value for value in pair if value is not None]
            for pair in ((self.total, other.total), (self.low, other.low), (self.high, other.high))
        )
        return _Sums(
            self.points + other.points,
            self.usual + other.usual,
            sum(totals) if totals else None,
            min(lows, default=None),
            max(highs, default=None),
            max(self.last, other.last),
        )


def _stretches(run_id: str, key: str, sums: Mapping[int, _Sums], width: int) -> Stretches:
    numbers = sorted(sums)
    ordered = [sums[number] for number in numbers]
    return Stretches(
        run_id=run_id,
        key=key,
        width=width,
        starts=tuple(number * width for number in numbers),
        counts=tuple(s.points for s in ordered),
        means=tuple(None if s.total is None else s.total / s.usual for s in ordered),
        lows=tuple(s.low for s in ordered),
        highs=tuple(s.high for s in ordered),
        last_step=max(s.last for s in ordered),
    )


def _step_times(connection: Connection, window: CountingSteps) -> dict[int, float]:
    query = select(StepRow.step, StepRow.time).where(
        StepRow.attempt_id == window.attempt_id,
        StepRow.step.between(window.first_step, window.last_step),
    )
    return {row[0]: row[1] for row in connection.execute(query).all()}


def events(connection: Connection, run_ids: Sequence[str]) -> tuple[tuple[str, Event], ...]:
    """Return (run id, event), by run, then by step; without what a resume replaced.

    An attempt's event at the step it resumed from counts: it says that it resumed.
    """
    found: dict[str, list[Event]] = defaultdict(list)
    for part in chunks(dict.fromkeys(run_ids)):
        query = (
            select(AttemptRow.run_id, EventRow.name, EventRow.step, EventRow.data, EventRow.time)
            .join(AttemptRow, AttemptRow.id == EventRow.attempt_id)
            .where(AttemptRow.run_id.in_(part))
            .where(or_(AttemptRow.cut_step.is_(None), EventRow.step <= AttemptRow.cut_step))
            .order_by(EventRow.step, AttemptRow.number, EventRow.id)
        )
        for run_id, name, step, data, time in connection.execute(query):
            found[run_id].append(Event(name, step, from_json(data), time))
    return tuple((run_id, event) for run_id in run_ids for event in found[run_id])
