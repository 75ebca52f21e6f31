"""How series are summarised by step buckets, and how the summaries follow from the points.

Bucket k of width w holds the steps after (k - 1) w up to k w, as the windows of rules do; so the
untrained model, step 0, lies alone in bucket 0. Summaries know nothing of resumes: they are of an
attempt's series, and whoever reads takes whole buckets of what counts, and points at its ends.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import TypeAlias

from sqlalchemy import Connection, select

from ablate.spool.batch import StepValues
from ablate.store.schema.models import PointRow
from ablate.store.schema.rows import SeriesColumn, decode
from ablate.store.schema.statements import MAX_STEP, chunks

WIDTH = 50
"""Steps of a bucket."""

RollupTuple: TypeAlias = tuple[int | float | None, ...]
"""The columns of `ablate.store.schema.models.RollupRow` in their order."""

_NO_NUMBERS = (None,) * 4, (None,) * 5


@dataclass(frozen=True, slots=True)
class Summaries:
    """Rows to write."""

    rollups: list[RollupTuple] = field(default_factory=list[RollupTuple])
    replaced: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(series_id, bucket) of which an older row may be there."""


def bucket_of(step: int) -> int:
    """Return the bucket that holds a step."""
    # Rounded up: floor division of the negative number is the ceiling of the positive one.
    return -(-step // WIDTH)


@dataclass(frozen=True, slots=True)
class Tail:
    """The stored points of an attempt's last bucket, to which the next batch may add."""

    bucket: int = -1
    columns: Mapping[int, SeriesColumn] = field(default_factory=dict[int, SeriesColumn])
    """By series."""


def joined(new: Iterable[SeriesColumn], tail: Tail | None) -> Sequence[SeriesColumn]:
    """Return the columns of new points, each series as one, behind what the tail holds of it."""
    grouped: dict[int, list[SeriesColumn]] = defaultdict(list)
    for column in new:
        grouped[column.series_id].append(column)
    before = tail.columns if tail else {}
    return [
        _as_one([before[series_id], *parts] if series_id in before else parts)
        for series_id, parts in grouped.items()
    ]


def tail_of(columns: Sequence[SeriesColumn], before: Tail | None, last_step: int) -> Tail | None:
    """Return the last bucket once columns were written; None where not all of it is known.

    Args:
        columns: What `joined` returned.
        before: The tail that it was given.
        last_step: The largest step that was stored before, -1 for none.
    """
    bucket = max((bucket_of(column.steps[-1]) for column in columns), default=-1)
    found: dict[int, SeriesColumn] = {}
    if before is None:
        # Its first points were stored by another process, so nobody here knows all of the bucket.
        if bucket <= bucket_of(last_step):
            return None
    elif before.bucket >= bucket:
        bucket, found = before.bucket, dict(before.columns)
    for series_id, steps, values in columns:
        start = bisect_right(steps, (bucket - 1) * WIDTH)
        if start < len(steps):
            found[series_id] = SeriesColumn(series_id, steps[start:], values[start:])
    return Tail(bucket, found)


def stale_buckets(
    new: Iterable[SeriesColumn],
    others: Iterable[StepValues],
    series: Mapping[str, int],
    last_step: int,
) -> dict[int, set[int]]:
    """Return by bucket the series whose stored points it may share with what was written.

    Args:
        new: Of steps after ``last_step``.
        others: Logs of steps that may have been stored before.
        series: By key.
        last_step: The largest step that was stored before and is not known, -1 for none.
    """
    stale: dict[int, set[int]] = defaultdict(set)
    if last_step >= 0:
        # The bucket of the last stored step is the only one that new, later steps can fall into.
        is_open = bucket_of(last_step)
        stale[is_open].update(c.series_id for c in new if c.steps[0] <= is_open * WIDTH)
    # A step that comes again may replace a value, so its bucket is summed anew.
    for log in others:
        stale[bucket_of(log.step)].update(map(series.__getitem__, log.keys))
    return {bucket: ids for bucket, ids in stale.items() if ids}


def summarise(
    connection: Connection,
    columns: Iterable[SeriesColumn],
    stale: Mapping[int, set[int]],
    tail: Tail | None,
) -> Summaries:
    """Return the summaries of what was written: from memory, of stale buckets from the points.

    Args:
        connection: In the transaction that wrote them.
        columns: All points of their buckets, but for those that are stale.
        stale: By bucket the series whose other points have to be read.
        tail: What was known before, and is summarised in the database.
    """
    found = Summaries()
    for column in columns:
        for bucket, steps, values in _buckets(column):
            if column.series_id not in stale.get(bucket, ()):
                found.rollups.append(rollup(column.series_id, bucket, steps, values))
                # Only the bucket that was open can have a row already; the others are new.
                if tail and bucket == tail.bucket:
                    found.replaced.append((column.series_id, bucket))
    for column in _stored(connection, stale):
        for bucket, steps, values in _buckets(column):
            found.rollups.append(rollup(column.series_id, bucket, steps, values))
            found.replaced.append((column.series_id, bucket))
    return found


def exact_sum(values: Sequence[float]) -> float | None:
    """Return the sum, rounded once; None if it is no finite number."""
    try:
        # Not sum(), whose result depends on the order: means are put together from such sums, and
        # must be the same however the points came.
        total = math.fsum(values)
    except (OverflowError, ValueError):  # too large; or of +inf and -inf
        return None
    return total if math.isfinite(total) else None


def _as_one(parts: Sequence[SeriesColumn]) -> SeriesColumn:
    """Return the columns of one series as one: a key that was logged in two layouts has two."""
    if len(parts) == 1:
        return parts[0]
    if all(before.steps[-1] < after.steps[0] for before, after in pairwise(parts)):
        steps = [step for part in parts for step in part.steps]
        return SeriesColumn(
            parts[0].series_id, steps, [value for part in parts for value in part.values]
        )
    pairs = sorted(
        (pair for part in parts for pair in zip(part.steps, part.values, strict=True)),
        key=lambda pair: pair[0],
    )
    return SeriesColumn(
        parts[0].series_id, [step for step, _ in pairs], [value for _, value in pairs]
    )


def _buckets(column: SeriesColumn) -> Iterator[tuple[int, Sequence[int], Sequence[float]]]:
    """Yield each bucket with its steps and values."""
    steps, values = column.steps, column.values
    start = 0
    while start < len(steps):
        bucket = -(-steps[start] // WIDTH)
        stop = bisect_right(steps, bucket * WIDTH, start)
        yield bucket, steps[start:stop], values[start:stop]
        start = stop


def rollup(
    series_id: int, bucket: int, steps: Sequence[int], values: Sequence[float]
) -> RollupTuple:
    """Return the row of one bucket.

    Args:
        series_id: Whose points they are.
        bucket: In which all steps lie.
        steps: Ascending, at least one.
        values: One for each step.
    """
    total = exact_sum(values)
    if total is None:
        return _odd_rollup(series_id, bucket, steps, values)
    places, numbers = _outline(bucket, steps, values)
    return (series_id, len(values), 0, 0, 0, *places, bucket, total, *numbers)


def _odd_rollup(
    series_id: int, bucket: int, steps: Sequence[int], values: Sequence[float]
) -> RollupTuple:
    """Return the row where a value or the sum is not finite; such a sum is left out."""
    pairs = [(s, v) for s, v in zip(steps, values, strict=True) if math.isfinite(v)]
    finite = [value for _, value in pairs]
    nan, positive = sum(map(math.isnan, values)), values.count(math.inf)
    counts = len(finite), nan, positive, values.count(-math.inf)
    if not finite:
        places, numbers = _NO_NUMBERS
        return (series_id, *counts, *places, bucket, *numbers)
    places, numbers = _outline(bucket, [step for step, _ in pairs], finite)
    return (series_id, *counts, *places, bucket, exact_sum(finite), *numbers)


def _outline(
    bucket: int, steps: Sequence[int], values: Sequence[float]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the first, the smallest, the largest and the last value, and where they lie."""
    before = (bucket - 1) * WIDTH  # places in the bucket take a byte or two
    low, high = min(values), max(values)
    low_step, high_step = steps[values.index(low)], steps[values.index(high)]
    places = steps[0] - before, low_step - before, high_step - before, steps[-1] - before
    return places, (values[0], low, high, values[-1])


def _stored(connection: Connection, stale: Mapping[int, set[int]]) -> Iterator[SeriesColumn]:
    """Yield the stored points of the stale buckets, neighbours with the same series together."""
    buckets = sorted(stale)
    # Consecutive numbers less their positions are equal: so runs of neighbours are found.
    neighbours = groupby(enumerate(buckets), key=lambda at: (at[1] - at[0], stale[at[1]]))
    for (_, ids), group in neighbours:
        found = [bucket for _, bucket in group]
        first, last = (found[0] - 1) * WIDTH + 1, min(found[-1] * WIDTH, MAX_STEP)
        for part in chunks(sorted(ids)):
            yield from stored_columns(connection, part, first, last)


def stored_columns(
    connection: Connection, series_ids: Sequence[int], first_step: int, last_step: int
) -> Iterator[SeriesColumn]:
    """Yield the stored points of each series in a range of steps, where it has any."""
    query = (
        select(PointRow.series_id, PointRow.step, PointRow.value, PointRow.kind)
        .where(PointRow.series_id.in_(series_ids))
        .where(PointRow.step.between(first_step, last_step))
        .order_by(PointRow.series_id, PointRow.step)
    )
    for series_id, rows in groupby(connection.execute(query), key=lambda row: row[0]):
        _, steps, values, kinds = zip(*rows, strict=True)
        yield SeriesColumn(series_id, steps, tuple(map(decode, values, kinds)))
