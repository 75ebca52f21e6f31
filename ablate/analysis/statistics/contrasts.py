"""The statistics of few seeds: intervals of means, and differences.

Seeds are replicates and are mostly shared by the variants, so differences are paired by seed, which
takes out what the seeds have in common. Two answers stand side by side: Student's t, which assumes
normal differences and works from two seeds on, and the exact sign-flip test, which assumes only
that a difference of zero is as likely to be positive as negative, but cannot go below
``2 / 2**n``. Where fewer than two seeds are shared, as of runs that were imported, the means are
compared instead, by Welch's t with its own spread for each side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ablate.analysis.statistics.student_t import t_quantile, t_tail
from ablate.rules import Goal, mean

CONFIDENCE = 0.95
POWER = 0.8
MOST_SEEDS = 1000
"""A contrast that would need more seeds than this is not worth resolving."""

ContrastVerdict = Literal["worse", "better", "equal", "unresolved", "withheld"]
"""``withheld``: the survivors of a side that lost more runs than the other prove nothing for it."""
Method = Literal["paired", "welch"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % Student-t interval."""

    mean: float
    low: float | None
    """None with fewer than two values, or where it is too wide for a float."""
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """The difference of a variant to the baseline in one metric."""

    difference: float | None
    """Mean over the shared seeds of variant minus baseline, or difference of the means for
    ``welch``; None where one side has no finite value."""
    ci_low: float | None
    ci_high: float | None
    p: float | None
    """Exact two-sided sign-flip p; None for ``welch``."""
    p_smallest: float | None
    """The smallest sign-flip p that this many pairs can reach; None for ``welch``."""
    p_t: float | None
    """Two-sided t-test by `method`."""
    p_holm: float | None
    """``p_t`` after Holm's correction over the variants; decides the verdict."""
    pairs: int
    """Shared seeds with a finite value on both sides; 0 for ``welch``."""
    verdict: ContrastVerdict | None
    """None where nothing says which direction is good."""
    seeds_needed: int | None
    """Seeds that would resolve a difference of this size and spread with 80 % power, None when
    that cannot be said or is more than 1000; for ``welch`` of each side."""
    measure: Literal["value", "distance to target"] = "value"
    method: Method = "paired"
    n_variant: int = 0
    """Finite values of the variant that take part; all that it has where there is no pair."""
    n_baseline: int = 0
    """The same of the baseline."""


def mean_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of at least one value with its Student-t interval.

    Source: Student 1908. Normal quantiles in its place would cover 81 % instead of 95 % at n = 3.
    """
    centre = mean(values)
    n = len(values)
    if n < 2 or not math.isfinite(centre):
        return Interval(centre, None, None, n)
    half = t_quantile((1 + confidence) / 2, n - 1) * _sd(values) / math.sqrt(n)
    return Interval(centre, *_around(centre, half), n)


def _around(centre: float, half: float) -> tuple[float, float] | tuple[None, None]:
    """Return the ends of an interval, none where a float does not hold both."""
    low, high = centre - half, centre + half
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def contrast_of(
    variant: Mapping[int, float],
    baseline: Mapping[int, float],
    *,
    goal: Goal | None,
    family: int = 1,
) -> Contrast:
    """Return the difference, before Holm's correction: paired where two or more seeds are shared.

    Where fewer are and both sides have two values or more, the means are compared.

    Args:
        variant: Seed -> value; values that are not finite take no part.
        baseline: The same.
        goal: Which direction is good; with ``target`` the values are distances, small is good.
        family: How many variants are compared; more of them need more seeds.
    """
    paired = paired_contrast(variant, baseline, goal=goal, family=family)
    if paired.pairs > 1:
        return paired
    return welch_contrast(variant, baseline, goal=goal, family=family) or paired


def paired_contrast(
    variant: Mapping[int, float],
    baseline: Mapping[int, float],
    *,
    goal: Goal | None,
    family: int = 1,
) -> Contrast:
    """Return the difference over the seeds that both have; the arguments are `contrast_of`'s."""
    shared = sorted(set(variant) & set(baseline))
    pairs = [variant[s] - baseline[s] for s in shared]
    differences = [d for d in pairs if math.isfinite(d)]
    n = len(differences)
    interval = mean_interval(differences) if n else None
    p_t = paired_t_p(differences)
    sd = _sd(differences) if n > 1 else None
    contrast = Contrast(
        difference=interval.mean if interval else None,
        ci_low=interval.low if interval else None,
        ci_high=interval.high if interval else None,
        p=sign_flip_p(differences),
        p_smallest=2.0 ** (1 - n) if n else None,
        p_t=p_t,
        p_holm=p_t,
        pairs=n,
        verdict=None,
        seeds_needed=_needed(mean(differences), sd, family) if sd is not None else None,
        measure=_measure(goal),
        n_variant=n or len(_finite(variant)),
        n_baseline=n or len(_finite(baseline)),
    )
    return replace(contrast, verdict=_verdict(contrast, goal))


def welch_contrast(
    variant: Mapping[int, float],
    baseline: Mapping[int, float],
    *,
    goal: Goal | None,
    family: int = 1,
) -> Contrast | None:
    """Return the difference of the means, each side with a spread of its own.

    None where a side has fewer than two finite values. The arguments are `contrast_of`'s.

    Source: Welch 1947, Biometrika 34, with Satterthwaite's degrees of freedom.
    """
    own, theirs = _finite(variant), _finite(baseline)
    if len(own) < 2 or len(theirs) < 2:
        return None
    difference, spread = mean(own) - mean(theirs), _Spread.of(own, theirs)
    half, p_t = spread.half, spread.p(difference)
    ci_low, ci_high = _around(difference, half)
    contrast = Contrast(
        difference=difference if math.isfinite(difference) else None,
        ci_low=ci_low,
        ci_high=ci_high,
        p=None,
        p_smallest=None,
        p_t=p_t,
        p_holm=p_t,
        pairs=0,
        verdict=None,
        # By the degrees of freedom of a paired test: rather a seed too many.
        seeds_needed=_needed(difference, spread.sd, family) if ci_low is not None else None,
        measure=_measure(goal),
        method="welch",
        n_variant=len(own),
        n_baseline=len(theirs),
    )
    return replace(contrast, verdict=_verdict(contrast, goal))


def _finite(values: Mapping[int, float]) -> list[float]:
    return [value for value in values.values() if math.isfinite(value)]


def _measure(goal: Goal | None) -> Literal["value", "distance to target"]:
    return "distance to target" if goal == "target" else "value"


@dataclass(frozen=True, slots=True)
class _Spread:
    """How uncertain the difference of two means is."""

    sd: float
    """Of the difference of one value of each side."""
    error: float
    """Standard error of the difference of the means."""
    df: float

    @classmethod
    def of(cls, own: Sequence[float], theirs: Sequence[float]) -> _Spread:
        """Return it for sides of at least two values each."""
        sds = _sd(own), _sd(theirs)
        sizes = len(own), len(theirs)
        errors = [sd / math.sqrt(n) for sd, n in zip(sds, sizes, strict=True)]
        error = math.hypot(*errors)
        if error == 0 or math.isinf(error):
            return cls(math.hypot(*sds), error, 1.0)
        # Scaled first: the fourth power of a small error is too small for a float.
        shares = [(e / error) ** 4 / (n - 1) for e, n in zip(errors, sizes, strict=True)]
        return cls(math.hypot(*sds), error, 1.0 / math.fsum(shares))

    @property
    def half(self) -> float:
        """Half of the 95 % interval of the difference."""
        return t_quantile((1 + CONFIDENCE) / 2, self.df) * self.error

    def p(self, difference: float) -> float:
        """Return the two-sided p of no difference."""
        return _two_sided(difference, self.error, self.df)


def with_holm(contrasts: Sequence[Contrast], goal: Goal | None) -> tuple[Contrast, ...]:
    """Return the contrasts of one metric with Holm's correction over them."""
    adjusted = holm([c.p_t for c in contrasts])
    corrected = [replace(c, p_holm=p) for c, p in zip(contrasts, adjusted, strict=True)]
    return tuple(replace(c, verdict=_verdict(c, goal)) for c in corrected)


def holm(ps: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return step-down adjusted p values; those that are None stay so and do not count.

    Source: Holm 1979, Scandinavian Journal of Statistics 6.
    """
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        adjusted[i] = largest
    return tuple(adjusted)


def paired_t_p(differences: Sequence[float]) -> float | None:
    """Return the two-sided p of Student's t for a mean of zero, None with fewer than two."""
    n = len(differences)
    if n < 2:
        return None
    return _two_sided(mean(differences), _sd(differences) / math.sqrt(n), n - 1)


def _two_sided(difference: float, error: float, df: float) -> float:
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    if math.isinf(error):
        return 1.0
    return min(1.0, 2 * t_tail(abs(difference) / error, df))


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Return the exact two-sided p of the sign-flip (paired permutation) test of a mean of zero.

    All ``2**n`` assignments of signs are counted, split into two halves whose sums are matched by
    sorting, so that 40 pairs take a second. None for more than 40.

    Source: Fisher 1935, The Design of Experiments, section 21.
    """
    n = len(differences)
    if n == 0 or n > 40:
        return None
    scale = max(map(abs, differences)) or 1.0
    scaled = [d / scale for d in differences]
    sizes = [abs(d) for d in scaled]
    left, right = sorted(_signed_sums(sizes[: n // 2])), sorted(_signed_sums(sizes[n // 2 :]))
    # Sums that are equal on paper differ by rounding; they must count as equal.
    bound = abs(math.fsum(scaled)) - 1e-12 * math.fsum(sizes)
    if bound <= 0:
        return 1.0
    # Signs turned around turn the sum around: as many are above the bound as below its negative.
    return min(1.0, 2 * _pairs_reaching(left, right, bound) / 2**n)


def _pairs_reaching(left: Sequence[float], right: Sequence[float], bound: float) -> int:
    """Return how many pairs of one number each, both ascending, have a sum of at least a bound."""
    found, at = 0, len(right)
    for number in left:
        while at and right[at - 1] >= bound - number:
            at -= 1
        found += len(right) - at
    return found


def seeds_to_resolve(difference: float, sd: float, *, alpha: float) -> int | None:
    """Return how many pairs a two-sided paired t-test needs for 80 % power.

    The difference and the spread seen so far are taken as the truth, so with few seeds the answer
    is rough. None when it is more than 1000 or the difference is zero.

    Source: power of the t-test by the noncentral t distribution, Cohen 1988, chapter 2.
    """
    if difference == 0:
        return None
    if sd == 0:
        return 2
    effect = abs(difference) / sd
    if _power(MOST_SEEDS, effect, alpha) < POWER:
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        if _power(middle, effect, alpha) >= POWER:
            high = middle
        else:
            low = middle
    return high


def _needed(difference: float, sd: float, family: int) -> int | None:
    return seeds_to_resolve(difference, sd, alpha=(1 - CONFIDENCE) / max(1, family))


def _power(n: int, effect: float, alpha: float) -> float:
    critical = t_quantile(1 - alpha / 2, n - 1)
    shift = min(effect * math.sqrt(n), critical + 30.0)  # beyond this the test cannot miss
    return t_tail(critical, n - 1, shift) + t_tail(critical, n - 1, -shift)


def _verdict(contrast: Contrast, goal: Goal | None) -> ContrastVerdict | None:
    if goal is None:
        return None
    difference, p = contrast.difference, contrast.p_holm
    if difference is None or p is None:
        return "unresolved"
    if contrast.ci_low == contrast.ci_high == 0:
        return "equal"
    if p >= 1 - CONFIDENCE:
        return "unresolved"
    is_good = difference > 0 if goal == "max" else difference < 0
    return "better" if is_good else "worse"


def _sd(values: Sequence[float]) -> float:
    centre = mean(values)
    deviations = [v - centre for v in values]
    largest = max(map(abs, deviations))
    if largest == 0 or math.isinf(largest):
        return largest
    # Scaled first: the square of a large float is too large for one.
    return largest * math.sqrt(
        math.fsum((d / largest) ** 2 for d in deviations) / (len(values) - 1)
    )


def _signed_sums(sizes: Sequence[float]) -> list[float]:
    """Return the sums of all assignments of signs to ``sizes``."""
    sums = [0.0]
    for size in sizes:
        sums = [total - size for total in sums] + [total + size for total in sums]
    return sums
