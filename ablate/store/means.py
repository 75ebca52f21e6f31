"""Means over windows of steps, as exact as from the points and without reading most of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from ablate.store.base import WindowMean
from ablate.store.metrics import counting_steps
from ablate.store.queries import MAX_STEP
from ablate.store.rollups import WIDTH
from ablate.store.rows import decode
from ablate.store.spans import Span, cover, key_names, read_points, read_sums

_PRECISION = 1e-12
"""Relative to the mean: what sums of rollups may be wrong by. Where terms cancel to less than that,
and where a sum is too large for a double, the points are read."""


@dataclass(slots=True)
class _Sum:
    n: int = 0
    n_nan: int = 0
    n_pos_inf: int = 0
    n_neg_inf: int = 0
    addends: list[float] = field(default_factory=list[float])
    """Their sum is that of the finite values."""
    error: float = 0.0
    """By how much that may differ."""

    @property
    def n_odd(self) -> int:
        return self.n_nan + self.n_pos_inf + self.n_neg_inf

    def add(self, value: float) -> None:
        if math.isfinite(value):
            self.n += 1
            self.addends.append(value)
        elif math.isnan(value):
            self.n_nan += 1
        elif value > 0:
            self.n_pos_inf += 1
        else:
            self.n_neg_inf += 1

    def add_buckets(self, row: Sequence[Any]) -> None:
        n_buckets, n, n_left_out, n_nan, n_pos_inf, n_neg_inf, total, size = row
        self.n += int(n)
        self.n_nan += int(n_nan)
        self.n_pos_inf += int(n_pos_inf)
        self.n_neg_inf += int(n_neg_inf)
        if n and n_left_out:
            self.error = math.inf
        elif n:
            self.addends.append(total)
            # Each bucket's sum was rounded once, and what was added up is once more with each.
            self.error += n_buckets * _EPSILON * size

    def is_good(self) -> bool:
        if self.n_odd or not self.error:
            return True
        try:
            return self.error <= _PRECISION * abs(math.fsum(self.addends))
        except OverflowError:
            return not math.isinf(self.error)

    def mean(self) -> float:
        if self.n_odd:
            if self.n_odd == self.n_pos_inf:
                return math.inf
            return -math.inf if self.n_odd == self.n_neg_inf else math.nan
        try:
            return math.fsum(self.addends) / self.n
        except OverflowError:
            largest = max(map(abs, self.addends))
            return math.fsum(a / largest for a in self.addends) / self.n * largest


_EPSILON = 2.0**-53
_Sums = dict[tuple[int, int], _Sum]
"""(place, key id) -> sum"""


def means(
    connection: Connection,
    run_ids: Sequence[str],
    keys: Sequence[str],
    windows: Sequence[tuple[int, int]],
) -> tuple[WindowMean, ...]:
    """Return the means of the runs, ordered by run, then by key, then by window."""
    names = key_names(connection, keys)
    places, whole, rest = _spans(connection, run_ids, windows)
    sums: _Sums = defaultdict(_Sum)
    for place, key_id, *row in read_sums(connection, whole, names):
        sums[place, key_id].add_buckets(row)
    _add_points(connection, sums, rest, names)
    sums |= _exact(
        connection, {at for at, found in sums.items() if not found.is_good()}, whole, rest
    )
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


def _add_points(
    connection: Connection, sums: _Sums, spans: Iterable[Span], key_ids: Iterable[int]
) -> None:
    for place, key_id, _, value, kind in read_points(connection, spans, key_ids):
        sums[place, key_id].add(decode(value, kind))


def _exact(
    connection: Connection, wanted: set[tuple[int, int]], whole: list[Span], rest: list[Span]
) -> _Sums:
    """Return these sums from points alone."""
    found: _Sums = {}
    steps = [
        Span(place, attempt_id, max(0, (low - 1) * WIDTH + 1), min(high * WIDTH, MAX_STEP))
        for place, attempt_id, low, high in whole
    ]
    for key_id in {key_id for _, key_id in wanted}:
        places = {place for place, of_key in wanted if of_key == key_id}
        sums: _Sums = defaultdict(_Sum)
        spans = [span for span in (*steps, *rest) if span.place in places]
        _add_points(connection, sums, spans, [key_id])
        found |= sums
    return found


def _window_mean(run_id: str, key: str, window: tuple[int, int], found: _Sum) -> WindowMean:
    return WindowMean(
        run_id=run_id,
        key=key,
        first_step=window[0],
        last_step=window[1],
        mean=found.mean(),
        n=found.n + found.n_odd,
        not_finite=found.n_odd,
    )
