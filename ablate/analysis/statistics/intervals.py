"""The mean of a few seeds, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.analysis.statistics.student_t import t_quantile
from ablate.rules import mean

CONFIDENCE = 0.95
ROUNDING = 8 * 2.0**-52
"""A spread of at most this fraction of the largest value is that of rounding."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % Student-t interval."""

    mean: float
    low: float | None
    """None with fewer than two values, or where it is too wide for a float."""
    high: float | None
    n: int


def mean_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of at least one value with its Student-t interval.

    Source: Student 1908. Normal quantiles in its place would cover 81 % instead of 95 % at n = 3.
    """
    centre = mean(values)
    n = len(values)
    if n < 2 or not math.isfinite(centre):
        return Interval(centre, None, None, n)
    half = t_quantile((1 + confidence) / 2, n - 1) * standard_deviation(values) / math.sqrt(n)
    return Interval(centre, *around(centre, half), n)


def around(centre: float, half: float) -> tuple[float, float] | tuple[None, None]:
    """Return the ends of an interval, none where a float does not hold both."""
    low, high = centre - half, centre + half
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def standard_deviation(values: Sequence[float]) -> float:
    """Return it, with the divisor n - 1, of two or more values; 0 for what is rounding."""
    centre = mean(values)
    deviations = [v - centre for v in values]
    largest = max(map(abs, deviations))
    if largest <= ROUNDING * max(map(abs, values)):
        return 0.0
    if math.isinf(largest):
        return largest
    # Scaled first: the square of a large float is too large for one.
    return largest * math.sqrt(
        math.fsum((d / largest) ** 2 for d in deviations) / (len(values) - 1)
    )
