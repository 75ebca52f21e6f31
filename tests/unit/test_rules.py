"""Targets, metric rules and guards: text in, judgement out."""

from __future__ import annotations

import math

import pytest

from ablate.errors import RuleError
from ablate.rules import Condition, Guard, MetricRule, Status, Target


@pytest.mark.parametrize(
    ("text", "value", "initial", "status"),
    [
        # Every judgement of the hand-written report that this product replaces.
        ("0.075 +-20%", 0.0037, 0.231, Status.CRITICAL),
        ("0.075 +-20%", 0.080, 0.231, Status.GOOD),
        ("drift < 10%", 0.536, 0.564, Status.GOOD),
        ("drift < 10%", 0.109, 0.135, Status.DEGRADING),
        ("drift < 10%", 0.022, 0.083, Status.CRITICAL),
        (">= 8", 8.6, None, Status.GOOD),
        (">= 8", 4.9, None, Status.DEGRADING),
        (">= 8", 3.9, None, Status.CRITICAL),
        ("<= 1.2", 1.3, None, Status.DEGRADING),
        ("1.0 ± 0.1", 0.95, None, Status.GOOD),
        ("0.075 +-20%", math.nan, None, Status.CRITICAL),
        ("0.075 +-20%", None, None, Status.NO_DATA),
        ("drift < 10%", 1.0, None, Status.NO_DATA),
        ("drift < 10%", 1.0, 0.0, Status.NO_DATA),
        ("drift < 10%", math.nan, None, Status.CRITICAL),
    ],
)
def test_target_judges(
    text: str, value: float | None, initial: float | None, status: Status
) -> None:
    assert Target.parse(text).judge(value, initial) is status


@pytest.mark.parametrize(
    "text", ["", "0.075", "0.075 +-", "about 3", "drift < 0%", "1 +- 0", ">= x"]
)
def test_target_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        Target.parse(text)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("last", (700, 700)),
        ("mean_last_10%", (631, 700)),
        ("mean_last_50", (651, 700)),
        ("mean_last_5000", (0, 700)),
        ("min", (0, 700)),
    ],
)
def test_rule_says_which_steps_count(text: str, window: tuple[int, int]) -> None:
    assert MetricRule.parse(text).window(700) == window


@pytest.mark.parametrize("text", ["mean_last_0%", "mean_last_101%", "mean_last_0", "median", ""])
def test_rule_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        MetricRule.parse(text)


def test_guard_reads_its_condition_and_nan_satisfies_none() -> None:
    guard = Guard.parse("collapse", "train/audio/rms<=7.5e-3", for_steps=10, do="flag")

    assert guard.conditions == (Condition("train/audio/rms", "<=", 0.0075),)
    assert guard.holds({"train/audio/rms": 0.0075})
    assert not guard.holds({"train/audio/rms": 0.0076})
    assert not guard.holds({"train/audio/rms": math.nan})


def test_guard_with_several_conditions_wants_all_of_them() -> None:
    guard = Guard.parse("faint", "a/level<0.25 and  a/silence >= 0.8 and a/level > 0", do="flag")

    assert guard.when == "a/level < 0.25 and a/silence >= 0.8 and a/level > 0"
    assert guard.keys == ("a/level", "a/silence")
    assert Guard.parse("faint", guard.when, do="flag") == guard
    assert guard.holds({"a/level": 0.1, "a/silence": 0.8})
    assert not guard.holds({"a/level": 0.1, "a/silence": 0.7})
    assert not guard.holds({"a/level": 0.0, "a/silence": 0.8})


@pytest.mark.parametrize(
    ("when", "holding", "others"),
    [
        ("a/loss is nan", [math.nan], [0.0, math.inf, -math.inf]),
        ("a/loss is  NaN", [math.nan], [1e300]),
        ("a/loss is not finite", [math.nan, math.inf, -math.inf], [0.0, -1e300]),
        ("a/loss Is Not  Finite", [math.inf], [1.0]),
    ],
)
def test_guard_can_say_that_a_value_is_no_number(when, holding, others) -> None:
    guard = Guard.parse("broken", when, do="flag")

    assert guard.when in ("a/loss is nan", "a/loss is not finite")
    assert Guard.parse("broken", guard.when, do="flag") == guard
    assert all(guard.holds({"a/loss": value}) for value in holding)
    assert not any(guard.holds({"a/loss": value}) for value in others)


def test_guard_joins_no_number_with_comparisons() -> None:
    guard = Guard.parse("broken", "a/loss is nan and a/rms < 0.1 and a/x is not finite", do="flag")

    assert guard.keys == ("a/loss", "a/rms", "a/x")
    assert guard.holds({"a/loss": math.nan, "a/rms": 0.05, "a/x": math.inf})
    assert not guard.holds({"a/loss": math.nan, "a/rms": math.nan, "a/x": math.inf})


@pytest.mark.parametrize(
    ("text", "values", "number"),
    [
        *((rule, [1.0, 2.0, math.nan], math.nan) for rule in ("last", "mean_last_3", "min", "max")),
        *((rule, [1.0, 2.0, math.inf], math.inf) for rule in ("last", "mean_last_3", "min", "max")),
        *((rule, [1.0, 2.0, -math.inf], -math.inf) for rule in ("mean_last_3", "min", "max")),
        ("min", [3.0, math.nan, 2.0, 4.0], 2.0),
        ("max", [3.0, math.nan, 2.0, 4.0], 4.0),
        ("max", [3.0, math.inf, 2.0], math.inf),
        ("min", [math.nan], math.nan),
    ],
)
def test_curve_that_ends_in_no_number_is_none_whatever_the_rule(text, values, number) -> None:
    assert MetricRule.parse(text).reduce(values) == pytest.approx(number, nan_ok=True)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "x is",
            "x is not",
            "x is not nan",
            "is nan",
            "x is 3",
            "x is nan y is nan",
            "x is nan or y",
        ),
        *("", "train/audio/rms", "x << 3", "x < y", "x == 3"),
        *("x < 3 and", "and x < 3", "x < 3 and and y < 3", "x < 3 or y < 3", "x < 3, y < 3"),
    ],
)
def test_guard_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match="join several with 'and'"):
        Guard.parse("g", text, do="flag")


@pytest.mark.parametrize("threshold", ["0.12345678", "1e-09", "0.1", "123456789.5", "-3"])
def test_guard_keeps_its_threshold_to_the_last_digit(threshold: str) -> None:
    guard = Guard.parse("g", f"train/audio/rms < {threshold}", do="flag")

    again = Guard.parse("g", guard.when, do="flag")

    (condition,) = again.conditions
    assert condition.threshold == float(threshold)
