"""Means over windows of steps, as exact as from the points and without reading most of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from sqlalchemy import Connection

from ablate.store.curves import WindowMean
from ablate.store.reading.metrics import CountingSteps, counting_steps
from ablate.store.reading.spans import Span, cover_sum, key_names, read_points, read_sums
from ablate.store.schema.rows import decode

_PRECISION = 1e-12
"""Relative to the mean: what sums of rollups may be wrong by. Where terms cancel to less than that,
and where a sum is too large for a double, the points are read."""


class _Sum:
    """What is known of the values in a window."""

    __slots__ = ("addends", "error", "n", "n_nan", "n_neg_inf", "n_pos_inf")

    def __init__(self) -> None:
        self.n = self.n_nan = self.n_pos_inf = self.n_neg_inf = 0
        self.addends: list[float] = []
        """Their sum is that of the finite values."""
        self.error = 0.0
        """By how much that may differ."""

    def add_odd(self, value: float, sign: int) -> None:
        """Add a value that is not finite, or take one away."""
        if math.isnan(value):
            self.n_nan += sign
        elif value > 0:
            self.n_pos_inf += sign
        else:
            self.n_neg_inf += sign

    def add_buckets(self, row: Sequence[Any]) -> None:
        """Add what `read_sums` yields."""
        _, _, n_buckets, n, n_nan, n_pos_inf, n_neg_inf, total, size = row
        self.n += int(n)
        if n_nan or n_pos_inf or n_neg_inf:
            self.n_nan += int(n_nan)
            self.n_pos_inf += int(n_pos_inf)
            self.n_neg_inf += int(n_neg_inf)
        if n:
            known = size < _LARGEST
            # The parts are kept and added once, by fsum: then their order cannot change a bit.
            self.addends.append(total if known else 0.0)
            # Each bucket's sum was rounded once, and what was added up is once more with each.
            self.error += n_buckets * _EPSILON * size if known else math.inf

    def mean(self) -> tuple[float, int, int]:
        """Return the mean, how many values it is of, how many of them are not finite.

        Raises:
            _Inexact: If only the points can tell.
        """
        n_odd = self.n_nan + self.n_pos_inf + self.n_neg_inf
        if n_odd:
            return self._odd_mean(n_odd), self.n + n_odd, n_odd
        try:
            total = math.fsum(self.addends)
        except OverflowError:
            if math.isinf(self.error):
                raise _Inexact from None
            # Only the sum is too large for a double; its mean need not be.
            largest = max(map(abs, self.addends))
            return math.fsum(a / largest for a in self.addends) / self.n * largest, self.n, 0
        # Where terms cancel, little is left of what each bucket's sum was exact to.
        if self.error > _PRECISION * abs(total):
            raise _Inexact
        return total / (self.n or 1), self.n, 0

    def _odd_mean(self, n_odd: int) -> float:
        # As adding them up would give: infinities of both signs, or any NaN, are NaN.
        if n_odd == self.n_pos_inf:
            return math.inf
        return -math.inf if n_odd == self.n_neg_inf else math.nan


class _Inexact(Exception):  # noqa: N818 - a way out, not a mistake
    """Terms cancel, or a sum is too large for a double."""


_EPSILON = 2.0**-53
_LARGEST = 1e300
"""Sums of rollups beyond come near what a double holds."""
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
    spans = _Spans(counting_steps(connection, run_ids, 0, None), windows)
    sums: _Sums = defaultdict(_Sum)
    for row in read_sums(connection, spans.whole, names):
        sums[row[0], row[1]].add_buckets(row)
    _add_points(connection, sums, spans.more, names)
    _add_points(connection, sums, spans.less, names, sign=-1)
    found = _found(connection, sums, spans.steps)
    key_ids = {name: id_ for id_, name in names.items()}
    known = [(key, key_ids[key]) for key in keys if key in key_ids]
    return tuple(
        WindowMean(run_id, key, *window, *mean)
        for run_id in run_ids
        if run_id in spans.places
        for key, key_id in known
        for place, window in zip(spans.places[run_id], windows, strict=True)
        if (mean := found.get((place, key_id))) and mean[1]
    )


def _found(
    connection: Connection, sums: _Sums, steps: Sequence[Span]
) -> dict[tuple[int, int], tuple[float, int, int]]:
    """Return mean, n and how many are not finite by (place, key id)."""
    found: dict[tuple[int, int], tuple[float, int, int]] = {}
    inexact: set[tuple[int, int]] = set()
    for at, total in sums.items():
        try:
            found[at] = total.mean()
        except _Inexact:
            inexact.add(at)
    exact = _exact(connection, inexact, steps)
    return found | {at: total.mean() for at, total in exact.items()}


class _Spans:
    """Windows of runs, as what to read of their attempts."""

    def __init__(
        self,
        counting: Mapping[str, Sequence[CountingSteps]],
        windows: Sequence[tuple[int, int]],
    ) -> None:
        self.places = {
            run_id: range(at, at + len(windows))
            for at, run_id in zip(count(0, len(windows)), counting, strict=False)
        }
        """Run id -> the place of each window in the spans."""
        self.steps: list[Span] = []
        self.whole: list[Span] = []
        self.more: list[Span] = []
        self.less: list[Span] = []
        for run_id, parts in counting.items():
            for place, window in zip(self.places[run_id], windows, strict=True):
                for part in parts:
                    self._add(place, part, *window)

    def _add(self, place: int, part: CountingSteps, first: int, last: int) -> None:
        first, last = max(part.first_step, first), min(part.last_step, last)
        if first > last:
            return
        self.steps.append(Span(place, part.attempt_id, first, last))
        found = cover_sum(first, last, part.written)
        if found.buckets:
            self.whole.append(Span(place, part.attempt_id, *found.buckets))
        self.more += (Span(place, part.attempt_id, *steps) for steps in found.more)
        self.less += (Span(place, part.attempt_id, *steps) for steps in found.less)


def _add_points(
    connection: Connection,
    sums: _Sums,
    spans: Iterable[Span],
    key_ids: Iterable[int],
    *,
    sign: int = 1,
) -> None:
    """Add points; or, with -1, take those away that buckets have brought in."""
    for place, key_id, _, value, kind in read_points(connection, spans, key_ids):
        total = sums[place, key_id]
        if value is None:
            total.add_odd(decode(value, kind), sign)
        else:
            total.n += sign
            total.addends.append(sign * value)


def _exact(connection: Connection, wanted: set[tuple[int, int]], steps: Sequence[Span]) -> _Sums:
    """Return these sums from points alone."""
    found: _Sums = {}
    # Key by key: the windows that need it differ, and reading all for all would cost far more.
    for key_id in {key_id for _, key_id in wanted}:
        places = {place for place, of_key in wanted if of_key == key_id}
        sums: _Sums = defaultdict(_Sum)
        _add_points(connection, sums, [span for span in steps if span.place in places], [key_id])
        found |= sums
    return found
