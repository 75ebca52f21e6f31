"""How points lie in the table ``points``, whatever the database."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple, TypeAlias

from ablate.domain import Kind
from ablate.spool.batch import StepValues

FullRow: TypeAlias = tuple[int, int, float | None, int, float | None]
"""series_id, step, value, kind, time: see `ablate.store.schema.models.PointRow`."""

FINITE, NEGATIVE_ZERO = 0, 4
_CODES = {
    Kind.FINITE: FINITE,
    Kind.NAN: 1,
    Kind.POSITIVE_INFINITY: 2,
    Kind.NEGATIVE_INFINITY: 3,
}
_SPECIAL = {1: math.nan, 2: math.inf, 3: -math.inf, NEGATIVE_ZERO: -0.0}


class SeriesColumn(NamedTuple):
    """Points of one series, by ascending step."""

    series_id: int
    steps: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class NewRows:
    """Points that are surely not stored yet, none twice; by series, which writes fastest."""

    plain: Sequence[SeriesColumn]
    """Those with ordinary values, each logged when its step was."""
    full: Iterable[FullRow]
    """The others."""
    columns: Sequence[SeriesColumn]
    """All of them once more."""


def encode(value: float) -> tuple[float | None, int]:
    """Return the columns ``value`` and ``kind``."""
    if _is_negative_zero(value):
        return 0.0, NEGATIVE_ZERO
    kind = Kind.of(value)
    return (value if kind is Kind.FINITE else None), _CODES[kind]


def decode(value: float | None, kind: int) -> float:
    """Return the float that was logged."""
    if kind != FINITE:
        return _SPECIAL[kind]
    assert value is not None
    return value


def _is_negative_zero(value: float) -> bool:
    return value == 0.0 and math.copysign(1.0, value) < 0.0


def new_rows(
    logs: Iterable[StepValues],
    series: Mapping[str, int],
    step_time: Callable[[StepValues], float | None],
) -> NewRows:
    """Return the rows of logs in which no (key, step) is twice and none is stored yet.

    Args:
        logs: Of one attempt.
        series: The series of every key in them.
        step_time: Returns what the column ``time`` says: None when it is that of the step.
    """
    plain: list[SeriesColumn] = []
    columns: list[SeriesColumn] = []
    full: list[Iterable[FullRow]] = []
    layouts: dict[tuple[str, ...], list[StepValues]] = defaultdict(list)
    for log in logs:
        layouts[log.keys].append(log)
    for keys, part in layouts.items():
        steps = [log.step for log in part]
        times = [step_time(log) for log in part]
        is_timely = all(time is None for time in times)
        for key, values in zip(keys, zip(*(log.values for log in part), strict=True), strict=True):
            columns.append(SeriesColumn(series[key], steps, values))
            if is_timely and _are_ordinary(values):
                plain.append(columns[-1])
            else:
                full.append(_full_rows(series[key], steps, values, times))
    return NewRows(plain, chain.from_iterable(full), columns)


def _are_ordinary(values: Sequence[float]) -> bool:
    is_finite = all(map(math.isfinite, values))
    return is_finite and not (0.0 in values and any(map(_is_negative_zero, values)))


def _full_rows(
    series_id: int, steps: list[int], values: Sequence[float], times: list[float | None]
) -> Iterator[FullRow]:
    for step, value, time in zip(steps, values, times, strict=True):
        yield (series_id, step, *encode(value), time)


def rows_in_order(logs: Iterable[StepValues], series: Mapping[str, int]) -> Iterator[FullRow]:
    """Return the rows of any logs in the order in which they were logged, each with its time."""
    for log in logs:
        for key, value in zip(log.keys, log.values, strict=True):
            yield (series[key], log.step, *encode(value), log.time)


def has_repeats(logs: Sequence[StepValues]) -> bool:
    """Whether a (key, step) may be in the logs twice; False is certain."""
    if all(earlier.step < later.step for earlier, later in pairwise(logs)):
        return False
    newest: dict[tuple[str, ...], int] = {}
    for log in logs:
        if log.step <= newest.get(log.keys, -1):
            return True
        newest[log.keys] = log.step
    return sum(map(len, newest)) > len({key for keys in newest for key in keys})
