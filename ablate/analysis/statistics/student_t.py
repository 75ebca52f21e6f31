"""Student's t distribution, central and not, without a library that takes half a second to import.

With S = sqrt(chi-square / df), T = (Z + shift) / S, so ``P(T > t)`` is the mean of
``Phi(shift - t S)`` over the density of S. In the logarithm of S the integrand is analytic and
falls off fast at both ends, where the trapezoidal rule converges exponentially.

Sources: Johnson, Kotz and Balakrishnan 1995, Continuous Univariate Distributions 2, chapter 31;
Trefethen and Weideman 2014, The Exponentially Convergent Trapezoidal Rule.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from ablate.analysis.statistics.f_tail import f_tail

_NEGLIGIBLE = 46.0
"""Where the density has fallen by this power of e it ends."""


def t_tail(t: float, df: float, shift: float = 0.0) -> float:
    """Return P(T > t), exact to 1e-12 of itself or to 1e-20, whichever is more.

    Args:
        t: Any finite number.
        df: Degrees of freedom, at least 1; Welch's test has fractions of one.
        shift: The noncentrality; 0 for Student's t.
    """
    root = math.sqrt(0.5)
    # In log S the normal tail falls from one side to the other within 1 / shift.
    width = 2.0 ** math.floor(math.log2(0.25 / max(2.5, math.sqrt(2 * df), abs(shift))))
    return math.fsum(
        0.5 * weight * math.erfc((t * size - shift) * root) for size, weight in _sizes(df, width)
    )


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: float) -> float:
    """Return the t with P(T <= t) = p of Student's t.

    Args:
        p: From 0.75 to below 1; intervals ask for no less.
        df: Degrees of freedom, at least 1; Welch's test has fractions of one.
    """
    # Newton's method on logarithms of t and of the tail: far out one is nearly linear in the other.
    t = NormalDist().inv_cdf(p)
    while True:
        # T squared has the F distribution, whose tail is had at a fiftieth of the time.
        tail = f_tail(t * t, 1, df) / 2
        step = math.log(tail / (1.0 - p)) * tail / (_density(t, df) * t)
        t *= math.exp(step)
        if abs(step) < _HALF_OF_THE_DIGITS:
            return t  # what is left is the square of the step


_HALF_OF_THE_DIGITS = 1e-8


def _density(t: float, df: float) -> float:
    scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    return math.exp(scale - (df + 1) / 2 * math.log1p(t * t / df))


@lru_cache(maxsize=16)  # up to some ten thousand numbers each
def _sizes(df: float, width: float) -> tuple[tuple[float, float], ...]:
    """Return values of S, ``width`` apart in its logarithm, with weights that sum to 1."""
    # The log density in u = log S is df u - df exp(2 u) / 2, highest at 0.
    log_scale = math.log(2 * width) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)
    reach = _NEGLIGIBLE / df + math.sqrt(_NEGLIGIBLE / df)
    places = range(math.floor(-reach / width), math.ceil(math.asinh(reach) / width) + 1)
    return tuple(
        (math.exp(u), math.exp(log_scale + df * u - df * math.exp(2 * u) / 2))
        for u in (width * place for place in places)
    )
