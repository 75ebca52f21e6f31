"""What is a number, and what a double makes of it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.attempt.numbers import check_step, exact_float
from tests.support.attempts import Attempt


@pytest.mark.parametrize(
    ("value", "stored", "given"),
    [
        (2**53, 2.0**53, None),
        (2**53 + 1, 2.0**53, "9007199254740993"),
        (-(2**63), -(2.0**63), None),
        (2**63 - 1, 2.0**63, "9223372036854775807"),
        (Decimal("0.5"), 0.5, None),
        (Decimal("0.1"), 0.1, "0.1"),
        (Fraction(1, 3), 1 / 3, "1/3"),
        (np.float16(0.1), 0.0999755859375, None),
        (np.longdouble(1) + np.longdouble(2) ** -60, 1.0, "1.0000000000000000009"),
        (torch.tensor(0.1, dtype=torch.bfloat16), 0.10009765625, None),
    ],
)
def test_value_that_a_double_does_not_hold_is_given_back_as_text(
    value: Any, stored: float, given: str | None
) -> None:
    assert exact_float("a/b", value) == (stored, given)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (2**63, ValueError, "a/b: the integer 9223372036854775808 is outside"),
        (np.uint64(2**63), ValueError, "a/b: the integer 9223372036854775808 is outside"),
        pytest.param(10**5000, ValueError, r"the integer \(int of more digits", id="huge"),
        (Decimal("1e400"), ValueError, r"a/b: Decimal\('1E\+400'\) is too large"),
        (Decimal("sNaN"), ValueError, r"a/b: Decimal\('sNaN'\) is no number"),
        (np.zeros(2), TypeError, r"a/b: a value of shape \(2,\) is not one number"),
        (torch.zeros(2, 3), TypeError, r"a/b: a value of shape \(2, 3\) is not one number"),
        (np.timedelta64(3, "ns"), TypeError, "a/b: .* is a time, not a number"),
        ("x" * 1000, TypeError, r"a/b: 'x{59}… is str, not a number"),
    ],
)
def test_what_is_no_number_is_refused_by_name(
    value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        exact_float("a/b", value)


def test_steps_are_integers_in_range() -> None:
    assert type(check_step(np.int64(5))) is int
    for step, error in ((True, TypeError), (1.0, TypeError), (-1, ValueError), (2**63, ValueError)):
        with pytest.raises(error, match=f"step {step}"):
            check_step(step)


def test_device_tensors_are_checked_at_once_and_copied_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablate.attempt.device_log.is_on_device", lambda _: True)
    attempt = Attempt(tmp_path)
    for odd in (torch.zeros(2), torch.tensor(1j)):
        with pytest.raises(TypeError, match="a/odd: "):
            attempt.context.log({"a/b": torch.tensor(1.0), "a/odd": odd}, 1)
    with pytest.raises(ValueError, match="step -1"):
        attempt.context.log({"a/b": torch.tensor(1.0)}, -1)

    values = {
        "a/long": torch.tensor(2**53 + 1),
        "a/half": torch.tensor(0.1, dtype=torch.bfloat16),
        "a/flag": torch.tensor(True),
        "a/plain": 0.1,
    }
    attempt.context.log(values, 2)
    assert attempt.context.ending

    (log,) = attempt.read().logs
    expected = {"a/long": 2.0**53, "a/half": 0.10009765625, "a/flag": 1.0, "a/plain": 0.1}
    assert dict(zip(log.keys, log.values, strict=True)) == expected
    assert [event.data["given"] for event in attempt.read().events] == ["9007199254740993"]
