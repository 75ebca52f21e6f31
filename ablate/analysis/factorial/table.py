"""Which combinations of levels were run at which seeds, and the columns that stand for them."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.analysis.factorial.least_squares import least_squares

LISTED = 12
"""Combinations without a run that are named."""
_LARGEST_GRID = 100_000
"""Combinations that are looked through for those without a run."""
_MOST_BLOCKS = 100
"""Seeds beyond these are no blocks: each would be a column."""
_MOST_WORK = 1e8
"""Multiplications for a fit with interactions: about half a minute."""

Cell = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectsTable:
    """The runs of a design, without their values."""

    rows: tuple[Cell, ...]
    """The levels of each run, in the order of the factors."""
    seeds: tuple[int, ...]
    """Of each run."""
    levels: Mapping[str, Cell]
    """Factor -> those of its levels of which there are runs, in order."""
    blocks: tuple[int, ...]
    """The seeds that were run in several cells, where most runs have one of two or more such."""

    @classmethod
    def of(
        cls, runs: Sequence[tuple[Mapping[str, str], int]], factors: Mapping[str, Sequence[str]]
    ) -> EffectsTable:
        """Return the table of runs, each with its levels and its seed.

        Args:
            runs: At least one; each has a level of every factor.
            factors: Name -> its levels in order.
        """
        seen = {name: {levels[name] for levels, _ in runs} for name in factors}
        rows = tuple(tuple(levels[name] for name in factors) for levels, _ in runs)
        seeds = tuple(seed for _, seed in runs)
        return cls(
            rows=rows,
            seeds=seeds,
            levels={
                name: tuple(level for level in factors[name] if level in seen[name])
                for name in factors
            },
            blocks=_blocks(rows, seeds),
        )

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The combinations of which there are runs, each once."""
        return tuple(dict.fromkeys(self.rows))

    @property
    def takes_pairs(self) -> bool:
        """Whether a fit with all interactions of two factors is done within half a minute or so."""
        sizes = [len(levels) - 1 for levels in self.levels.values()]
        pairs = sum(a * b for a, b in itertools.combinations(sizes, 2))
        columns = 1 + len(self.blocks) + sum(sizes) + pairs
        return len(self.rows) * columns**2 <= _MOST_WORK

    @property
    def block_columns(self) -> list[list[float]]:
        """A column for each block against the last; other seeds count as the blocks' mean."""
        last = self.blocks[-1:]
        return [
            [float(seed == block) - float((seed,) == last) for seed in self.seeds]
            for block in self.blocks[:-1]
        ]

    def main(self, name: str) -> list[list[float]]:
        """Return a factor's columns: each a level against the last one, -1 and 1 for two levels.

        With two levels the second is 1.
        """
        place, levels = list(self.levels).index(name), self.levels[name]
        if len(levels) == 2:
            return [[1.0 if row[place] == levels[1] else -1.0 for row in self.rows]]
        codes = {levels[-1]: -1.0}
        return [
            [({level: 1.0} | codes).get(row[place], 0.0) for row in self.rows]
            for level in levels[:-1]
        ]

    def product(self, one: str, other: str) -> list[list[float]]:
        """Return the columns of an interaction."""
        return [
            [a * b for a, b in zip(first, second, strict=True)]
            for first in self.main(one)
            for second in self.main(other)
        ]

    def codes(self, names: Sequence[str]) -> list[list[float]]:
        """Return what a term's columns hold at each combination of its factors' levels."""
        found: list[list[float]] = [[1.0]]
        for name in names:
            size = len(self.levels[name])
            last = [-1.0] * (size - 1)
            rows = [[float(row == column) for column in range(size - 1)] for row in range(size - 1)]
            own = [[-1.0], [1.0]] if size == 2 else [*rows, last]
            found = [[a * b for a in before for b in row] for before in found for row in own]
        return found

    def missing(self, names: Sequence[str]) -> tuple[Cell, ...]:
        """Return combinations of some factors' levels of which there is no run: the first few."""
        if math.prod(len(self.levels[name]) for name in names) > _LARGEST_GRID:
            return ()
        places = [list(self.levels).index(name) for name in names]
        seen = {tuple(row[place] for place in places) for row in self.rows}
        every = itertools.product(*(self.levels[name] for name in names))
        return tuple(itertools.islice((cell for cell in every if cell not in seen), LISTED))

    def within(self, values: Sequence[float]) -> tuple[float, int]:
        """Return what cells and blocks leave unexplained, with its degrees of freedom.

        It is the sum of squares of the differences between runs of one cell, without what the
        seeds have in common.
        """
        columns = [self._within_cells(column) for column in self.block_columns]
        fit = least_squares(columns, self._within_cells(values))
        return fit.rss, fit.df - len(self.cells)

    def _within_cells(self, values: Sequence[float]) -> list[float]:
        sums: dict[Cell, list[float]] = {}
        for row, value in zip(self.rows, values, strict=True):
            sums.setdefault(row, []).append(value)
        means = {row: math.fsum(found) / len(found) for row, found in sums.items()}
        return [value - means[row] for row, value in zip(self.rows, values, strict=True)]


def _blocks(rows: Sequence[Cell], seeds: Sequence[int]) -> tuple[int, ...]:
    cells = Counter(seed for _, seed in set(zip(rows, seeds, strict=True)))
    shared = {seed for seed, count in cells.items() if count > 1}
    is_usual = 2 * sum(seed in shared for seed in seeds) > len(seeds)
    return tuple(sorted(shared)) if is_usual and 1 < len(shared) <= _MOST_BLOCKS else ()
