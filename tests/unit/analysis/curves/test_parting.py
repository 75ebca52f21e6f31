"""Where two curves part: to the bit, and for a reader."""

from __future__ import annotations

import math

from ablate.analysis.curves.parting import Parting, parting_of
from ablate.store.curves import Curve
from tests.support.present import present


def curve(*values: float, first: int = 0, every: int = 10) -> Curve:
    steps = tuple(range(first, first + every * len(values), every))
    return Curve(run_id="r", key="train/loss/l1", steps=steps, values=values)


def parting(one: Curve, other: Curve) -> Parting:
    return present(parting_of(one, other))


def test_equal_curves_never_part() -> None:
    found = parting(curve(1.0, 0.5, math.nan), curve(1.0, 0.5, math.nan))

    assert (found.first, found.lasting, found.last) == (None, None, 20)


def test_the_last_bit_counts_and_a_reader_sees_a_fifth() -> None:
    one = curve(1.0, 0.8, 0.6, 0.5, 0.4)
    other = curve(1.0, math.nextafter(0.8, 1), 0.2, 0.5, 0.1)

    found = parting(one, other)

    assert (found.first, found.lasting) == (10, 40)
    assert found.values == (0.4, 0.1)


def test_zero_against_minus_zero_differs_to_the_bit_and_for_nobody_else() -> None:
    found = parting(curve(0.0), curve(-0.0))

    assert (found.first, found.lasting) == (0, None)


def test_what_ends_in_nan_is_apart_from_what_does_not() -> None:
    found = parting(curve(1.0, 0.9, math.nan), curve(1.0, 0.9, 0.8))

    assert (found.first, found.lasting) == (20, 20)
    assert parting(curve(math.inf), curve(-math.inf)).lasting == 0


def test_only_shared_steps_count() -> None:
    found = parting(curve(1.0, 2.0, 3.0), curve(2.0, 3.0, 9.0, first=10))

    assert (found.first, found.last) == (None, 20)
    assert parting_of(curve(1.0), curve(1.0, first=5)) is None
