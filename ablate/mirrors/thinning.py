"""Which points of a long run a mirror gets: the same ones piece by piece as all at once.

Steps are cut into ranges of equal width that end at its multiples, step 0 alone; of each range the
last point of a key is kept. So a range is decided once it is complete, whatever follows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ablate.domain import Run
from ablate.keys import steps_of
from ablate.store.curves import Curve


class Kept(NamedTuple):
    """A point on its way to a mirror."""

    key: str
    step: int
    value: float
    time: float
    """Unix seconds."""


def stride_of(run: Run, last_step: int, max_points: int) -> int:
    """Return how many steps share a point: as few as keep every key within ``max_points``.

    Args:
        run: Its config's ``steps``, where there is such a number, is how far it will train.
        last_step: How far it is copied. Beyond what was planned the result doubles, so that it
            changes rarely.
        max_points: At least 3.
    """
    planned = max(1, steps_of(run.config) or 1)
    stride = math.ceil(planned / (max_points - 1))
    while math.ceil(last_step / stride) >= max_points:
        stride *= 2
    return stride


def lasts(curves: Sequence[Curve], stride: int) -> Iterator[Kept]:
    """Yield the last point of each range of steps; infinities, which MLflow cannot hold, are none.

    Args:
        curves: Whole ranges.
        stride: The width of a range.
    """
    for curve in curves:
        yield from {_range(point.step, stride): point for point in _points(curve)}.values()


def others(curves: Sequence[Curve], stride: int) -> list[Kept]:
    """Return the points that `lasts` leaves out."""
    kept = {(point.key, point.step) for point in lasts(curves, stride)}
    return [p for curve in curves for p in _points(curve) if (p.key, p.step) not in kept]


def _points(curve: Curve) -> Iterator[Kept]:
    for step, value, time in zip(curve.steps, curve.values, curve.times, strict=True):
        if not math.isinf(value):
            yield Kept(curve.key, step, value, time)


def _range(step: int, stride: int) -> int:
    return -(-step // stride)
