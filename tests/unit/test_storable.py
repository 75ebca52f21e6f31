import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import UsageError
from ablate.storable import check_name, explanation, from_json, name_fault, to_json

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@given(values)
def test_json_comes_back_as_given_and_is_strict(value):
    text = to_json(value)

    assert from_json(text) == value
    assert json.loads(text, parse_constant=refuse_constant) is not refuse_constant
    text.encode()


def test_numbers_that_json_lacks_are_objects_that_say_so():
    assert to_json([math.inf]) == '[{"value": null, "kind": "+inf"}]'
    assert math.isnan(from_json(to_json({"x": math.nan}))["x"])
    assert math.copysign(1, from_json(to_json(-0.0))) == -1


def test_integers_and_floats_stay_what_they_are():
    assert [type(value) for value in from_json(to_json([1, 1.0, True, 2**70]))] == [
        int,
        float,
        bool,
        int,
    ]


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, {"value": None, "kind": "nan"}, b"x", {"a": {"b": {1, 2}}}]
)
def test_what_is_not_json_is_refused(value):
    with pytest.raises(UsageError, match="JSON"):
        to_json(value)


@pytest.mark.parametrize("name", ["a", "é🎛️", "x" * 1024, " ", "..", "-x", "\x1b[31m"])
def test_any_text_is_a_name(name):
    assert name_fault(name) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [("", "empty"), ("a\0", "NUL"), ("\udcff", "surrogate"), ("é" * 513, "1026 bytes")],
)
def test_name_that_cannot_be_stored_is_refused_saying_why(name, fault):
    with pytest.raises(UsageError, match=f"variant name .*{fault}"):
        check_name(name, "variant name")


@given(st.text(st.characters()))
def test_explanations_can_always_be_stored(text):
    shown = explanation(text)

    assert shown is not None
    assert "\0" not in shown
    shown.encode()


def test_no_explanation_stays_none():
    assert explanation(None) is None
