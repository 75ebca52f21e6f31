"""What a trainer hands over as a number becomes the double that is stored, or is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import index
from typing import Any, SupportsFloat

_MAX_INT = 2**63
_SHOWN = 60
"""Characters of a value that a message shows."""


def exact_float(key: str, value: Any) -> tuple[float, str | None]:
    """Return a number as a double.

    Args:
        key: Whose value it is, for the message.
        value: Any number of Python, numpy or torch, also in an array of one element.

    Returns:
        The nearest double, and the value as text if a double does not hold it exactly: an integer
        beyond 2^53, a decimal, a fraction, a long double. Of NaN there is one alone.

    Raises:
        TypeError: If it is not one real number.
        ValueError: If it is too large.
    """
    number = _scalar(key, value)
    if isinstance(number, int) and not -_MAX_INT <= number < _MAX_INT:
        raise ValueError(f"{key}: the integer {_shown(number)} is outside -2^63..2^63-1")
    if isinstance(number, (str, bytes, complex)) or not isinstance(number, SupportsFloat):
        raise TypeError(f"{key}: {_shown(number)} is {type(number).__name__}, not a number")
    try:
        stored = float(number)
    except (ValueError, OverflowError, TypeError) as error:
        raise ValueError(f"{key}: {_shown(number)} is no number that a double holds") from error
    if stored == number or math.isnan(stored):
        return stored, None
    if math.isinf(stored):
        raise ValueError(f"{key}: {_shown(number)} is too large for a double")
    return stored, _text(number)


def check_step(step: Any) -> int:
    """Return a step as Python's int.

    Raises:
        TypeError: If it is not an integer; a bool is none.
        ValueError: If it is outside [0, 2^63).
    """
    try:
        number = index(step)
    except TypeError:
        number = None
    if number is None or isinstance(step, bool):
        raise TypeError(f"step {_shown(step)} is {type(step).__name__}, not an integer")
    if not 0 <= number < _MAX_INT:
        raise ValueError(f"step {_shown(step)} is not an integer in [0, 2**63)")
    return number


def _scalar(key: str, value: Any) -> Any:
    """Return what is in an array of one element, or the value itself."""
    if not hasattr(value, "item"):
        return value
    if getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M"):
        raise TypeError(f"{key}: {_shown(value)} is a time, not a number")
    try:
        return value.item()
    except (TypeError, ValueError, RuntimeError) as error:
        shape = tuple(getattr(value, "shape", ()))
        raise TypeError(f"{key}: a value of shape {shape} is not one number") from error


def _shown(value: Any) -> str:
    """Return a value as a message shows it: one line of plain characters."""
    text = _text(value, ascii)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _text(value: Any, write: Callable[[Any], str] = str) -> str:
    try:
        return write(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return f"({type(value).__name__} of more digits than can be written)"
