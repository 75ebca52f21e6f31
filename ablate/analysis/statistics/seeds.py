"""How many seeds would decide a difference, if it and its noise are as they look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from ablate.analysis.statistics.lending import CONFIDENCE, Difference, fade
from ablate.analysis.statistics.student_t import t_quantile

POWER = 0.8
UNLIKELY, LIKELY = 0.5, 0.9
MOST_SEEDS = 1000
"""A difference that would need more seeds than this is not worth deciding."""
FEWEST_SEEDS = 3
NOTHING_SEEN = 0.3
"""Where p is above this, the size that is seen says nothing of the size that there is."""


@dataclass(frozen=True, slots=True)
class SeedsNeeded:
    """Seeds of each side."""

    low: int
    """With these it would be decided one time in two."""
    usual: int
    """With these, in 80 %."""
    high: int
    """With these, in 90 %."""


def seeds_needed(difference: Difference, family: int) -> SeedsNeeded | None:
    """Return how many seeds would decide a difference.

    The difference and its noise are taken as the truth, so with two or three seeds the answer is
    rough. None where nothing is seen, or no thousand seeds would do.

    Args:
        difference: As it is now.
        family: How many contrasts are decided together.

    Source: power of the t-test by the noncentral t distribution, whose tail is taken by the
    normal approximation 26.7.10 of Abramowitz and Stegun 1964; Cohen 1988, chapter 2; where to
    begin to look from Guenther 1981, The American Statistician 35.
    """
    p, size = difference.p, difference.difference
    noise = math.hypot(*difference.sds)
    if p is None or not size or p > NOTHING_SEEN or math.isinf(noise):
        return None
    if noise == 0:
        return SeedsNeeded(FEWEST_SEEDS, FEWEST_SEEDS, FEWEST_SEEDS)
    alpha = (1 - CONFIDENCE) / max(1, family)
    found = [_fewest(difference, alpha, power) for power in (UNLIKELY, POWER, LIKELY)]
    low, usual, high = found
    return None if low is None or usual is None or high is None else SeedsNeeded(low, usual, high)


def _fewest(difference: Difference, alpha: float, power: float) -> int | None:
    # With the normal distribution in place of Student's t it would be so many; what Student's t
    # adds is nearly a quarter of the square of the critical value (Guenther 1981).
    normal = NormalDist()
    critical = normal.inv_cdf(1 - alpha / 2)
    size = abs(difference.difference or 1.0) / math.hypot(*difference.sds)
    count = ((critical + normal.inv_cdf(power)) / size) ** 2
    if count > MOST_SEEDS:
        return None
    n = max(FEWEST_SEEDS, math.ceil(count + critical * critical / 4))
    while n > FEWEST_SEEDS and _power(difference, n - 1, alpha) >= power:
        n -= 1
    while n <= MOST_SEEDS and _power(difference, n, alpha) < power:
        n += 1
    return n if n <= MOST_SEEDS else None


def _power(difference: Difference, n: int, alpha: float) -> float:
    """Return the chance that n seeds of each side decide it."""
    df = _df(difference, n)
    noise = math.hypot(*difference.sds)
    shift = abs(difference.difference or 0.0) * math.sqrt(n) / noise
    critical = t_quantile(1 - alpha / 2, df)
    spread = math.sqrt(1 + critical * critical / (2 * df))
    return NormalDist().cdf((shift - critical * (1 - 1 / (4 * df))) / spread)


def _df(difference: Difference, n: int) -> float:
    """Return Satterthwaite's degrees of freedom with n seeds of each side."""
    own = n - 1 + difference.loan * fade(n)
    noise = math.hypot(*difference.sds)
    return own / math.fsum((sd / noise) ** 4 for sd in difference.sds if sd)
