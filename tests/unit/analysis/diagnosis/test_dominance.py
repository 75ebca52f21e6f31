"""One term that drowns the others is a cause whatever the level is; made-up curves."""

from typing import Any

import pytest

from ablate.analysis.diagnosis.causes import causes_of
from ablate.domain import RunState
from tests.support.factories import make_data

STEPS = 11
FALLS = [1.0 - 0.05 * i for i in range(STEPS)]
FLAT = [1.0] * STEPS
DROWNED = {
    "train/grad/hinge": [300.0] * STEPS,
    "train/grad/l1": [0.05] * STEPS,
    "train/grad/sc": [0.06] * STEPS,
    "train/loss/l1": FLAT,
    "train/loss/sc": FLAT,
    "train/weighted/hinge": [999.0] * STEPS,
    "train/loss/total": [1000.0] * STEPS,
}


def found(keys: dict[str, Any], **changes):
    data = make_data({"base": dict.fromkeys(range(2), keys)}, every=10, **changes)
    return causes_of(data, 100)["base"]


def names(keys, **changes):
    return [cause.name for cause in found(keys, **changes)]


def test_a_term_that_drowns_all_others_is_named_first_with_gradient_and_share():
    (cause,) = found(DROWNED)

    assert cause.name == "one term dominates"
    assert cause.sentence.startswith(
        "hinge drowns all other terms: its gradient at the output is 5000 times that of the next, "
        "sc (train/grad/hinge, train/grad/sc), and it is 99.9% of the total"
    )
    assert cause.sentence.endswith("(2 of 2 runs)")
    assert cause.evidence["train/grad/hinge"] == 300.0


@pytest.mark.parametrize(
    "changes",
    [
        {"train/loss/l1": FALLS},
        {"train/grad/l1": [6.0] * STEPS},
        {"train/grad/hinge": [300.0, 300.0]},
        {"valid/loss/l1": FALLS, "valid/silent/l1": FLAT},
    ],
    ids=["the others are learned", "the next is not far", "one record", "better than silence"],
)
def test_a_large_term_beside_which_the_rest_is_learned_is_no_cause(changes):
    assert names(DROWNED | changes) == []


def test_an_output_that_silence_would_match_is_not_learned_though_its_losses_fell():
    keys = DROWNED | {
        "train/loss/l1": FALLS,
        "valid/loss/l1": FALLS,
        "valid/silent/l1": [0.45] * 11,
    }

    assert names(keys) == ["one term dominates"]


def test_a_run_that_diverged_has_learned_nothing():
    keys = DROWNED | {"train/loss/l1": FALLS}
    states = dict.fromkeys([("base", 0), ("base", 1)], RunState.DIVERGED)

    assert names(keys, states=states) == ["one term dominates"]


def inside(*ratios):
    curve = {10 * i + 10: ratio for i, ratio in enumerate(ratios)}
    return {
        "train/grad_in/commitment": {step: 0.05 * ratio for step, ratio in curve.items()},
        "train/grad_in/output": dict.fromkeys(curve, 0.05),
    }


def test_a_term_inside_the_codec_that_drives_the_encoder_is_named_though_it_has_won_since():
    (cause,) = found(inside(3.0, 1.4, 0.5, 0.2, 0.2))

    assert cause.name == "an inner term dominates"
    assert cause.sentence.startswith(
        "commitment decides what is encoded: at the quantizer's input its gradient is up to 3 "
        "times that of all terms of the output together"
    )
    assert cause.evidence == {"train/grad_in/commitment": pytest.approx(3.0)}


@pytest.mark.parametrize("ratios", [(0.006, 0.02, 0.04), (3.0,), (3.0, 0.5, 0.5), (2, 2, 0, 0, 0)])
def test_the_usual_commitment_one_record_and_a_strong_beginning_are_no_cause(ratios):
    assert names(inside(*ratios)) == []
