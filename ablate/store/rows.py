"""How points lie in the table ``points``, whatever the database."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, pairwise, repeat
from typing import TypeAlias

from ablate.domain import Kind
from ablate.store.base import StepValues

PointRow: TypeAlias = tuple[int, int, int, float | None, int, float | None]
"""attempt_id, key_id, step, value, kind, time: see `ablate.store.models.PointRow`."""

FINITE, NEGATIVE_ZERO = 0, 4
_CODES = {
    Kind.FINITE: FINITE,
    Kind.NAN: 1,
    Kind.POSITIVE_INFINITY: 2,
    Kind.NEGATIVE_INFINITY: 3,
}
_SPECIAL = {1: math.nan, 2: math.inf, 3: -math.inf, NEGATIVE_ZERO: -0.0}


def encode(value: float) -> tuple[float | None, int]:
    """Return the columns ``value`` and ``kind``."""
    if value == 0 and math.copysign(1.0, value) < 0:
        return 0.0, NEGATIVE_ZERO
    kind = Kind.of(value)
    return (value if kind is Kind.FINITE else None), _CODES[kind]


def decode(value: float | None, kind: int) -> float:
    """Return the float that was logged."""
    if kind != FINITE:
        return _SPECIAL[kind]
    assert value is not None
    return value


def point_rows(
    attempt_id: int,
    logs: Iterable[StepValues],
    key_ids: Mapping[str, int],
    step_time: Callable[[StepValues], float | None],
) -> Iterator[PointRow]:
    """Return the rows of an attempt's logs.

    Args:
        attempt_id: Whose they are.
        logs: In the order in which they were logged.
        key_ids: The id of every key in them.
        step_time: Returns what the column ``time`` says: None when it is that of the step.
    """
    layouts: dict[tuple[str, ...], list[int]] = {}

    def rows(log: StepValues) -> Iterable[PointRow]:
        ids = layouts.get(log.keys)
        if ids is None:
            ids = layouts[log.keys] = [key_ids[key] for key in log.keys]
        values, kinds = _columns(log.values)
        return zip(repeat(attempt_id), ids, repeat(log.step), values, kinds, repeat(step_time(log)))

    return chain.from_iterable(map(rows, logs))


def _columns(values: tuple[float, ...]) -> tuple[Iterable[float | None], Iterable[int]]:
    if all(map(math.isfinite, values)) and 0.0 not in values:
        return values, repeat(FINITE)
    encoded = [encode(value) for value in values]
    return [value for value, _ in encoded], [kind for _, kind in encoded]


def has_repeats(logs: Iterable[StepValues]) -> bool:
    """Whether a (key, step) may be in the logs twice; False is certain."""
    logs = tuple(logs)
    if all(earlier.step < later.step for earlier, later in pairwise(logs)):
        return False
    newest: dict[tuple[str, ...], int] = {}
    for log in logs:
        if log.step <= newest.get(log.keys, -1):
            return True
        newest[log.keys] = log.step
    return sum(map(len, newest)) > len({key for keys in newest for key in keys})
