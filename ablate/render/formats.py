"""How numbers are shown. Every view formats through here, so views agree."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any, cast

from ablate.analysis.statistics.intervals import ROUNDING
from ablate.analysis.wording import number, percent
from ablate.rules import Status

__all__ = [
    "STATUS_MARKS",
    "file_size",
    "interval",
    "mean_with_error",
    "number",
    "percent",
    "signed",
    "strict_json",
]

STATUS_MARKS = {
    Status.GOOD: "✓",
    Status.DEGRADING: "!",
    Status.CRITICAL: "✗",
    Status.NO_DATA: "?",
}


def file_size(size_bytes: int) -> str:
    """Return ``5.6 MB``: in powers of 1000, with a decimal below 100."""
    power = min(4, (len(str(size_bytes)) - 1) // 3)
    value = size_bytes / 1000**power
    decimals = 1 if power and value < 99.95 else 0
    return f"{value:.{decimals}f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def mean_with_error(mean: float, half: float | None) -> str:
    """Return ``0.0802 ±0.0042``: the digits are set by the uncertainty.

    The half width gets two significant digits if its first three are below 355, else one (the
    rule of the Particle Data Group). The mean keeps at least two, however wide the interval, and
    at most four, however narrow.

    Args:
        mean: May be NaN or infinite; then it stands alone, in words.
        half: Half of the confidence interval; None, or zero but for rounding, for none: three
            significant digits.
    """
    if (
        half is None
        or half <= ROUNDING * abs(mean)
        or not math.isfinite(half)
        or not math.isfinite(mean)
    ):
        return number(mean)
    exponent = math.floor(math.log10(max(abs(mean), half)))
    if -5 < exponent < 7:
        return _with_error(mean, half)
    if exponent < -300:  # a power of ten that small is no float any more
        return f"{number(mean)} ±{number(half, 2)}"
    scale = 10.0**exponent
    return f"({_with_error(mean / scale, half / scale)})e{exponent}"


def interval(low: float | None, high: float | None) -> str:
    """Return ``[-0.0842, -0.0683]`` with digits set by the width, empty without an interval."""
    if low is None or high is None:
        return ""
    half = (high - low) / 2
    if not half > 0 or not math.isfinite(half) or not 1e-4 <= half < 1e6:
        return f"[{number(low)}, {number(high)}]"
    decimals = max(0, _decimals(half))
    return f"[{_fixed(low, decimals)}, {_fixed(high, decimals)}]"


def signed(mean: float | None, half: float | None = None) -> str:
    """Return a difference with its sign."""
    if mean is None:
        return "-"
    text = mean_with_error(mean, half)
    if mean > 0:
        return f"({text[1:]}" if text.startswith("(-") else f"+{text}"
    return text


def _with_error(mean: float, half: float) -> str:
    earned = _decimals(half)
    two = 1 - math.floor(math.log10(abs(mean))) if mean else earned
    decimals = max(0, min(max(earned, two), two + 2, earned + 2))
    error = _fixed(half, decimals)
    if float(error) == 0:
        error = number(half, 2)
    return f"{_fixed(mean, decimals)} ±{error}"


def _decimals(half: float) -> int:
    """Return how many decimals the uncertainty earns."""
    exponent = math.floor(math.log10(half))
    lead = half / 10.0**exponent
    return 1 - exponent if lead < 3.55 or lead >= 9.5 else -exponent


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if Decimal(text) == 0 else text


def strict_json(value: Any, indent: int | None = None) -> str:
    """Return an object as JSON of RFC 8259: a number that is not finite is null."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_finite(part) for part in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value
