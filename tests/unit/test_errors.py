"""What was meant by a name that nobody knows."""

import pytest

from ablate.errors import closest, did_you_mean

PHASES = ("phase1", "phase2a", "phase_a", "phase_fixed", "base")


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("phaseA", PHASES, "phase_a"),
        ("Phase-Fixed", PHASES, "phase_fixed"),
        ("bsae", PHASES, "base"),
        ("fats", ("fast", "fast-s0", "slow"), "fast"),
        ("tb", ("tensorboard", "text", "huggingface"), "tensorboard"),
        ("hf", ("tensorboard", "text", "huggingface"), "huggingface"),
        ("tx", ("tensorboard", "text", "toxic"), "text"),
        ("t", ("tensorboard",), None),
        ("zebra", PHASES, None),
        ("zebra", (), None),
        ("tr", ("tensor", "timer"), None),
    ],
)
def test_the_name_that_was_meant(name: str, known: tuple[str, ...], meant: str | None) -> None:
    assert closest(name, known) == meant


def test_where_none_is_close_some_are_listed_and_the_rest_counted() -> None:
    many = [f"name{i:02}" for i in range(25)]

    assert did_you_mean("zebra", ("b", "a")) == "known: a, b"
    assert str(did_you_mean("zebra", many)).endswith("name19 and 5 more")
    assert did_you_mean("zebra", ()) is None
