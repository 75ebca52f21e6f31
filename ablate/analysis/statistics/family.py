"""Which of many differences are decided, at one error for all of them together.

A family holds every contrast that may decide a verdict: those of the primary metrics with all
variants. For each, two hypotheses can be rejected: that there is no difference, and that the
difference is at least the margin. At most one of the two is true, so the number of contrasts with
a hypothesis that is still open bounds how many can be wrong at once. Without margins this is
Holm's correction.

Sources: Holm 1979, Scandinavian Journal of Statistics 6; Shaffer 1986, Journal of the American
Statistical Association 81 (logically related hypotheses).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Corrected:
    """The p values of one contrast, corrected over its family; None where there is none."""

    different: float | None
    """Of no difference."""
    equal: float | None
    """Of being at least the margin apart."""


def corrected(ps: Sequence[tuple[float | None, float | None]]) -> tuple[Corrected, ...]:
    """Return the p values of a family, corrected step by step.

    Args:
        ps: For each contrast the p of no difference and the p of being at least the margin apart.
            A contrast without the first does not count; the second is None without a margin.
    """
    tests = [
        (p, contrast, kind)
        for contrast, pair in enumerate(ps)
        if pair[0] is not None
        for kind, p in enumerate(pair)
        if p is not None
    ]
    left = Counter(contrast for _, contrast, _ in tests)
    open_ = len(left)
    found: list[list[float | None]] = [[None, None] for _ in ps]
    largest = 0.0
    for p, contrast, kind in sorted(tests):
        largest = max(largest, min(1.0, p * open_))
        found[contrast][kind] = largest
        left[contrast] -= 1
        open_ -= left[contrast] == 0
    return tuple(Corrected(*pair) for pair in found)


def holm(ps: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return the p values of a family without margins, corrected; None stays and does not count."""
    return tuple(each.different for each in corrected([(p, None) for p in ps]))
