"""Whether one variant loses more runs than another: counts of few runs, without approximation."""

from __future__ import annotations

import math


def fisher_p(lost: int, runs: int, other_lost: int, other_runs: int) -> float:
    """Return the exact two-sided p of two variants losing the same share of their runs.

    Tables that are at most as probable as the one seen count, as is usual. Below four runs of each
    it cannot fall under 5 %: 3 of 3 against 0 of 3 is 0.1.

    Args:
        lost: Of the first, from 0 to ``runs``.
        runs: At least 1.
        other_lost: Of the second.
        other_runs: At least 1.

    Source: Fisher 1935, The Logic of Inductive Inference, Journal of the Royal Statistical
    Society 98.
    """
    total, whole = lost + other_lost, runs + other_runs
    possible = range(max(0, total - other_runs), min(runs, total) + 1)
    ways = {k: math.comb(runs, k) * math.comb(other_runs, total - k) for k in possible}
    # Whole numbers: what is as probable on paper is as probable here.
    return sum(n for n in ways.values() if n <= ways[lost]) / math.comb(whole, total)
