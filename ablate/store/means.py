"""Means over windows of steps, as exact as from the points and without reading most of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ablate.store.base import WindowMean
from ablate.store.metrics import counting_steps
from ablate.store.queries import MAX_STEP
from ablate.store.rollups import WIDTH, stored_columns
from ablate.store.rows import decode
from ablate.store.spans import Span, cover, key_names, read_points, read_rollups

_COLUMNS = ("n", "n_nan", "n_pos_inf", "n_neg_inf", "sum", "sum_rest", "series_id", "bucket")
_ODD = (math.nan, math.inf, -math.inf)


@dataclass(slots=True)
class _Sum:
    n: int = 0
    odd: list[float] = field(default_factory=list[float])
    """The values that are not finite."""
    addends: list[float] = field(default_factory=list[float])
    """Of which the finite values' sum is the sum."""

    def add(self, value: float) -> None:
        self.n += 1
        if math.isfinite(value):
            self.addends.append(value)
        else:
            self.odd.append(value)

    def mean(self) -> float:
        if self.odd:
            return self.odd[0] if len(set(self.odd)) == 1 else math.nan
        try:
            return math.fsum(self.addends) / self.n
        except OverflowError:
            largest = max(map(abs, self.addends))
            return math.fsum(a / largest for a in self.addends) / self.n * largest


def means(
    connection: Connection,
    run_ids: Sequence[str],
    keys: Sequence[str],
    windows: Sequence[tuple[int, int]],
) -> tuple[WindowMean, ...]:
    """Return the means of the runs, ordered by run, then by key, then by window."""
    names = key_names(connection, keys)
    places, whole, rest = _spans(connection, run_ids, windows)
    sums: dict[tuple[int, int], _Sum] = defaultdict(_Sum)
    _add_buckets(connection, sums, whole, names)
    for place, key_id, _, value, kind in read_points(connection, rest, names):
        sums[place, key_id].add(decode(value, kind))
    key_ids = {name: id_ for id_, name in names.items()}
    return tuple(
        _window_mean(run_id, key, window, found)
        for run_id in run_ids
        for key in keys
        if key in key_ids
        for window in windows
        if (found := sums.get((places.get((run_id, window), -1), key_ids[key])))
    )


def _spans(
    connection: Connection, run_ids: Sequence[str], windows: Sequence[tuple[int, int]]
) -> tuple[dict[tuple[str, tuple[int, int]], int], list[Span], list[Span]]:
    """Return the place of each (run, window), spans of whole buckets, spans of other steps."""
    places: dict[tuple[str, tuple[int, int]], int] = {}
    whole: list[Span] = []
    rest: list[Span] = []
    counting = counting_steps(connection, run_ids, 0, None)
    for window in dict.fromkeys(windows):
        for run_id, parts in counting.items():
            place = places.setdefault((run_id, window), len(places))
            for part in parts:
                first, last = max(part.first_step, window[0]), min(part.last_step, window[1])
                if first <= last:
                    found = cover(first, last, part.written)
                    if found.buckets:
                        whole.append(Span(place, part.attempt_id, *found.buckets))
                    rest += (Span(place, part.attempt_id, *steps) for steps in found.rest)
    return places, whole, rest


def _add_buckets(
    connection: Connection,
    sums: dict[tuple[int, int], _Sum],
    whole: Iterable[Span],
    key_ids: Iterable[int],
) -> None:
    for row in read_rollups(connection, whole, key_ids, _COLUMNS):
        place, key_id, n, *n_odd, total, rest, series_id, bucket = row
        found = sums[place, key_id]
        if total is not None:
            found.n += n
            found.addends += (total, rest)
        elif n:  # too large for a double
            _add_points(connection, found, series_id, bucket)
            continue
        if any(n_odd):
            found.n += sum(n_odd)
            for value, count in zip(_ODD, n_odd, strict=True):
                found.odd += [value] * count


def _add_points(connection: Connection, found: _Sum, series_id: int, bucket: int) -> None:
    first, last = (bucket - 1) * WIDTH + 1, min(bucket * WIDTH, MAX_STEP)
    for column in stored_columns(connection, [series_id], first, last):
        for value in column.values:
            found.add(value)


def _window_mean(run_id: str, key: str, window: tuple[int, int], found: _Sum) -> WindowMean:
    return WindowMean(
        run_id=run_id,
        key=key,
        first_step=window[0],
        last_step=window[1],
        mean=found.mean(),
        n=found.n,
        not_finite=len(found.odd),
    )
