"""The exact sign-flip test of differences that are paired by seed: it assumes least.

It assumes only that a difference of zero is as likely to be positive as negative, and cannot go
below ``2 / 2**n``: from six pairs on it can say something at 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST_PAIRS = 40
"""More take too long to count."""


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Return the exact two-sided p of the sign-flip (paired permutation) test of a mean of zero.

    All ``2**n`` assignments of signs are counted, split into two halves whose sums are matched by
    sorting, so that 40 pairs take a second. None for no pair or more than 40.

    Source: Fisher 1935, The Design of Experiments, section 21.
    """
    n = len(differences)
    if n == 0 or n > MOST_PAIRS:
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


def _signed_sums(sizes: Sequence[float]) -> list[float]:
    """Return the sums of all assignments of signs to ``sizes``."""
    sums = [0.0]
    for size in sizes:
        sums = [total - size for total in sums] + [total + size for total in sums]
    return sums
