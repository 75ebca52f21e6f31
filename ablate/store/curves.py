"""What a store returns of metrics: curves whole or in stretches, means over windows, outlines."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

MIN_OUTLINE = 16
"""The fewest points that an outline can be asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One metric of one run over its steps, without what was replaced by a resume."""

    run_id: str
    key: str
    steps: tuple[int, ...]
    """Ascending, no step twice."""
    values: tuple[float, ...]
    """As logged: NaN and infinities included."""
    times: tuple[float, ...] = ()
    """Unix seconds; empty when they were not asked for."""

    def between(self, first_step: int, last_step: int) -> Curve:
        """Return the part in a range of steps, both ends within; it may have no point."""
        part = slice(bisect_left(self.steps, first_step), bisect_right(self.steps, last_step))
        return replace(
            self, steps=self.steps[part], values=self.values[part], times=self.times[part]
        )

    def stretched(self, width: int) -> Stretches:
        """Return it summed up over stretches of so many steps; it has at least one point."""
        points = zip(self.steps, self.values, strict=True)
        groups = {
            start: [value for _, value in group]
            for start, group in groupby(points, key=lambda point: point[0] - point[0] % width)
        }
        finite = [[v for v in values if math.isfinite(v)] for values in groups.values()]
        usual = [[v for v in values if abs(v) < HUGE] for values in finite]
        return Stretches(
            run_id=self.run_id,
            key=self.key,
            width=width,
            starts=tuple(groups),
            counts=tuple(map(len, groups.values())),
            means=tuple(math.fsum(v) / len(v) if v else None for v in usual),
            lows=tuple(min(values, default=None) for values in finite),
            highs=tuple(max(values, default=None) for values in finite),
            last_step=self.steps[-1],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretches:
    """One metric of one run, summed up over equal stretches of its steps."""

    run_id: str
    key: str
    width: int
    """Steps of a stretch: it holds those from a multiple of the width on."""
    starts: tuple[int, ...]
    """The first step of each stretch that has a point, ascending."""
    counts: tuple[int, ...]
    """How many points each has."""
    means: tuple[float | None, ...]
    """Over the finite values below `HUGE`; None where there is none."""
    lows: tuple[float | None, ...]
    """The smallest finite value."""
    highs: tuple[float | None, ...]
    """The largest finite value."""
    last_step: int
    """With a point."""


HUGE = 1e290
"""Values so large are in no mean: a sum of them may be beyond the doubles."""


class WindowMean(NamedTuple):
    """The mean of one metric of one run over a range of steps."""

    run_id: str
    key: str
    first_step: int
    last_step: int
    """As asked for; both ends are within."""
    mean: float
    """NaN or infinite as soon as one value is."""
    n: int
    """How many points, at least 1."""
    not_finite: int
    """How many of them are NaN or infinite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """One metric of one run as few of its points, among them all peaks."""

    run_id: str
    key: str
    steps: tuple[int, ...]
    """Ascending, no step twice."""
    values: tuple[float, ...]
    """As logged, but that -0.0 may have become 0.0."""
    width: int
    """1 when every point is there. Else of each range of so many steps the first, the smallest, the
    largest and the last finite value are there, and the first of each kind that is not finite."""
