"""A key that a newer trainer adds leaves the runs of before with their identity."""

from pathlib import Path

from ablate.identity import flatten
from trainer.spec import BUNDLED

RELEASED = Path(__file__).with_name("released_keys.txt").read_text().split()
"""Config keys of the first release. Only a change of `BundledTrainer.version` may change them."""


def test_each_key_of_the_config_is_released_or_says_what_its_absence_meant() -> None:
    now = set(flatten(BUNDLED.resolve({})))

    unsaid = now - set(RELEASED) - set(BUNDLED.absent_means)

    assert unsaid == set(), "say in absent_means of trainer/spec.py what runs without them did"


def test_no_released_key_is_gone() -> None:
    assert set(RELEASED) - set(flatten(BUNDLED.resolve({}))) == set()


def test_what_an_absence_meant_is_a_value_that_the_config_takes() -> None:
    for key, value in BUNDLED.absent_means.items():
        assert flatten(BUNDLED.resolve({key: value}))[key] == value
