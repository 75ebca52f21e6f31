"""The F distribution's tail, without a library that takes half a second to import.

Source: NIST Digital Library of Mathematical Functions, 8.17.22 (continued fraction of the
incomplete beta function), evaluated by Lentz's method.
"""

from __future__ import annotations

import math

_SMALLEST = 1e-300
_EXACT = 1e-16


def f_tail(f: float, df1: float, df2: float) -> float:
    """Return P(F > f), exact to 1e-12 of itself.

    Args:
        f: At least 0; may be infinite.
        df1: Degrees of freedom above the line, at least 1.
        df2: Below it, at least 1.
    """
    if math.isinf(f):
        return 0.0
    below = df2 / (df2 + df1 * f)
    return _beta_share(below, df2 / 2, df1 / 2)


def _beta_share(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on this side of the mean alone
        return 1.0 - _beta_share(1.0 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / a / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    value, upper, lower = 1.0, 1.0, 0.0
    for m in range(1, 10_000):
        k = m // 2
        if m % 2:
            term = -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))
        else:
            term = k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k))
        lower = 1.0 / (1.0 + term * lower or _SMALLEST)
        upper = 1.0 + term / upper or _SMALLEST
        value *= upper * lower
        if abs(upper * lower - 1.0) < _EXACT:
            break
    return value


def noncentral_f_tail(f: float, df1: float, df2: float, shift: float) -> float:
    """Return P(F > f) of the noncentral F distribution, exact to 1e-10 or better.

    Args:
        f: At least 0; finite.
        df1: Degrees of freedom above the line, at least 1.
        df2: Below it, at least 1.
        shift: The noncentrality, from 0 to some millions: the sum of squares that is there over
            the variance of the noise.

    Source: Johnson, Kotz and Balakrishnan 1995, Continuous Univariate Distributions 2, 30.2: a
    Poisson mean of incomplete beta functions, each from the next by its recurrence.
    """
    if shift == 0:
        return f_tail(f, df1, df2)
    half, x = shift / 2, df1 * f / (df2 + df1 * f)
    if x <= 0:
        return 1.0
    reach = _POISSON_REACH * math.sqrt(half) + _POISSON_REACH
    first, last = max(0, math.floor(half - reach)), math.ceil(half + reach)
    a, b = df1 / 2 + last, df2 / 2
    below, total = _beta_share(x, a, b), 0.0
    log_rest = b * math.log1p(-x) - math.lgamma(b)
    for count in range(last, first - 1, -1):
        total += below * math.exp(count * math.log(half) - half - math.lgamma(count + 1))
        a -= 1
        if count > first:
            step = math.lgamma(a + b) - math.lgamma(a + 1) + a * math.log(x) + log_rest
            below += math.exp(step)
    return min(1.0, max(0.0, 1.0 - total))


_POISSON_REACH = 8.0
"""Standard deviations of the count beyond which nothing is left, and as many counts for few."""
