"""Reads ranges of many attempts' series in one statement: whole buckets, and points at the ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from ablate.store.curves import HUGE
from ablate.store.schema.models import MetricKeyRow
from ablate.store.schema.rollups import WIDTH, bucket_of
from ablate.store.schema.statements import chunks


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


class SumCover(NamedTuple):
    """A range of steps as buckets, ranges of steps to add, and ranges of steps to subtract."""

    buckets: tuple[int, int] | None
    more: tuple[tuple[int, int], ...]
    less: tuple[tuple[int, int], ...]


def cover(first_step: int, last_step: int, written: int) -> Cover:
    """Return how to read a range of steps.

    Args:
        first_step: At least 0.
        last_step: At least ``first_step``.
        written: The largest step with a point: behind it a bucket that is cut is whole.
    """
    if first_step > written:
        return Cover(None, ())
    # The first bucket that begins within, and the last that ends within. Behind the last written
    # step there is nothing, so the bucket of that step is whole wherever the range ends.
    low = bucket_of(first_step - 1) + 1 if first_step else 0
    high = bucket_of(written) if last_step >= written else last_step // WIDTH
    if high < low:
        return Cover(None, ((first_step, min(last_step, written)),))
    ends = (first_step, (low - 1) * WIDTH), (high * WIDTH + 1, min(last_step, written))
    return Cover((low, high), tuple(end for end in ends if 0 <= end[0] <= end[1]))


def cover_sum(first_step: int, last_step: int, written: int) -> SumCover:
    """Return how to sum over a range of steps, reading as few points as can be.

    Of a bucket at an end of the range either the steps within are added, or the bucket is and the
    others are subtracted.

    Args:
        first_step: At least 0.
        last_step: At least ``first_step``.
        written: The largest step with a point: behind it a bucket that is cut is whole.
    """
    last_step = min(last_step, written)
    if first_step > last_step:
        return SumCover(None, (), ())
    low, high = bucket_of(first_step), bucket_of(last_step)
    before = first_step - _first_of(low)
    after = min(high * WIDTH, written) - last_step
    # All in one bucket: its points are few, and a difference would only lose digits.
    if low == high and (before or after):
        return SumCover(None, ((first_step, last_step),), ())
    more: list[tuple[int, int]] = []
    less: list[tuple[int, int]] = []
    # Whichever is shorter is read: the steps within, or those of the bucket that are outside.
    if before > WIDTH // 2:
        more.append((first_step, low * WIDTH))
        low += 1
    elif before:
        less.append((first_step - before, first_step - 1))
    if after > WIDTH // 2:
        more.append((_first_of(high), last_step))
        high -= 1
    elif after:
        less.append((last_step + 1, last_step + after))
    return SumCover((low, high) if low <= high else None, tuple(more), tuple(less))


def _first_of(bucket: int) -> int:
    return max(0, (bucket - 1) * WIDTH + 1)  # bucket 0 holds step 0 alone


def key_names(connection: Connection, keys: Sequence[str]) -> dict[int, str]:
    """Return the names of the keys that exist by their ids."""
    found: dict[int, str] = {}
    for part in chunks(dict.fromkeys(keys)):
        query = select(MetricKeyRow.id, MetricKeyRow.name).where(MetricKeyRow.name.in_(part))
        found.update((id_, name) for id_, name in connection.execute(query))
    return found


# An index seek for each (span, series). SQLite runs the statement once for each span, so that its
# groups come out of the index in order. For PostgreSQL, to which each statement is a journey, one
# has all spans; OFFSET 0 keeps it from joining the whole table instead of seeking.
_OF_SPAN = """
    SELECT :place, series.key_id, {columns} FROM series CROSS JOIN {table}
    WHERE series.attempt_id = :attempt_id AND series.key_id IN ({keys})
    AND {table}.series_id = series.id AND {table}.{step} BETWEEN :low AND :high {group}
"""
_OF_SPANS = """
    SELECT spans.place, series.key_id, found.*
    FROM (VALUES {spans}) AS spans (place, attempt_id, low, high)
    JOIN series ON series.attempt_id = spans.attempt_id AND series.key_id IN ({keys})
    CROSS JOIN LATERAL (
        SELECT {columns} FROM {table} WHERE {table}.series_id = series.id
        AND {table}.{step} BETWEEN spans.low AND spans.high {group} OFFSET 0
    ) AS found
"""

_POINTS = ("points.step", "points.value", "points.kind")
_N = ("count(*)", "sum(n)", "sum(n_nan)", "sum(n_pos_inf)", "sum(n_neg_inf)")
_SIZE = "sum(CASE WHEN abs(sum) < 1e290 THEN abs(sum) WHEN n > 0 THEN {infinity} END)"
_SUMS = {
    "sqlite": (*_N, "sum(sum)", _SIZE.format(infinity="9e999")),
    # It refuses a sum beyond the doubles, so what comes near is left out.
    "postgresql": (
        *_N,
        "sum(CASE WHEN abs(sum) < 1e290 THEN sum END)",
        _SIZE.format(infinity="'inf'::float8"),
    ),
}


def read_points(
    connection: Connection,
    spans: Iterable[Span],
    key_ids: Iterable[int],
    *,
    with_times: bool = False,
) -> Iterable[Any]:
    """Return (place, key_id, step, value, kind) of the points in spans of steps, in any order.

    With times there is one more, the point's own; None where it is that of its step.
    """
    columns = (*_POINTS, "points.time") if with_times else _POINTS
    return _read(connection, ("points", "step"), columns, spans, key_ids)


def read_rollups(
    connection: Connection, spans: Iterable[Span], key_ids: Iterable[int], columns: Sequence[str]
) -> Iterable[Any]:
    """Return (place, key_id, ...) of the rollups in spans of buckets."""
    return _read(connection, ("rollups", "bucket"), columns, spans, key_ids)


def read_sums(
    connection: Connection, spans: Iterable[Span], key_ids: Iterable[int]
) -> Iterable[Any]:
    """Return sums over the rollups in spans of buckets, at least one for each (place, key).

    They are place, key_id, number of buckets, n, n_nan, n_pos_inf, n_neg_inf, sum, sum of the
    sums' absolute values. The last two are None where no value is finite. Where a bucket's sum is
    too large for a double, or nearly, the last is infinite and the one before means nothing.
    """
    columns = _SUMS[connection.dialect.name]
    rows = _read(connection, ("rollups", "bucket"), columns, spans, key_ids, is_grouped=True)
    return [row for row in rows if row[2]]


_STRETCH = (
    *("count(*)", "count(CASE WHEN abs(value) < {huge} THEN 1 END)"),
    *("sum(CASE WHEN abs(value) < {huge} THEN value END)", "min(value)", "max(value)"),
    "max(points.step)",
)
"""What is not finite has no value, so only points are counted by all rows."""


def read_stretches(
    connection: Connection, spans: Iterable[Span], key_ids: Iterable[int], width: int
) -> Iterable[Any]:
    """Return sums over the points in spans of steps, by stretches of so many steps.

    They are place, key_id, number of the stretch, points, values that are summed, their sum, the
    smallest and the largest value, and the last step. Without a finite value these three are None.
    """
    number = f"points.step / {width}"
    columns = (number, *(column.format(huge=HUGE) for column in _STRETCH))
    return _read(connection, ("points", "step"), columns, spans, key_ids, by=number)


def _read(
    connection: Connection,
    table: tuple[str, str],
    columns: Sequence[str],
    spans: Iterable[Span],
    key_ids: Iterable[int],
    *,
    is_grouped: bool = False,
    by: str = "",
) -> list[Any]:
    parts = {
        "keys": ", ".join(map(str, key_ids)),
        "columns": ", ".join(columns),
        "table": table[0],
        "step": table[1],
    }
    if not parts["keys"]:
        return []
    cursor: Any = connection.connection.cursor()
    rows: list[Any] = []
    if connection.dialect.name == "sqlite":
        group = f"GROUP BY {', '.join(filter(None, ('series.key_id', by)))}"
        group = group if is_grouped or by else ""
        statement = _OF_SPAN.format(group=group, **parts)
        for span in spans:
            rows += cursor.execute(statement, span._asdict()).fetchall()
    else:
        for part in chunks(spans):
            # Numbers of ours: there are too many for parameters.
            values = ", ".join("({}, {}, {}, {})".format(*span) for span in part)
            group = f"GROUP BY {by}" if by else ""
            cursor.execute(_OF_SPANS.format(spans=values, group=group, **parts))
            rows += cursor.fetchall()
    cursor.close()
    return rows
