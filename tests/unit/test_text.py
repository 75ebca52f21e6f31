"""Values and counts in sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.planning.study_file.document import parse_scalar
from ablate.text import counted, csv_text, from_csv_text, printable_lines, written


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, "1"),
        ("1", '"1"'),
        (1e-3, "0.001"),
        ("1e-3", '"1e-3"'),
        (True, "true"),
        ("True", '"True"'),
        (None, "null"),
        ("null", '"null"'),
        ("", '""'),
        (" x", '" x"'),
        ("adamw", "adamw"),
        ("0.075 +-20%", "0.075 +-20%"),
        ("größer", "größer"),
        ({"a": [1, "b"]}, '{"a":[1,"b"]}'),
    ],
)
def test_value_is_written_so_that_its_kind_is_seen(value: object, shown: str) -> None:
    assert written(value) == shown
    assert parse_scalar(written(value)) == value


def test_nouns_agree_with_their_number() -> None:
    assert [counted(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


@given(text=st.text() | st.text(alphabet="'=+-@\t\r1e.x"))
def test_cell_of_csv_is_no_formula_and_comes_back(text: str) -> None:
    cell = csv_text(text)

    assert from_csv_text(cell) == text
    if cell[:1] in set("=+-@\t\r") and len(cell) > 1:
        float(cell)


@given(text=st.text())
def test_printable_lines_hold_nothing_that_a_terminal_obeys(text: str) -> None:
    assert not set(printable_lines(text)) & set("\x1b\x07\x08\r\x9b\u202e\u2066")
