"""What a store returns of metrics: whole curves, means over windows, outlines."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
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
