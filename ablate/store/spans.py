"""Reads ranges of many attempts' series in one statement: whole buckets, and points at the ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from ablate.store.models import MetricKeyRow
from ablate.store.queries import chunks
from ablate.store.rollups import WIDTH, bucket_of


class Span(NamedTuple):
    """A range of buckets or of steps of an attempt, both ends within."""

    place: int
    """Whatever the caller counts: it comes back with each row."""
    attempt_id: int
    low: int
    high: int


class Cover(NamedTuple):
    """A range of steps as the buckets that lie within, and the ranges of steps that are left."""

    buckets: tuple[int, int] | None
    rest: tuple[tuple[int, int], ...]


def cover(first_step: int, last_step: int, written: int) -> Cover:
    """Return how to read a range of steps.

    Args:
        first_step: At least 0.
        last_step: At least ``first_step``.
        written: The largest step with a point: behind it a bucket that is cut is whole.
    """
    if first_step > written:
        return Cover(None, ())
    low = bucket_of(first_step - 1) + 1 if first_step else 0
    high = bucket_of(written) if last_step >= written else last_step // WIDTH
    if high < low:
        return Cover(None, ((first_step, min(last_step, written)),))
    ends = (first_step, (low - 1) * WIDTH), (high * WIDTH + 1, min(last_step, written))
    return Cover((low, high), tuple(end for end in ends if 0 <= end[0] <= end[1]))


def key_names(connection: Connection, keys: Sequence[str]) -> dict[int, str]:
    """Return the names of the keys that exist by their ids."""
    found: dict[int, str] = {}
    for part in chunks(dict.fromkeys(keys)):
        query = select(MetricKeyRow.id, MetricKeyRow.name).where(MetricKeyRow.name.in_(part))
        found.update((id_, name) for id_, name in connection.execute(query))
    return found


# One statement for all spans, with numbers of ours written into it: the order of its joins is
# that of an index seek for each (span, series), and there are too many for parameters.
_JOIN = """
    WITH spans (place, attempt_id, low, high) AS (VALUES {spans})
    SELECT spans.place, series.key_id, {columns}
    FROM spans CROSS JOIN series CROSS JOIN {table}
    WHERE series.attempt_id = spans.attempt_id AND series.key_id IN ({keys})
    AND {table}.series_id = series.id AND {table}.{step} BETWEEN spans.low AND spans.high
"""
_POINTS = _JOIN.format(
    spans="{spans}",
    keys="{keys}",
    columns="points.step, points.value, points.kind",
    table="points",
    step="step",
)
_ROLLUPS = _JOIN.format(
    spans="{spans}", keys="{keys}", columns="{columns}", table="rollups", step="bucket"
)
# PostgreSQL refuses a sum beyond the doubles, so what comes near is left out and counted as odd.
_SUMS = (
    _ROLLUPS.format(
        spans="{spans}",
        keys="{keys}",
        columns="""
    count(*), sum(n), sum(CASE WHEN abs(sum) < 1e290 THEN 0 ELSE 1 END),
    sum(n_nan), sum(n_pos_inf), sum(n_neg_inf),
    sum(CASE WHEN abs(sum) < 1e290 THEN sum END), sum(CASE WHEN abs(sum) < 1e290 THEN abs(sum) END)
    """,
    )
    + "GROUP BY spans.place, series.key_id"
)


def read_points(
    connection: Connection, spans: Iterable[Span], key_ids: Iterable[int]
) -> Iterator[Any]:
    """Yield (place, key_id, step, value, kind) of the points in spans of steps."""
    return _read(connection, _POINTS, spans, key_ids)


def read_rollups(
    connection: Connection, spans: Iterable[Span], key_ids: Iterable[int], columns: Sequence[str]
) -> Iterator[Any]:
    """Yield (place, key_id, ...) of the rollups in spans of buckets."""
    statement = _ROLLUPS.format(spans="{spans}", keys="{keys}", columns=", ".join(columns))
    return _read(connection, statement, spans, key_ids)


def read_sums(
    connection: Connection, spans: Iterable[Span], key_ids: Iterable[int]
) -> Iterator[Any]:
    """Yield sums over the rollups in spans of buckets, at least one for each (place, key).

    They are place, key_id, number of buckets, n, number of buckets of which the sum is left out,
    n_nan, n_pos_inf, n_neg_inf, sum, sum of the sums' absolute values.
    """
    return _read(connection, _SUMS, spans, key_ids)


def _read(
    connection: Connection, statement: str, spans: Iterable[Span], key_ids: Iterable[int]
) -> Iterator[Any]:
    keys = ", ".join(map(str, key_ids))
    if not keys:
        return
    for part in chunks(spans):
        values = ", ".join("({}, {}, {}, {})".format(*span) for span in part)
        cursor: Any = connection.connection.cursor()
        cursor.execute(statement.format(spans=values, keys=keys))
        yield from cursor.fetchall()
        cursor.close()
