"""Reads points in pieces, so that a study of any size fits into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, func, select

from ablate.store.curves import Curve
from ablate.store.reading.queries import counts_from, counts_to
from ablate.store.schema.models import AttemptRow, MetricKeyRow, PointRow, SeriesRow, StepRow
from ablate.store.schema.rows import decode
from ablate.store.schema.statements import chunks

PIECE = 50_000
"""Points of one piece: a few megabytes."""


class _Part(NamedTuple):
    """What counts of one key of one attempt."""

    attempt_id: int
    series_id: int
    first_step: int
    last_step: int


def stream(connection: Connection, run_ids: Sequence[str], keys: Sequence[str]) -> Iterator[Curve]:
    """Yield the curves of the runs in pieces, by run, then by key, then by step."""
    for run_id in run_ids:
        parts = _parts(connection, run_id, keys)
        for key in keys:
            for part in parts.get(key, ()):
                for steps, values, times in _pieces(connection, part):
                    yield Curve(run_id=run_id, key=key, steps=steps, values=values, times=times)


def _parts(connection: Connection, run_id: str, keys: Sequence[str]) -> dict[str, list[_Part]]:
    """Return the series of a run by key, in the order of their steps."""
    found: dict[str, list[_Part]] = {}
    for names in chunks(dict.fromkeys(keys)):
        query = (
            select(
                MetricKeyRow.name,
                AttemptRow.id,
                SeriesRow.id,
                counts_from(),
                counts_to(),
            )
            .join_from(AttemptRow, SeriesRow, SeriesRow.attempt_id == AttemptRow.id)
            .join(MetricKeyRow, MetricKeyRow.id == SeriesRow.key_id)
            .where(AttemptRow.run_id == run_id, MetricKeyRow.name.in_(names))
            .order_by(AttemptRow.number)
        )
        for key, attempt_id, series_id, first, last in connection.execute(query):
            if first <= last:
                found.setdefault(key, []).append(_Part(attempt_id, series_id, first, last))
    return found


def _pieces(
    connection: Connection, part: _Part
) -> Iterator[tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]]:
    time = func.coalesce(PointRow.time, StepRow.time)
    of_step = and_(StepRow.attempt_id == part.attempt_id, StepRow.step == PointRow.step)
    query = (
        select(PointRow.step, PointRow.value, PointRow.kind, time)
        .join_from(PointRow, StepRow, of_step)
        .where(PointRow.series_id == part.series_id)
        .where(PointRow.step.between(part.first_step, part.last_step))
        .order_by(PointRow.step)
    )
    result = connection.execute(query, execution_options={"yield_per": PIECE})
    for rows in result.partitions():
        steps, values, kinds, times = zip(*rows, strict=True)
        if any(kinds):
            values = tuple(map(decode, values, kinds))
        yield steps, values, times
