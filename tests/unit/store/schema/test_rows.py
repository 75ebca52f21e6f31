import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.spool.batch import StepValues
from ablate.store.schema.rows import decode, encode, has_repeats, new_rows, rows_in_order


def bits(value: float) -> bytes:
    return b"nan" if math.isnan(value) else struct.pack("<d", value)


@given(st.floats())
def test_any_float_comes_back_bit_for_bit(value):
    stored, kind = encode(value)

    assert bits(decode(stored, kind)) == bits(value)
    assert stored is None or math.isfinite(stored)


@pytest.mark.parametrize(
    ("value", "row"),
    [
        (2.5, (2.5, 0)),
        (math.nan, (None, 1)),
        (math.inf, (None, 2)),
        (-math.inf, (None, 3)),
        (-0.0, (0.0, 4)),
    ],
)
def test_kinds_have_these_numbers_in_the_table(value, row):
    assert encode(value) == row


def at(step: int, *keys: str) -> StepValues:
    return StepValues(step, 1.0, keys, (1.0,) * len(keys))


@pytest.mark.parametrize(
    "logs",
    [
        [],
        [at(1, "a"), at(2, "a")],
        [at(1, "a", "b"), at(2, "a"), at(3, "a", "b")],
        [at(1, "a"), at(1, "b"), at(2, "a"), at(2, "b")],
    ],
)
def test_logs_without_repeats_are_recognised(logs):
    assert not has_repeats(logs)


@pytest.mark.parametrize(
    "logs",
    [
        [at(1, "a"), at(1, "a")],
        [at(2, "a"), at(1, "a"), at(2, "a")],
        [at(1, "a"), at(1, "a", "b")],
    ],
)
def test_repeats_are_never_missed(logs):
    assert has_repeats(logs)


def test_only_special_values_and_late_logs_need_all_columns():
    series = {"a": 7, "b": 8, "c": 9}
    logs = [
        StepValues(1, 5.0, ("a", "b"), (1.0, -0.0)),
        StepValues(2, 6.0, ("a", "b"), (0.0, math.inf)),
        StepValues(2, 9.0, ("c",), (3.0,)),
    ]

    rows = new_rows(logs, series, lambda log: log.time if log.time == 9.0 else None)

    assert list(rows.plain) == [(7, [1, 2], (1.0, 0.0))]
    assert list(rows.full) == [(8, 1, 0.0, 4, None), (8, 2, None, 2, None), (9, 2, 3.0, 0, 9.0)]


def test_rows_in_order_keep_order_and_time():
    logs = [StepValues(1, 5.0, ("a",), (1.0,)), StepValues(1, 6.0, ("a",), (2.0,))]

    assert list(rows_in_order(logs, {"a": 7})) == [(7, 1, 1.0, 0, 5.0), (7, 1, 2.0, 0, 6.0)]
