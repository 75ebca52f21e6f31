"""How numbers, steps and counts are put into sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with that many significant digits, ``-`` for none, words for non-finite."""
    if value is None:
        return "-"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    if 10**digits <= abs(value) < 1e6:
        return f"{value:.0f}"
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{int(exponent)}"


def rough(value: float) -> str:
    """Return a number with two significant digits, also where it is large."""
    return number(float(f"{value:.2g}"))


def percent(fraction: float | None, *, signed: bool = True) -> str:
    """Return a fraction in per cent: one decimal, none from 100 % on, two digits below 1 %."""
    if fraction is None:
        return "-"
    size = abs(fraction)
    if size == 0:
        return "0%"
    sign = "-" if fraction < 0 else "+" if signed else ""
    if size < 0.01:
        return f"{sign}{number(100 * size, 2)}%"
    return f"{sign}{100 * size:.{1 if size < 1 else 0}f}%"


def of_runs(count: int, total: int) -> str:
    """Return ``2 of 3 runs``."""
    return f"{count} of {total} run{'' if total == 1 else 's'}"


def span(steps: Iterable[int]) -> str:
    """Return ``300``, or ``300 to 420`` when they differ."""
    known = sorted(steps)
    return str(known[0]) if known[0] == known[-1] else f"{known[0]} to {known[-1]}"


def spread(values: Sequence[float]) -> str:
    """Return one number when all would print alike, else ``0.0024 to 0.0056``."""
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def ratios_text(ratios: Sequence[float]) -> list[str]:
    """Return ``-12%`` for each of some ratios near 1, else ``x35`` and ``0.12`` for the others.

    One form for all, so that a ratio and the ends of its interval can be compared at a glance.
    """
    if all(0.5 < ratio < 2 for ratio in ratios):
        return [_short_percent(ratio - 1) for ratio in ratios]
    first, *others = map(_ratio, ratios)
    return [f"x{first}", *others]


def _ratio(ratio: float) -> str:
    """Return a ratio with two digits; more where it would read as 1 and is not."""
    text = number(ratio, 2)
    return number(ratio, 4) if text == "1" != f"{ratio:g}" else text


def _short_percent(fraction: float) -> str:
    """Return a signed percentage of two or three digits."""
    return f"{100 * fraction:+.0f}%" if abs(fraction) >= 0.1 else percent(fraction)
