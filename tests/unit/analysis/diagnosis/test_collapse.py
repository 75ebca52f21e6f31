"""Where and when a level is lost: trivial outputs, stages, pulls, events; made-up curves."""

import pytest

from ablate.analysis.diagnosis.collapse import collapse_of
from ablate.domain import Event
from tests.support.factories import COLLAPSE, make_data, make_scale_fix

LOST = {
    "train/audio/rms": [0.075] * 4 + [0.02] + [0.001] * 6,
    "train/audio/target_rms": [0.075] * 11,
}


def found(keys, **changes):
    data = make_data({"base": {0: LOST | keys, 1: LOST | keys}}, every=10, **changes)
    return collapse_of(data, "base", 100)


def trivial_keys(**nulls):
    return {f"null/{key.replace('__', '/')}": [value] for key, value in nulls.items()}


def test_losses_as_good_as_one_trivial_output_are_said_to_be_so():
    keys = {"valid/loss/l1": [0.1] * 10 + [0.0385], "valid/loss/sc": [2.0] * 10 + [1.01]}
    nulls = trivial_keys(silence__l1=0.038, silence__sc=1.0, mean__l1=0.0389, mean__sc=1.0401)

    collapse = found(keys | nulls)

    assert collapse.sentences[0] == (
        "every held-out loss that is trained on lies within 5% of what the trivial output "
        "'silence' gets (l1 1.01x and sc 1.01x)"
    )
    assert [loss.name for loss in collapse.trivial] == ["l1", "sc"]
    assert collapse.trivial[0].trivial == {"silence": 0.038, "mean": 0.0389}


def test_one_loss_away_from_it_makes_an_output_more_than_trivial_unless_nothing_is_trained_on_it():
    keys = {"valid/loss/l1": [0.038] * 11, "valid/loss/sc": [0.5] * 11}
    keys |= trivial_keys(silence__l1=0.038, silence__sc=1.0)
    weights = {"train/weighted/l1": [0.38] * 11, "train/weighted/sc": [0.0] * 11}

    assert not any("every held-out loss" in s for s in found(keys).sentences)
    assert "l1 1.00x" in found(keys | weights).sentences[0]


def test_where_the_level_is_lost_the_nearest_trivial_output_is_named_though_none_is_near():
    keys = {"valid/loss/l1": [0.035] * 11, "valid/loss/sc": [0.9] * 11}
    nulls = trivial_keys(silence__l1=0.038, silence__sc=1.0, white__l1=0.08, white__sc=1.4)
    kept = {"train/audio/rms": [0.075] * 11}

    (first, *_) = found(keys | nulls).sentences

    assert first.endswith("nearest to those of 'silence' (l1 0.92x and sc 0.90x)")
    assert found(keys | nulls | kept).sentences == ()


def test_the_stage_whose_gain_fell_most_is_where_the_level_is_lost():
    keys = {
        "train/stage/0_encoder": [1.0] + [0.9] * 10,
        "train/stage/1_decoder": [2.0] + [1.8] * 10,
        "train/stage/10_out": [0.2] + [0.0018] * 10,
        "train/stage/2_affine": [1.0] + [0.9] * 10,
    }

    collapse = found(keys)

    assert [stage.name for stage in collapse.stages] == ["encoder", "decoder", "affine", "out"]
    assert [stage.gain for stage in collapse.stages] == pytest.approx([0.9, 1.0, 1.0, 0.01])
    assert "the level is lost in the stage out: " in collapse.sentences[0]
    assert "by the factor 0.01 (encoder 0.9, decoder 1 and affine 1)" in collapse.sentences[0]


def test_stages_without_a_number_have_no_order_and_no_row():
    assert found({"train/stage/encoder": [1.0] * 11}).stages == ()


def test_the_term_that_shrinks_a_parameter_is_named():
    keys = {
        "train/pull/out_proj_weight/l1": [-0.3] * 11,
        "train/pull/out_proj_weight/anchor": [0.01] * 11,
        "train/pull/pre_rvq_weight/l1": [0.1] * 11,
    }

    collapse = found(keys)

    (sentence,) = [s for s in collapse.sentences if "shrinks" in s]
    assert sentence == ("what shrinks most: out_proj_weight by l1 (-0.3, all terms together -0.29)")


@pytest.mark.parametrize(
    ("step", "end"),
    [(30, "together with quantizer_activated (step 30, 2 of 2 runs)"), (90, "no event near it")],
)
def test_events_are_set_beside_the_step_at_which_the_level_was_lost(step, end):
    event = Event("quantizer_activated", step, {}, 0.0)

    collapse = found({}, events={("base", 0): [event], ("base", 1): [event]})

    (sentence,) = collapse.sentences
    assert sentence.startswith("below 50% of the target level for good from step 40 on")
    assert sentence.endswith(end)


def test_an_output_with_its_level_is_not_said_to_have_lost_it():
    keys = {"train/audio/rms": [0.075] * 11, "train/stage/0_out": [1.0] + [0.1] * 10}

    assert found(keys).sentences == ()


def test_a_run_of_an_old_trainer_still_gets_what_its_curves_tell():
    data = make_scale_fix(phases={"phase_a": COLLAPSE})

    collapse = collapse_of(data, "phase_a", 700)

    assert (collapse.trivial, collapse.stages, collapse.pulls) == ((), (), ())
    assert collapse.sentences[-1].startswith("below 50% of the target level for good from step")
