"""Where two curves part: at which step first, and from which on for good."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ablate.analysis.curves.study_data import RunCurve

APART = 0.2
"""Two values that differ by this part of the larger one are apart for any reader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parting:
    """How two curves of one metric differ, at the steps that both have."""

    first: int | None
    """The first step at which they differ in any bit; None where they are equal."""
    lasting: int | None
    """From this step on they are `APART` to the end; None where the last point is not."""
    last: int
    """The last step that both have."""
    values: tuple[float, float]
    """There."""


def parting_of(one: RunCurve, other: RunCurve) -> Parting | None:
    """Return where two curves part, None where they share no step."""
    theirs = dict(zip(other.steps, other.values, strict=True))
    shared = [
        (step, value, theirs[step])
        for step, value in zip(one.steps, one.values, strict=True)
        if step in theirs
    ]
    if not shared:
        return None
    first = next((step for step, a, b in shared if _bits(a) != _bits(b)), None)
    lasting: int | None = None
    for step, a, b in reversed(shared):
        if not _is_apart(a, b):
            break
        lasting = step
    last, *values = shared[-1]
    return Parting(first=first, lasting=lasting, last=last, values=(values[0], values[1]))


def _is_apart(a: float, b: float) -> bool:
    """Whether a reader sees them apart; a NaN is apart from every number, not from a NaN."""
    if a != a or b != b:
        return (a != a) != (b != b)
    return a != b and not abs(a - b) < APART * max(abs(a), abs(b))


def _bits(value: float) -> bytes:
    return struct.pack("d", value)
