"""Differences between variants from two or three seeds: a test that lends noise.

With two seeds a variant's own spread is known to a factor of ten at best. The variants of a study
together know more. So each variant keeps the variance of its own seeds, but never less than a
small share of the variance of all together; what is lent fades with more seeds, and from five on
nothing is. Where a seed does the same to every variant, differences are paired by seed.

Valid averaged over studies whose variants are exchangeable in noise, not for the one variant that
is known to be the noisiest. The constants were calibrated by simulation;
``benchmarks/contrasts.py`` measures what they hold.

Sources: Welch 1947, Biometrika 34, with Satterthwaite's degrees of freedom; the floor on variances
after Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ablate.analysis.statistics.f_tail import f_tail
from ablate.analysis.statistics.intervals import ROUNDING
from ablate.analysis.statistics.student_t import t_quantile, t_tail
from ablate.rules import Pairing, mean

ARMS_FOR_A_DEGREE = 20.0
"""So many variants lend one degree of freedom to each at two seeds."""
PAIRS_FOR_A_DEGREE = 10.0
"""So many contrasts lend one degree of freedom to each where differences are paired."""
FEWEST_LENDERS = 3
"""Between two variants there is nothing to lend."""
SEED_EFFECT = 0.05
"""Seeds matter where the F test of them is below this."""
CONFIDENCE = 0.95

Mode = Literal["arms", "paired", "classic"]
Arm = Mapping[int, float]
"""Seed -> value, finite, on the scale on which it is compared."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A variant minus its reference."""

    difference: float | None
    """None where no seed is shared and differences are paired."""
    error: float | None = None
    """Standard error; None where a side has one seed."""
    df: float | None = None
    """Degrees of freedom, fractional, above 1."""
    mode: Mode
    pairs: int
    """Shared seeds that take part; 0 where means are compared."""
    n_variant: int
    n_reference: int
    sds: tuple[float, float] = (0.0, 0.0)
    """Standard deviation of a value of each side, or of a pair and nothing, with what was lent."""
    loan: float = 0.0
    """Degrees of freedom that are lent at two seeds."""

    @cached_property
    def p(self) -> float | None:
        """Two-sided p of no difference; None without an error."""
        if self.difference is None or self.error is None or self.df is None:
            return None
        return two_sided(self.difference, self.error, self.df)

    def half(self, confidence: float = CONFIDENCE) -> float | None:
        """Return half of the interval."""
        if self.error is None or self.df is None:
            return None
        if self.error == 0:
            return 0.0
        return t_quantile((1 + confidence) / 2, self.df) * self.error

    def p_equal(self, margin: float) -> float | None:
        """Return the p of being at least a margin apart: two one-sided tests.

        Source: Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15.
        """
        if self.difference is None or self.error is None or self.df is None:
            return None
        room = margin - abs(self.difference)
        if self.error == 0:
            return 0.0 if room > 0 else 1.0
        return t_tail(room / self.error, self.df)


def differences(
    arms: Mapping[str, Arm],
    contrasts: Sequence[tuple[str, str]],
    *,
    pairing: Pairing = "auto",
    apart: Collection[str] = (),
) -> tuple[Difference, ...]:
    """Return the difference of each (variant, reference) in one metric.

    Args:
        arms: Variant -> its values, of all variants of the study, references included.
        contrasts: Which are compared; a name without an arm has no values.
        pairing: ``auto`` pairs by seed where seeds are seen to matter.
        apart: Variants whose noise is of another kind, as that of a training that blew up: they
            lend nothing and are lent nothing.
    """
    return _Noise(arms, contrasts, pairing, frozenset(apart)).differences()


def seed_effect_p(arms: Sequence[Arm]) -> float:
    """Return the p of seeds doing the same to every arm, on the seeds that all arms share.

    The F test of seeds in the two-way table of arms and seeds. 1 with fewer than three arms or two
    shared seeds, which can show nothing.
    """
    shared = sorted(set[int].intersection(*map(set, arms))) if arms else []
    rows, columns = len(arms), len(shared)
    if rows < FEWEST_LENDERS or columns < 2:
        return 1.0
    table = [[arm[seed] for seed in shared] for arm in arms]
    of_arm = [mean(row) for row in table]
    of_seed = [mean(column) for column in zip(*table, strict=True)]
    centre = mean(of_arm)
    between = rows * math.fsum((s - centre) ** 2 for s in of_seed)
    rest = math.fsum(
        (value - a - s + centre) ** 2
        for row, a in zip(table, of_arm, strict=True)
        for value, s in zip(row, of_seed, strict=True)
    )
    if rest == 0:
        return 0.0 if between > 0 else 1.0
    return f_tail((rows - 1) * between / rest, columns - 1, (rows - 1) * (columns - 1))


def two_sided(difference: float, error: float, df: float) -> float:
    """Return the two-sided p of a difference of zero."""
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    if math.isinf(error):
        return 1.0
    t = difference / error
    return f_tail(t * t, 1, df)  # the square of Student's t


def fade(n: int) -> float:
    """Return which share of the full loan a variant of so many seeds gets: 1 at 2, 0 from 5 on."""
    return min(1.0, max(0.0, (5 - n) / 3))


@dataclass(frozen=True, slots=True)
class _ArmNoise:
    """A variant's own noise with what it was lent."""

    variance: float
    df: float


class _Noise:
    """What the variants of a study know together about the noise of one metric."""

    def __init__(
        self,
        arms: Mapping[str, Arm],
        contrasts: Sequence[tuple[str, str]],
        pairing: Pairing,
        apart: frozenset[str],
    ) -> None:
        sizes = [abs(value) for arm in arms.values() for value in arm.values()]
        # Scaled first: the square of a large float is too large for one.
        self._unit = max(sizes, default=0.0) or 1.0
        self._arms = {
            name: {seed: value / self._unit for seed, value in arm.items()}
            for name, arm in arms.items()
        }
        self._contrasts = contrasts
        self._pairing = pairing
        self._apart = apart

    def differences(self) -> tuple[Difference, ...]:
        return tuple(self._difference(variant, reference) for variant, reference in self._contrasts)

    @cached_property
    def _lenders(self) -> dict[str, Arm]:
        return {n: arm for n, arm in self._arms.items() if len(arm) > 1 and n not in self._apart}

    @cached_property
    def _variances(self) -> dict[str, float]:
        return {n: _variance(list(a.values())) for n, a in self._arms.items() if len(a) > 1}

    @cached_property
    def _pool(self) -> float:
        """The variance of all together, weighted by degrees of freedom.

        An arithmetic mean: a geometric mean or a median would promise too little noise.
        """
        weights = {name: len(arm) - 1 for name, arm in self._lenders.items()}
        total = sum(weights.values())
        return math.fsum(n * self._variances[name] for name, n in weights.items()) / total

    @cached_property
    def _mode(self) -> Mode:
        if len(self._lenders) < FEWEST_LENDERS:
            return "classic"
        is_seen = self._pairing == "auto" and (
            seed_effect_p(list(self._lenders.values())) < SEED_EFFECT
        )
        return "paired" if is_seen or self._pairing == "always" else "arms"

    @cached_property
    def _paired(self) -> dict[tuple[str, str], list[float]]:
        """Contrast -> the differences over shared seeds, where there are two or more."""
        # With its own noise alone, where means are compared, is who stands apart compared.
        together = [pair for pair in self._contrasts if not self._apart.intersection(pair)]
        found = {pair: self._over_shared_seeds(*pair) for pair in together}
        return {pair: values for pair, values in found.items() if len(values) > 1}

    @cached_property
    def _paired_pool(self) -> float:
        weights = {pair: len(values) - 1 for pair, values in self._paired.items()}
        total = sum(weights.values())
        return math.fsum(n * _variance(self._paired[p]) for p, n in weights.items()) / total

    def _over_shared_seeds(self, variant: str, reference: str) -> list[float]:
        own, other = self._arms.get(variant, {}), self._arms.get(reference, {})
        return [own[seed] - other[seed] for seed in sorted(set(own) & set(other))]

    def _difference(self, variant: str, reference: str) -> Difference:
        may_pair = self._mode == "paired" or (self._mode == "classic" and self._pairing != "never")
        if may_pair and (variant, reference) in self._paired:
            return self._by_seed(variant, reference)
        return self._of_means(variant, reference)

    def _by_seed(self, variant: str, reference: str) -> Difference:
        values = self._paired[variant, reference]
        n = len(values)
        loan = len(self._paired) / PAIRS_FOR_A_DEGREE if self._mode == "paired" else 0.0
        lent = loan * fade(n)
        noise = _raised(_variance(values), n - 1, self._paired_pool, lent)
        return Difference(
            difference=self._unscaled(mean(values)),
            error=self._unscaled(math.sqrt(noise / n)),
            df=n - 1 + lent,
            mode=self._mode,
            pairs=n,
            n_variant=n,
            n_reference=n,
            sds=(self._unscaled(math.sqrt(noise)), 0.0),
            loan=loan,
        )

    def _of_means(self, variant: str, reference: str) -> Difference:
        own, other = (list(self._arms.get(name, {}).values()) for name in (variant, reference))
        if len(own) < 2 or len(other) < 2:
            return self._without_error(own, other)
        noises = self._noise_of(variant), self._noise_of(reference)
        error, df = _error_of_means(noises, (len(own), len(other)))
        return Difference(
            difference=self._unscaled(mean(own) - mean(other)),
            error=self._unscaled(error),
            df=df,
            mode=self._mode,
            pairs=0,
            n_variant=len(own),
            n_reference=len(other),
            sds=(
                self._unscaled(math.sqrt(noises[0].variance)),
                self._unscaled(math.sqrt(noises[1].variance)),
            ),
            loan=self._loan,
        )

    def _without_error(self, own: Sequence[float], other: Sequence[float]) -> Difference:
        return Difference(
            difference=self._unscaled(mean(own) - mean(other)) if own and other else None,
            mode=self._mode,
            pairs=0,
            n_variant=len(own),
            n_reference=len(other),
        )

    @property
    def _loan(self) -> float:
        return 0.0 if self._mode == "classic" else len(self._lenders) / ARMS_FOR_A_DEGREE

    def _noise_of(self, name: str) -> _ArmNoise:
        n, own = len(self._arms[name]), self._variances[name]
        lent = 0.0 if name in self._apart else self._loan * fade(n)
        return _ArmNoise(_raised(own, n - 1, self._pool, lent) if lent else own, n - 1 + lent)

    def _unscaled(self, value: float) -> float:
        return value * self._unit


def _error_of_means(
    noises: tuple[_ArmNoise, _ArmNoise], sizes: tuple[int, int]
) -> tuple[float, float]:
    """Return the standard error of a difference of means, and Satterthwaite's df."""
    squares = [noise.variance / n for noise, n in zip(noises, sizes, strict=True)]
    total = math.fsum(squares)
    if total == 0:
        return 0.0, min(noise.df for noise in noises)
    # Shares first: the square of a small variance is too small for a float.
    inverse = math.fsum((q / total) ** 2 / x.df for q, x in zip(squares, noises, strict=True))
    return math.sqrt(total), 1.0 / inverse


def _raised(own: float, df: int, pool: float, lent: float) -> float:
    """Return a variance that is raised towards the pool by a loan, and never lowered."""
    return max(own, (lent * pool + df * own) / (lent + df))


def _variance(values: Sequence[float]) -> float:
    """Return the variance, without what is rounding, of two or more values of at most 1."""
    centre = mean(values)
    found = math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)
    return found if found > ROUNDING**2 else 0.0
