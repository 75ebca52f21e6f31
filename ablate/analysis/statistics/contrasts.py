"""Contrasts: the differences of variants to what they are compared with, and what is decided.

One test for all (`ablate.analysis.statistics.lending`), and one error for all that may decide a
verdict: the contrasts of the primary metrics with the declared references. Every other contrast is
exploratory: corrected over the variants of its metric alone, and told as no more than a hint.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ablate.analysis.statistics.family import Corrected, corrected, holm
from ablate.analysis.statistics.intervals import CONFIDENCE, around
from ablate.analysis.statistics.lending import Arm, Difference, differences
from ablate.analysis.statistics.scales import on_scale
from ablate.analysis.statistics.seeds import SeedsNeeded, seeds_needed
from ablate.analysis.statistics.sign_flip import sign_flip_p
from ablate.rules import Goal, Pairing, Scale, mean

ContrastVerdict = Literal["worse", "better", "equal", "unresolved", "withheld"]
"""``withheld``: the survivors of a side that lost more runs than the other prove nothing for it."""
Method = Literal["paired", "welch", "lent", "lent, paired"]
"""``lent``: by means, with the noise that the variants lend each other; ``paired`` and ``welch``:
where there is nobody to lend."""
Measure = Literal["value", "distance to target"]
Pair = tuple[str, str]
"""A variant, and what it is compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """The difference of a variant to a reference in one metric."""

    reference: str
    is_primary: bool
    """Whether it may decide a verdict; else it is exploratory."""
    difference: float | None
    """Variant minus reference; None where one side has no finite value. On the scale ``log``, the
    difference of the geometric means."""
    ci_low: float | None
    """The interval of the decision: without zero just where ``p_holm`` is below 0.05."""
    ci_high: float | None
    scale: Scale
    ratio: float | None
    """Variant over reference; None on the scale ``identity``, as its interval."""
    ratio_low: float | None
    ratio_high: float | None
    p: float | None
    """Exact two-sided sign-flip p over the shared seeds; None without any."""
    p_smallest: float | None
    """The smallest sign-flip p that this many pairs can reach."""
    p_t: float | None
    """Two-sided p of no difference, of this contrast alone; None with one seed on a side."""
    p_holm: float | None
    """``p_t`` after the correction over the family; decides ``better`` and ``worse``."""
    p_equal: float | None
    """Of being the margin apart or more, after the correction; None without a margin."""
    error: float | None
    """Standard error of the difference on its scale: that of a logarithm on ``log``."""
    df: float | None
    """Degrees of freedom, fractional."""
    pairs: int
    """Shared seeds that take part where differences are paired; 0 where means are compared."""
    verdict: ContrastVerdict | None
    """None where nothing says which direction is good."""
    is_within_margin: bool
    """Whether it is resolved, and yet less than the margin."""
    seeds: SeedsNeeded | None
    """Seeds of each side that would decide it; None when that cannot be said."""
    measure: Measure
    method: Method
    n_variant: int
    """Finite values of the variant that take part; all that it has where there is no pair."""
    n_reference: int
    is_reference_noisier: bool
    """Whether more of the error is the reference's than the variant's."""

    @property
    def is_decided(self) -> bool:
        """Whether it is better, worse or equal."""
        return self.verdict in ("better", "worse", "equal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One metric of all variants of a study, as it is compared."""

    arms: Mapping[str, Arm]
    """Variant -> seed -> value, or distance to a target; finite."""
    goal: Goal | None
    """Which direction is good; None where nothing says it."""
    scale: Scale = "identity"
    margin: float | None = None
    """The smallest difference that matters, on the scale."""
    is_primary: bool = False
    measure: Measure = "value"
    apart: frozenset[str] = frozenset()
    """Variants whose training blew up: what they show of noise is of no use to others."""

    def differences(self, pairs: Sequence[Pair], pairing: Pairing) -> tuple[Difference, ...]:
        """Return the difference of each pair on the scale."""
        scaled = {
            name: {seed: on_scale(value, self.scale) for seed, value in arm.items()}
            for name, arm in self.arms.items()
        }
        return differences(scaled, pairs, pairing=pairing, apart=self.apart)


def contrasts_of(
    metrics: Mapping[str, Measured],
    pairs: Sequence[Pair],
    *,
    beside: Sequence[Pair] = (),
    pairing: Pairing = "auto",
) -> dict[str, dict[Pair, Contrast]]:
    """Return every contrast of a study by its metric, corrected.

    Args:
        metrics: Key -> values of all variants.
        pairs: What is to be compared: with the primary metrics they make one family.
        beside: What is shown besides; exploratory whatever the metric.
        pairing: Whether differences are paired by seed.
    """
    found: dict[str, dict[Pair, Contrast]] = {}
    family: list[tuple[str, Pair, Difference]] = []
    for key, metric in metrics.items():
        seen = metric.differences([*pairs, *beside], pairing)
        own = list(zip(pairs, seen, strict=False))
        others = list(zip(beside, seen[len(pairs) :], strict=True))
        found[key] = _exploratory(metric, others)
        if metric.is_primary:
            family += [(key, pair, difference) for pair, difference in own]
        else:
            found[key] |= _exploratory(metric, own)
    decided = _corrected([(metrics[key], difference) for key, _, difference in family])
    count = sum(difference.p is not None for _, _, difference in family)
    for (key, pair, difference), ps in zip(family, decided, strict=True):
        found[key][pair] = _contrast(metrics[key], pair, difference, ps, count, is_primary=True)
    return found


def best_of(metric: Measured, among: Collection[str], pairing: Pairing) -> frozenset[str]:
    """Return the variant with the best mean, and those that cannot be told from it.

    Empty where nothing says which direction is good. The tests are corrected over all that are
    compared with the best.
    """
    sign = {"max": 1.0, "min": -1.0}.get(metric.goal or "")
    means = {
        name: mean([on_scale(value, metric.scale) for value in arm.values()])
        for name, arm in metric.arms.items()
        if arm and name in among
    }
    if sign is None or not means:
        return frozenset()
    best = max(means, key=lambda name: sign * means[name])
    others = [(name, best) for name in means if name != best]
    ps = holm([difference.p for difference in metric.differences(others, pairing)])
    tested = zip(others, ps, strict=True)
    return frozenset(
        [best, *(name for (name, _), p in tested if p is not None and not _is_below(p))]
    )


def _exploratory(metric: Measured, seen: Sequence[tuple[Pair, Difference]]) -> dict[Pair, Contrast]:
    """Return contrasts of one metric, corrected over themselves alone."""
    decided = _corrected([(metric, difference) for _, difference in seen])
    count = sum(difference.p is not None for _, difference in seen)
    return {
        pair: _contrast(metric, pair, difference, ps, count, is_primary=False)
        for (pair, difference), ps in zip(seen, decided, strict=True)
    }


def _corrected(seen: Sequence[tuple[Measured, Difference]]) -> tuple[Corrected, ...]:
    return corrected([(d.p, None if m.margin is None else d.p_equal(m.margin)) for m, d in seen])


def _contrast(
    metric: Measured,
    pair: Pair,
    difference: Difference,
    ps: Corrected,
    family: int,
    *,
    is_primary: bool,
) -> Contrast:
    own, other = (metric.arms.get(name, {}) for name in pair)
    shared = sorted(set(own) & set(other))
    flips = [on_scale(own[s], metric.scale) - on_scale(other[s], metric.scale) for s in shared]
    centre, low, high = _ends(difference, ps)
    verdict = _verdict(metric, difference, ps, _is_identical(own, other, shared))
    needed = seeds_needed(difference, family) if verdict == "unresolved" else None
    shown = _Shown.of(metric, other if not difference.pairs else {s: other[s] for s in shared})
    return Contrast(
        reference=pair[1],
        is_primary=is_primary,
        difference=shown.difference(centre),
        ci_low=shown.difference(low),
        ci_high=shown.difference(high),
        scale=metric.scale,
        ratio=shown.ratio(centre),
        ratio_low=shown.ratio(low),
        ratio_high=shown.ratio(high),
        p=sign_flip_p(flips),
        p_smallest=2.0 ** (1 - len(flips)) if flips else None,
        p_t=difference.p,
        p_holm=ps.different,
        p_equal=ps.equal,
        error=difference.error,
        df=difference.df,
        pairs=difference.pairs,
        verdict=verdict,
        is_within_margin=verdict == "equal" and _is_below(ps.different),
        seeds=needed,
        measure=metric.measure,
        method=_method(difference),
        n_variant=difference.n_variant,
        n_reference=difference.n_reference,
        is_reference_noisier=_is_reference_noisier(difference),
    )


def _ends(difference: Difference, ps: Corrected) -> tuple[float | None, float | None, float | None]:
    """Return a difference with the interval that decides it.

    The correction multiplies p; the interval is that of the level divided by as much, so that it
    holds zero just where the corrected p is 0.05 or more.
    """
    centre = difference.difference
    if centre is None or not math.isfinite(centre):
        return None, None, None
    times = ps.different / difference.p if ps.different and difference.p else 1.0
    half = difference.half(1 - (1 - CONFIDENCE) / times)
    low, high = (None, None) if half is None else around(centre, half)
    return centre, low, high


@dataclass(frozen=True, slots=True)
class _Shown:
    """How what was found on a scale is told: as ratios, and in the metric's own unit."""

    scale: Scale
    level: float
    """Geometric mean of the reference; 1 on ``identity``."""

    @classmethod
    def of(cls, metric: Measured, reference: Arm) -> _Shown:
        if metric.scale == "identity" or not reference:
            return cls(metric.scale, 1.0)
        logs = [on_scale(value, "log") for value in reference.values()]
        return cls("log", math.exp(mean(logs)))

    def ratio(self, value: float | None) -> float | None:
        """Return the ratio, None on ``identity`` or where a float does not hold it."""
        if value is None or self.scale == "identity":
            return None
        return math.exp(value) if value < _LARGEST_LOG else None

    def difference(self, value: float | None) -> float | None:
        """Return the difference in the metric's unit."""
        if value is None or self.scale == "identity":
            return value
        return self.level * math.expm1(value) if value < _LARGEST_LOG else None


_LARGEST_LOG = 700.0


def _is_below(p: float | None) -> bool:
    return p is not None and p < 1 - CONFIDENCE


def _is_identical(own: Arm, other: Arm, shared: Sequence[int]) -> bool:
    return len(shared) > 1 and all(own[seed] == other[seed] for seed in shared)


def _verdict(
    metric: Measured, difference: Difference, ps: Corrected, is_identical: bool
) -> ContrastVerdict | None:
    if metric.goal is None:
        return None
    if is_identical:
        return "equal"
    if difference.difference is None or ps.different is None:
        return "unresolved"
    if (difference.difference, difference.error) == (0.0, 0.0) or _is_below(ps.equal):
        return "equal"
    if not _is_below(ps.different):
        return "unresolved"
    is_good = difference.difference > 0 if metric.goal == "max" else difference.difference < 0
    return "better" if is_good else "worse"


def _method(difference: Difference) -> Method:
    if difference.mode == "classic":
        return "paired" if difference.pairs else "welch"
    return "lent, paired" if difference.pairs else "lent"


def _is_reference_noisier(difference: Difference) -> bool:
    own, other = difference.sds
    if not (difference.n_variant and difference.n_reference) or difference.pairs:
        return False
    return other / math.sqrt(difference.n_reference) > own / math.sqrt(difference.n_variant)
