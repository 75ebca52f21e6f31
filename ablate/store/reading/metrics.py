"""What the tables say about metrics and events, without what resumes replaced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, or_, select

from ablate.domain import Event
from ablate.storable import from_json
from ablate.store.curves import Curve
from ablate.store.reading.queries import counts, counts_from, counts_to
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
        for run_id, attempt_id, first, cut, written in connection.execute(query):
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
    found: list[Curve] = []
    for run_id in run_ids:
        columns = _columns(connection, windows.get(run_id, []), keys, with_times=with_times)
        for key in keys:
            if key in columns:
                found.append(_curve(run_id, key, columns[key]))
    return tuple(found)


_Columns: TypeAlias = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]


def _columns(
    connection: Connection,
    windows: Iterable[CountingSteps],
    keys: Sequence[str],
    *,
    with_times: bool,
) -> dict[str, list[_Columns]]:
    """Return by key the steps, values and times of each attempt that counts, ascending."""
    found: dict[str, list[_Columns]] = defaultdict(list)
    before: tuple[int, ...] = ()
    for window in windows:
        step_times = _step_times(connection, window) if with_times else {}
        for key, series_id in _series(connection, window.attempt_id, keys):
            rows = _points(connection, window, series_id)
            if rows:
                steps, values, kinds, late = zip(*rows, strict=True)
                if steps == before:
                    steps = before  # most keys are logged at the same steps: keep them once
                before = steps
                if any(kinds):
                    values = tuple(map(decode, values, kinds))
                times = _times(steps, late, step_times) if with_times else ()
                found[key].append((steps, values, times))
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


def _series(
    connection: Connection, attempt_id: int, keys: Sequence[str]
) -> Iterator[tuple[str, int]]:
    for part in chunks(dict.fromkeys(keys)):
        query = (
            select(MetricKeyRow.name, SeriesRow.id)
            .join(SeriesRow, SeriesRow.key_id == MetricKeyRow.id)
            .where(SeriesRow.attempt_id == attempt_id, MetricKeyRow.name.in_(part))
        )
        for row in connection.execute(query):
            yield row[0], row[1]


_POINTS = """
    SELECT step, value, kind, time FROM points
    WHERE series_id = {} AND step BETWEEN {} AND {} ORDER BY step
"""


def _points(connection: Connection, window: CountingSteps, series_id: int) -> Sequence[Any]:
    """Return the rows of a series, by the driver alone: SQLAlchemy's take three times as long."""
    cursor: Any = connection.connection.cursor()
    cursor.execute(_POINTS.format(series_id, window.first_step, window.last_step))
    rows = cursor.fetchall()
    cursor.close()
    return rows


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
