import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.analysis.statistics.intervals import ROUNDING
from ablate.analysis.wording import number, percent, span, spread
from ablate.render.formats import interval, mean_with_error, signed
from ablate.text import printable


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (0.08023, 0.00418, "0.080 ±0.004"),
        (0.08023, 0.00321, "0.0802 ±0.0032"),
        (1.2186, 0.0142, "1.219 ±0.014"),
        (-41.93, 0.52, "-41.9 ±0.5"),
        (95.2, 18.3, "95 ±18"),
        (12345.6, 234.0, "12346 ±234"),
        (0.0037, None, "0.0037"),
        (0.536, 0.0, "0.536"),
        (0.536, 5.6e-17, "0.536"),
        (-0.3, 1.1e-16, "-0.3"),
        (7e300, 2e284, "7e300"),
        (0.0, 0.5, "0.0 ±0.5"),
        (0.0, 1e7, "(0.0 ±1.0)e7"),
        (1e-9, 5.0, "0.00 ±5.00"),
        (5e-324, 5e-324, "4.94e-324 ±4.9e-324"),
        (0.064041, 0.00000027, "0.06404 ±2.7e-7"),
        (3.71e-7, 2.2e-8, "(3.71 ±0.22)e-7"),
        (math.nan, 0.1, "NaN"),
        (-math.inf, None, "-Infinity"),
    ],
)
def test_digits_are_set_by_the_uncertainty(mean, half, text):
    assert mean_with_error(mean, half) == text


def test_differences_carry_their_sign():
    assert signed(0.5, 0.1) == "+0.50 ±0.10"
    assert signed(-0.5, 0.1) == "-0.50 ±0.10"
    assert signed(None) == "-"


def test_interval_is_rounded_by_its_width():
    assert interval(-0.08421, -0.06833) == "[-0.084, -0.068]"
    assert interval(None, None) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0037, "0.0037"),
        (8.5512, "8.55"),
        (12345.6, "12346"),
        (0.00001234, "1.23e-5"),
        (1.5e7, "1.5e7"),
        (0.0, "0"),
        (None, "-"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
    ],
)
def test_number_keeps_three_significant_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(-0.979, "-97.9%"), (2.61, "+261%"), (0.00032, "+0.032%"), (0.0, "0%"), (None, "-")],
)
def test_percent(fraction, text):
    assert percent(fraction) == text


def test_ranges_of_steps_and_values_collapse_when_equal():
    assert (span([300, 300]), span([420, 300])) == ("300", "300 to 420")
    assert (spread([0.0037, 0.00370001]), spread([0.1, 0.2])) == ("0.0037", "0.1 to 0.2")


@given(st.floats(-1e12, 1e12), st.floats(1e-12, 1e12))
def test_rounding_never_moves_a_mean_by_more_than_the_uncertainty(mean, half):
    text = mean_with_error(mean, half)
    exponent = 0
    if text.startswith("("):
        text, _, tail = text[1:].partition(")e")
        exponent = int(tail)
    shown = float(text.split(" ")[0]) * 10.0**exponent

    # Where the interval is narrower than that, four digits are shown; beside rounding, three.
    least = 1e-3 if half > ROUNDING * abs(mean) else 5e-3
    assert abs(shown - mean) <= max(half, least * abs(mean)) * (1 + 1e-9)


def test_control_characters_are_shown_and_not_obeyed():
    assert printable("a\x1b[31mb") == "a\\x1b[31mb"
    assert printable("a\nb\u202ec") == "a\\nb\\u202ec"
    assert printable("é 漢字 👩\u200d🔬") == "é 漢字 👩\u200d🔬"
