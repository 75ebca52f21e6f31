"""Values and counts in sentences."""

from __future__ import annotations

import pytest

from ablate.planning.document import parse_scalar
from ablate.text import counted, written


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
