"""The page of faults names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
ROWS = [
    line
    for line in (ROOT / "docs" / "reference" / "faults.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| fault")
]


def test_every_row_has_a_test_that_is_there_or_says_for_what_it_waits():
    for row in ROWS:
        named = re.findall(r"`([\w/]+(?:\.py)?)`", row.rpartition(" | ")[2])
        assert named or "**waits**" in row, row
        for name in named:
            places = [ROOT / name] if "/" in name else list(TESTS.rglob(name))
            assert [place.exists() for place in places] == [True], f"{name}: {row}"


def test_no_row_is_there_twice():
    assert len({row.split(" | ")[0] for row in ROWS}) == len(ROWS) >= 68
