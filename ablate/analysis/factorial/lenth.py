"""Effects of single runs at two levels: which stand out, where nothing was run twice.

Most effects are near zero, so their own size says what noise alone makes of an effect.

Source: Lenth 1989, Technometrics 31, "Quick and Easy Analysis of Unreplicated Factorials".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ablate.analysis.statistics.student_t import t_quantile, t_tail

FEWEST = 7
"""Effects, as of eight runs, that the median of their sizes needs: of three it is one of them."""
_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Lenth:
    """How large an effect must be to stand out of the others."""

    pse: float
    """The pseudo standard error of an effect."""
    df: float
    """A third of the number of effects."""
    margin: float
    """Lenth's ME: an effect beyond it is seen at 5 % if it is the only one that is asked for."""
    simultaneous_margin: float
    """Lenth's SME: noise alone puts no effect beyond it in 95 % of such tables."""

    def p(self, effect: float) -> float:
        """Return the two-sided p of one effect, by Student's t as the margins have it."""
        if self.pse == 0:
            return 1.0 if effect == 0 else 0.0
        return min(1.0, 2 * t_tail(abs(effect) / self.pse, self.df))


def lenth(effects: Sequence[float]) -> Lenth:
    """Return the margins of a saturated set of orthogonal effects.

    Args:
        effects: At least `FEWEST`, high minus low, all of one standard error.
    """
    sizes = [abs(effect) for effect in effects]
    rough = 1.5 * median(sizes)
    pse = 1.5 * median([size for size in sizes if size < 2.5 * rough] or [0.0])
    df = len(sizes) / 3
    each = (1 + _CONFIDENCE ** (1 / len(sizes))) / 2
    return Lenth(
        pse=pse,
        df=df,
        margin=t_quantile((1 + _CONFIDENCE) / 2, df) * pse,
        simultaneous_margin=t_quantile(each, df) * pse,
    )


@dataclass(frozen=True, slots=True)
class Chain:
    """Products of factors that these runs cannot tell apart: one effect under several names."""

    words: tuple[tuple[str, ...], ...]
    """The factors of each product, the shortest product first."""
    column: tuple[float, ...]
    """-1 and 1 for each run: of the first product."""


def chains_of(runs: Sequence[Sequence[float]], names: Sequence[str]) -> list[Chain] | None:
    """Return every effect of single runs at two levels, mains before interactions.

    None where the runs are no whole grid and no regular fraction of one.

    Args:
        runs: -1 or 1 for each factor.
        names: Of the factors.
    """
    if len(names) > _MOST_FACTORS or len(runs) & (len(runs) - 1) or not names:
        return None
    words: dict[tuple[float, ...], list[tuple[str, ...]]] = {}
    firsts: dict[tuple[float, ...], tuple[float, ...]] = {}
    subsets = sorted(range(1, 2 ** len(names)), key=lambda s: (s.bit_count(), _reversed(s)))
    for subset in subsets:
        chosen = [i for i in range(len(names)) if subset >> i & 1]
        column = tuple(math.prod(run[i] for i in chosen) for run in runs)
        if all(value == column[0] for value in column):
            continue  # the fraction was made by holding it
        if sum(column) != 0:
            return None
        key = column if column[0] > 0 else tuple(-value for value in column)
        words.setdefault(key, []).append(tuple(names[i] for i in chosen))
        firsts.setdefault(key, column)
    if len(words) != len(runs) - 1:
        return None
    return [Chain(tuple(words[key]), firsts[key]) for key in words]


_MOST_FACTORS = 10


def _reversed(subset: int) -> tuple[int, ...]:
    return tuple(i for i in range(subset.bit_length()) if subset >> i & 1)
