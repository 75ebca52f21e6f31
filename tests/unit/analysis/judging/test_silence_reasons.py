"""Reasons that speak of silence and of outputs that know nothing."""

from itertools import permutations

from ablate.analysis.diagnosis.trivial import Likeness, TrivialLoss
from ablate.analysis.judging.silence_reasons import _trivial_sentence


def like(output: str) -> Likeness:
    return Likeness(losses=(TrivialLoss(name="l1", value=1.0, trivial={output: 1.0}),))


def test_of_outputs_that_are_as_frequent_the_one_of_the_first_run_is_named() -> None:
    for names in permutations(("silence", "mean", "white", "other")):
        assert f"most like '{names[0]}'" in _trivial_sentence([like(name) for name in names])


def test_the_most_frequent_output_is_named() -> None:
    assert "most like 'mean'" in _trivial_sentence([like(n) for n in ("other", "mean", "mean")])
