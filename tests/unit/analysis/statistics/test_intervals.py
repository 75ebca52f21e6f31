"""Means and their intervals against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablate.analysis.statistics.intervals import around, mean_interval, standard_deviation

numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))


@given(st.lists(numbers, min_size=2, max_size=12).filter(lambda v: np.std(v) > 1e-3))
def test_interval_of_a_mean_equals_scipy(values):
    interval = mean_interval(values)

    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_one_value_has_no_interval():
    assert mean_interval([3.0]).low is None


def test_an_interval_that_a_float_does_not_hold_has_no_ends():
    assert mean_interval([-1e308, 0.0, 1e308]).low is None
    assert around(1e308, 1e308) == (None, None)


@pytest.mark.parametrize("values", [[0.1, 0.1, 0.1], [0.3, 0.1 + 0.2, 0.3], [7.7e300] * 5])
def test_seeds_that_differ_by_rounding_have_no_spread(values):
    interval = mean_interval(values)

    assert interval.low == interval.high == interval.mean


def test_a_small_spread_that_is_none_of_rounding_is_kept():
    assert standard_deviation([1.0, 1.0 + 1e-12]) == pytest.approx(1e-12 / 2**0.5, rel=1e-3)
