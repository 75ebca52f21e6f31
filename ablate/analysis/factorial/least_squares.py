"""Least squares that tells which columns depend on which, without a library that loads slowly.

Columns are made orthogonal one after the other, each twice, so that what is left of a column that
depends on those before it is rounding alone. The tables are small: some hundred runs, some dozens
of columns.

Source: Björck 1996, Numerical Methods for Least Squares Problems, section 2.4 (modified
Gram-Schmidt with reorthogonalisation).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import mul

Vector = Sequence[float]

_DEPENDENT = 1e-9
"""Of a column's length: what is left of one that is a sum of those before it."""
_NOTHING = 1e-7
"""Weights in such a sum that are rounding."""

ROUNDING = 8 * 2.0**-52
"""Differences of this part of the largest value are no differences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """The coefficients of columns, as far as they can be told apart."""

    kept: tuple[int, ...]
    """Places of the columns that are no sum of those before them."""
    coefficients: Mapping[int, float]
    """Place of a kept column -> its coefficient."""
    rss: float
    """What is left: the sum of squares of the residuals."""
    df: int
    """Rows less kept columns."""
    ties: tuple[frozenset[int], ...]
    """For each column that is not kept: its place with those of the columns that it is a sum of."""
    _inverse: Mapping[int, Vector]
    """Place -> its row of the inverse of R, of the factors Q R."""

    def covariance(self, one: int, other: int) -> float:
        """Return the covariance of two kept columns' coefficients, for residuals of variance 1."""
        return _dot(self._inverse[one], self._inverse[other])

    def explained(self, places: Collection[int]) -> float:
        """Return the sum of squares that kept columns explain beyond all others.

        That is their coefficients in the metric of their covariance.
        """
        order = sorted(places)
        rest = [self.coefficients[place] for place in order]
        lower: list[list[float]] = []
        total = 0.0
        for i, one in enumerate(order):  # Cholesky's factors, with the solution on the way
            row: list[float] = []
            for j, other in enumerate(order[: i + 1]):
                value = self.covariance(one, other) - _dot(row, lower[j][:j] if j < i else row)
                row.append(value / lower[j][j] if j < i else math.sqrt(max(value, 0.0)))
            lower.append(row)
            part = (rest[i] - _dot(row[:i], rest[:i])) / row[i]
            rest[i] = part
            total += part * part
        return total


def least_squares(columns: Sequence[Vector], values: Vector) -> Fit:
    """Return the fit of values by columns; one that depends on those before it takes no part.

    Args:
        columns: Each as long as the values; numbers around 1.
        values: What is to be explained, of any size that squares.
    """
    directions: list[list[float]] = []
    upper: list[list[float]] = []  # column by column
    kept: list[int] = []
    ties: list[frozenset[int]] = []
    for place, column in enumerate(columns):
        weights, rest = _split(column, directions)
        length = math.sqrt(_dot(rest, rest))
        if length <= _DEPENDENT * math.sqrt(_dot(column, column)):
            shares = zip(kept, _back(upper, weights), strict=True)
            ties.append(frozenset([place, *(k for k, s in shares if abs(s) > _NOTHING)]))
            continue
        directions.append([value / length for value in rest])
        upper.append([*weights, length])
        kept.append(place)
    weights, rest = _split(values, directions)
    size = len(kept)
    unit_columns = [
        _back(upper, [float(row == column) for row in range(size)]) for column in range(size)
    ]
    return Fit(
        kept=tuple(kept),
        coefficients=dict(zip(kept, _back(upper, weights), strict=True)),
        rss=math.fsum(value * value for value in rest),
        df=len(values) - size,
        ties=tuple(ties),
        _inverse={
            place: tuple(column[row] for column in unit_columns) for row, place in enumerate(kept)
        },
    )


def _split(column: Vector, directions: Sequence[Vector]) -> tuple[list[float], list[float]]:
    """Return a column's parts along directions of length 1, and what is left of it."""
    weights, rest = [0.0] * len(directions), list(column)
    for _ in range(2):
        for index, direction in enumerate(directions):
            part = _dot(direction, rest)
            weights[index] += part
            rest = [r - part * d for r, d in zip(rest, direction, strict=True)]
    return weights, rest


def _back(upper: Sequence[Vector], values: Vector) -> list[float]:
    """Return the solution of an upper triangular system that is given column by column."""
    solution = list(values)
    for column in range(len(solution) - 1, -1, -1):
        solution[column] /= upper[column][column]
        for row in range(column):
            solution[row] -= upper[column][row] * solution[column]
    return solution


def _dot(one: Vector, other: Vector) -> float:
    return sum(map(mul, one, other))


def scaled(values: Vector) -> tuple[list[float], float, float]:
    """Return differences to the mean, the largest as 1, that unit, and which square is rounding.

    The unit is 0 where nothing differs by more than rounding. Of differences so scaled, a sum of
    squares up to the last number is nothing.
    """
    largest = max(map(abs, values))
    if largest == 0:
        return [0.0] * len(values), 0.0, 0.0
    parts = [value / largest for value in values]
    centre = math.fsum(parts) / len(parts)
    differences = [part - centre for part in parts]
    widest = max(map(abs, differences))
    if widest <= ROUNDING:
        return [0.0] * len(values), 0.0, 0.0
    unit = widest * largest
    return [d / widest for d in differences], unit, len(values) * (ROUNDING / widest) ** 2
