"""What is meant by the name of a metric, and what is said of one that nothing has."""

from __future__ import annotations

import pytest

from ablate.errors import NotFoundError
from ablate.planning.lookup import named_metrics

MANY = [f"{split}/loss/term_{n}" for split in ("train", "valid") for n in range(150)]


@pytest.mark.parametrize(
    ("known", "pattern", "hint"),
    [
        (MANY, "vaild/*", "did you mean 'valid/*'?"),
        (MANY, "valid/loss/trem_149", "did you mean 'valid/loss/term_149'?"),
        (MANY, "zzz", "known: train/*, valid/*"),
        (MANY, "zzz/*", "known: train/*, valid/*"),
        (["train/loss/a", "train/loss/b"], "zzz", "known: train/loss/a, train/loss/b"),
    ],
)
def test_hint_is_the_closest_or_short(known: list[str], pattern: str, hint: str) -> None:
    with pytest.raises(NotFoundError) as raised:
        named_metrics("toy", known, [pattern])

    assert raised.value.hint == hint
