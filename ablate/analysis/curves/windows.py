"""One number for a curve: the value under a declared rule, the first value, means over windows.

A value that is not a number is counted and never averaged away: a mean over a NaN is NaN.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.analysis.curves.study_data import RunCurve
from ablate.domain import Kind
from ablate.rules import MetricRule, mean


@dataclass(frozen=True, slots=True)
class RunValue:
    """The number that stands for a run's curve."""

    value: float
    step: int
    """The last step that counted."""
    points: int
    """How many points counted."""
    not_finite: int
    """How many of them are NaN or infinite."""
    is_exact: bool = True
    """False when no point lay where the rule looks, and the latest earlier one stands in."""

    @property
    def kind(self) -> Kind:
        """Which kind of number it is."""
        return Kind.of(self.value)


@dataclass(frozen=True, slots=True)
class Window:
    """Steps after ``start`` up to ``end``; one that starts at 0 holds step 0 too."""

    start: int
    end: int

    @property
    def label(self) -> str:
        """``1K-1.5K``."""
        return f"{short_step(self.start)}-{short_step(self.end)}"


def value_at(curve: RunCurve | None, rule: MetricRule, at_step: int) -> RunValue | None:
    """Return the value under ``rule`` at ``at_step``, or None when the curve has no point by then.

    Where the window holds no point, the latest earlier point stands in and the result says so;
    nothing is interpolated. Step 0 stands in for nothing later: it is the untrained model.
    """
    if curve is None:
        return None
    first, _ = rule.window(at_step)
    recent = curve.between(first, at_step)
    if recent.steps:
        values = recent.values[-1:] if rule.kind == "last" else recent.values
        return RunValue(rule.reduce(values), recent.steps[-1], len(values), _not_finite(values))
    stop = bisect_right(curve.steps, at_step)
    if stop == 0 or curve.steps[stop - 1] == 0:
        return None
    value = curve.values[stop - 1]
    return RunValue(value, curve.steps[stop - 1], 1, _not_finite((value,)), is_exact=False)


def initial_value(curve: RunCurve | None) -> float | None:
    """Return the first value, which is that of the untrained model where step 0 was logged."""
    return None if curve is None else _first_point(curve)[1]


_BEGINNINGS = (0, 100)
"""Most runs log a first point by then, which costs little to read."""


def _first_point(curve: RunCurve) -> tuple[int, float]:
    for last in _BEGINNINGS:
        beginning = curve.between(0, last)
        if beginning.steps:
            return beginning.steps[0], beginning.values[0]
    return curve.steps[0], curve.values[0]


def value_before(curve: RunCurve | None, found: RunValue) -> float | None:
    """Return the first value, to tell a change up to ``found`` by; None where it is the only one.

    One record shows no movement, though a change of zero could be computed from it.
    """
    if curve is None:
        return None
    step, value = _first_point(curve)
    return value if step < found.step else None


def trend_windows(at_step: int) -> tuple[Window, ...]:
    """Return the first, the middle and the last fifth of the steps up to ``at_step``."""
    if at_step < 5:
        return (Window(0, at_step),)
    edges = [at_step * i // 5 for i in range(6)]
    return Window(edges[0], edges[1]), Window(edges[2], edges[3]), Window(edges[4], edges[5])


def window_mean(curve: RunCurve | None, window: Window) -> float | None:
    """Return the mean of the points in the window, or None when there is none."""
    if curve is None:
        return None
    low = 0 if window.start == 0 else bisect_right(curve.steps, window.start)
    values = curve.values[low : bisect_right(curve.steps, window.end)]
    return mean(values) if values else None


def relative_change(key: str, value: float | None, initial: float | None) -> float | None:
    """Return ``value / initial - 1``, or None where that fraction says nothing.

    It says nothing for decibels, after a change of sign, or from zero.
    """
    if value is None or initial is None or key.endswith("_db"):
        return None
    if not (math.isfinite(value) and math.isfinite(initial)) or initial == 0:
        return None
    change = value / initial - 1
    return change if change >= -1 and math.isfinite(change) else None


def short_step(step: int) -> str:
    """Return a step as in ``1.5K``; exact where that would round."""
    if step >= 1000 and step % 100 == 0:
        return f"{step / 1000:g}K"
    return str(step)


def _not_finite(values: Sequence[float]) -> int:
    return sum(not math.isfinite(v) for v in values)
