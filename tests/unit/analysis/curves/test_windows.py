import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.analysis.curves.windows import (
    initial_value,
    relative_change,
    trend_windows,
    value_at,
    window_mean,
)
from ablate.domain import Kind
from ablate.rules import MetricRule, mean
from tests.support.factories import make_curve
from tests.support.present import present


def value(points, rule, at_step):
    """Return the value that there must be."""
    curve = make_curve("r", "train/loss/l1", points)
    return present(value_at(curve, MetricRule.parse(rule), at_step))


def test_last_takes_the_value_at_the_step():
    found = value({0: 5.0, 10: 4.0, 20: 3.0}, "last", 10)

    assert (found.value, found.step, found.is_exact) == (4.0, 10, True)


def test_last_without_a_point_at_the_step_takes_the_latest_before_it_and_says_so():
    found = value({0: 5.0, 10: 4.0, 20: 3.0}, "last", 15)

    assert (found.value, found.step, found.is_exact) == (4.0, 10, False)


def test_mean_of_the_last_tenth_leaves_out_what_comes_after_the_compared_step():
    points = {step: float(step) for step in range(0, 201, 10)}

    found = value(points, "mean_last_10%", 100)

    assert (found.value, found.points) == (100.0, 1)
    assert value(points, "mean_last_50%", 100).value == 80.0
    assert value(points, "mean_last_21", 100).value == 90.0


def test_mean_over_an_empty_window_falls_back_to_the_latest_point_and_says_so():
    found = value({0: 1.0, 50: 2.0}, "mean_last_10", 100)

    assert (found.value, found.step, found.is_exact) == (2.0, 50, False)


@pytest.mark.parametrize(("rule", "expected"), [("min", 1.0), ("max", 9.0)])
def test_extremes_look_only_up_to_the_compared_step(rule, expected):
    assert value({0: 9.0, 10: 1.0, 20: 0.5, 30: 99.0}, rule, 10).value == expected


def test_a_mean_over_a_nan_is_nan_and_counts_it():
    found = value({0: 1.0, 99: 2.0, 100: math.nan}, "mean_last_10%", 100)

    assert found.kind is Kind.NAN
    assert found.not_finite == 1


def test_a_mean_over_one_infinity_is_that_infinity():
    assert value({98: 1.0, 99: math.inf}, "mean_last_10", 99).kind is Kind.POSITIVE_INFINITY
    assert value({98: -math.inf, 99: math.inf}, "mean_last_10", 99).kind is Kind.NAN


def test_an_extreme_passes_over_nan_but_counts_it():
    found = value({0: math.nan, 10: 3.0, 20: 2.0}, "min", 20)

    assert (found.value, found.not_finite) == (2.0, 1)
    assert value({0: math.nan}, "max", 20).kind is Kind.NAN


def test_a_curve_that_starts_later_has_no_value():
    later = make_curve("r", "train/loss/l1", {50: 1.0})

    assert value_at(later, MetricRule.parse("last"), 40) is None
    assert value_at(None, MetricRule.parse("last"), 40) is None
    assert initial_value(None) is None


def test_trend_windows_of_2500_steps_are_those_of_a_hand_written_report():
    assert [w.label for w in trend_windows(2500)] == ["0-500", "1K-1.5K", "2K-2.5K"]


def test_window_holds_its_end_and_step_zero_but_not_its_start():
    curve = make_curve("r", "k", {0: 1.0, 500: 3.0, 1000: 10.0, 1001: 20.0, 1500: 40.0})
    first, middle, last = trend_windows(2500)

    assert window_mean(curve, first) == 2.0
    assert window_mean(curve, middle) == 30.0
    assert window_mean(curve, last) is None


def test_change_says_nothing_where_a_fraction_has_no_meaning():
    assert relative_change("train/audio/rms", 0.0037, 0.231) == pytest.approx(-0.984, abs=1e-3)
    assert relative_change("valid/audio/si_sdr_db", -20.0, -40.0) is None
    assert relative_change("k", 1.0, 0.0) is None
    assert relative_change("k", 1.0, -1.0) is None
    assert relative_change("k", math.nan, 1.0) is None


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_mean_of_finite_values_is_finite_and_between_them(values):
    # A sum of large floats can overflow; the mean of the same floats cannot.
    slack = 1e-9 * max(abs(v) for v in values)
    assert min(values) - slack <= mean(values) <= max(values) + slack


def test_the_untrained_model_never_stands_in_for_a_trained_one() -> None:
    from ablate.analysis.curves.windows import value_at
    from ablate.rules import MetricRule
    from ablate.store.curves import Curve

    curve = Curve(run_id="r", key="a/b", steps=(0,), values=(1.0,), times=(0.0,))

    assert value_at(curve, MetricRule.parse("last"), 60) is None
    assert value_at(curve, MetricRule.parse("mean_last_10%"), 60) is None
    assert value_at(curve, MetricRule.parse("last"), 0) is not None
    assert value_at(curve, MetricRule.parse("min"), 60) is not None
