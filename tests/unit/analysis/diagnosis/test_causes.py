"""Likely causes from made-up curves: each is named for what it is, and the more certain first."""

import dataclasses
from typing import Any

import pytest

from ablate.analysis.diagnosis.causes import causes_of
from ablate.domain import RunState
from tests.support.factories import COLLAPSE, HEALTHY, make_data, make_scale_fix

STEPS = 11


def level(*values):
    """Return the keys of an output at these fractions of the target's level, each held a while."""
    held = [v for v in values for _ in range(STEPS)]
    return {
        "train/audio/rms": [0.075 * v for v in held],
        "train/audio/target_rms": [0.075] * len(held),
    }


def causes(keys: dict[str, Any], *, steps=100, seeds=2, **changes):
    data = make_data({"base": dict.fromkeys(range(seeds), keys)}, every=10, **changes)
    return causes_of(data, steps)["base"]


def names(found):
    return [cause.name for cause in found]


def with_configs(data, **configs):
    variants = tuple(
        dataclasses.replace(v, config=configs.get(v.name, v.config)) for v in data.variants
    )
    return dataclasses.replace(data, variants=variants)


def test_a_healthy_run_has_no_cause():
    data = make_scale_fix(phases={"phase_fixed": HEALTHY})

    assert causes_of(data, 700)["phase_fixed"] == ()


def test_a_run_without_any_of_the_keys_has_no_cause():
    assert causes({"loss": [1.0] * STEPS}) == ()


def test_a_change_without_effect_is_named_by_key_and_values():
    keys = {"train/loss/l1": [3.0, 2.0, float("nan"), 1.0], "train/perf/steps_per_s": [1.0] * 4}
    other = keys | {"train/perf/steps_per_s": [2.0] * 4}
    data = with_configs(
        make_data({"base": {0: keys, 1: keys}, "odd": {0: other, 1: other}}, every=10),
        base={"steps": 30, "quantizer": {"restart_below": 0.5}},
        odd={"steps": 30, "quantizer": {"restart_below": 5}},
    )

    (cause,) = causes_of(data, 30)["odd"]

    assert cause.name == "no effect"
    assert cause.sentence.startswith("quantizer.restart_below 0.5 -> 5 changes nothing here")
    assert "its one curve equals that of base bit for bit at 2 seeds" in cause.sentence
    assert cause.evidence == {"equal curves": 1, "seeds": 2}
    assert causes_of(data, 30)["base"] == ()


def test_curves_that_differ_in_the_last_bit_or_at_one_seed_alone_are_no_twins():
    keys = {"train/loss/l1": [3.0, 2.0, 1.0]}
    other = {"train/loss/l1": [3.0, 2.0000000000000004, 1.0]}
    configs = {"base": {"lr": 1}, "odd": {"lr": 2}}
    data = make_data({"base": {0: keys, 1: keys}, "odd": {0: keys, 1: other}}, every=10)

    assert causes_of(with_configs(data, **configs), 20)["odd"] == ()


def test_curves_that_never_move_say_nothing_of_the_config():
    keys = {"train/loss/l1": [1.0] * STEPS}
    data = make_data({"base": {0: keys}, "odd": {0: keys}}, every=10)

    assert causes_of(with_configs(data, base={"lr": 1}, odd={"lr": 2}), 100)["odd"] == ()


def test_a_rate_far_too_high_comes_before_what_it_brings_about():
    keys = {
        "train/update/encoder": [0.2] * STEPS,
        "train/update/out_proj": [0.1] * STEPS,
        "train/optim/clip_fraction": [1.0] * STEPS,
        "train/optim/lr": [0.1] * STEPS,
        "train/rvq/explained_variance": [0.1] * STEPS,
    }

    found = causes(keys, states={("base", 1): RunState.DIVERGED})

    assert names(found) == ["learning rate too high", "codes explain little"]
    assert "up to 0.2 of their own length (train/update/encoder;" in found[0].sentence
    assert "train/optim/lr 0.1, train/optim/clip_fraction 1" in found[0].sentence
    assert found[0].evidence["train/update/encoder"] == pytest.approx(0.2)


def test_first_steps_that_left_most_parts_without_a_gradient_were_too_long():
    keys = {
        "train/update/encoder": [0.1, 0.1, *[1e-7] * 9],
        "train/update/decoder": [0.1, 0.1, *[0.0] * 9],
        "train/update/out_proj": [0.2, 0.2, *[0.01] * 9],
    }

    (cause,) = causes(keys)

    assert cause.name == "learning rate too high"
    assert "2 of 3 parts were driven to where they hardly move any more" in cause.sentence


def test_a_usual_step_length_is_no_cause_even_if_it_was_long_at_first():
    assert causes({"train/update/encoder": [0.2, 0.1, *[0.002] * 9]}) == ()


def test_a_rate_far_too_low_is_named():
    assert names(causes({"train/update/encoder": [1e-8] * STEPS})) == ["learning rate too low"]


def test_a_rate_far_too_low_comes_before_what_it_brings_about():
    found = causes(
        level(3.0, 3.0)
        | {
            "train/update/encoder": [2e-7] * 2 * STEPS,
            "train/update/norm": [0.0] * 2 * STEPS,
            "train/optim/lr": [1e-8] * 2 * STEPS,
        },
        steps=210,
    )

    assert names(found)[0] == "learning rate too low"
    assert {"a part does not learn", "too loud"} <= set(names(found))
    assert "moves weights by 2e-7 of their own length" in found[0].sentence
    assert "at train/optim/lr 1e-8, so that the model is as good as untrained" in found[0].sentence


def test_short_steps_that_lead_far_in_a_long_run_are_no_cause():
    short = dict.fromkeys(range(0, 100_001, 10_000), 9e-6)

    assert names(causes({"train/update/encoder": short}, steps=100_000)) == []
    assert names(causes({"train/update/encoder": {1: 1e-8}})) == []


def test_a_part_that_stands_still_while_others_move_is_named_once():
    keys = {
        "train/update/encoder": [0.002] * STEPS,
        "train/update/out_proj": [0.0] * STEPS,
        "train/change/out_proj_weight": [0.0] * STEPS,
        "train/change/pre_rvq_weight": [0.1 * i for i in range(STEPS)],
    }

    (cause,) = causes(keys)

    assert cause.name == "a part does not learn"
    assert cause.sentence.startswith("out_proj does not learn: ")
    assert cause.evidence == {"train/update/out_proj": 0, "train/change/out_proj_weight": 0}


def test_where_nothing_moves_no_part_is_blamed():
    keys = {"train/update/encoder": [0.0] * STEPS, "train/update/out_proj": [0.0] * STEPS}

    assert causes(keys) == ()


@pytest.mark.parametrize("change", [0.0, 0.731], ids=["as drawn", "put there once"])
def test_codes_that_stay_are_named_with_what_they_explain(change):
    keys = {
        "train/change/codebook_q0": [0.0] + [change] * (STEPS - 1),
        "train/change/out_proj_weight": [0.1 * i for i in range(STEPS)],
        "train/rvq/perplexity_q0": [5.0] * STEPS,
        "train/rvq/explained_variance": [0.41] * STEPS,
    }

    (cause,) = causes(keys)

    assert cause.name == "codebook never updated"
    assert "the quantizer explains 41% of the variance of its input" in cause.sentence


def test_a_codebook_that_is_not_in_use_yet_is_not_missed():
    keys = {
        "train/change/codebook_q0": [0.1 * i for i in range(STEPS)],
        "train/change/codebook_q1": [0.0] * STEPS,
        "train/rvq/perplexity_q0": [5.0] * STEPS,
    }

    assert causes(keys) == ()


def test_a_level_term_too_weak_is_named_with_the_factor_it_lacks():
    keys = level(1.2, 0.4, 0.04) | {
        "train/force/l1": [-0.4] * 33,
        "train/force/sc": [-0.1] * 33,
        "train/force/anchor": [-0.001] * 11 + [0.001] * 22,
        "train/force/total": [-0.5] * 33,
        "train/weighted/anchor": [0.002] * 33,
        "train/loss/total": [2.0] * 33,
    }

    found = causes(keys, steps=320)

    assert names(found) == ["level term too weak", "terms pull quieter"]
    assert found[0].sentence.startswith("anchor is too weak to hold the level")
    assert "500 times more weakly" in found[0].sentence
    assert "it is 0.1% of the total" in found[0].sentence
    assert "most of all l1 (-0.4)" in found[1].sentence


def test_a_variant_that_differs_in_the_weak_term_alone_and_holds_its_level_is_proof():
    weak = level(1.2, 0.4, 0.04) | {
        "train/force/l1": [-0.4] * 33,
        "train/force/anchor": [0.001] * 33,
        "train/change/codebook_q0": [0.0] * 33,
        "train/change/out_proj": [0.1 * i for i in range(33)],
        "train/rvq/perplexity_q0": [5.0] * 33,
    }
    held = weak | level(1.2, 1.0, 1.0)
    data = make_data({"base": {0: weak}, "held": {0: held}, "other": {0: held}}, every=10)
    config = {"losses": {"anchor": {"weight": 0.001}}, "lr": 1}
    strong = {"losses": {"anchor": {"weight": 1}}, "lr": 1}

    alone = causes_of(with_configs(data, base=config, held=config, other=config), 320)["base"]
    proven = causes_of(with_configs(data, base=config, held=strong), 320)["base"]
    mixed = causes_of(with_configs(data, base=config, held=strong | {"lr": 2}), 320)["base"]

    assert names(alone)[0] == names(mixed)[0] == "codebook never updated"
    assert names(proven)[0] == "level term too weak"
    assert "held, which has losses.anchor.weight 0.001 -> 1 and is the same" in proven[0].sentence


def test_where_a_term_for_more_than_the_level_pulls_louder_none_is_blamed_for_being_weak():
    keys = level(1.2, 0.9, 0.6) | {
        "train/force/l1": [-0.9] * 33,
        "train/force/sc": [0.02] * 33,
        "train/force/frame": [0.004] * 33,
        "train/weighted/sc": [1.0] * 33,
        "train/weighted/frame": [0.01] * 33,
        "train/loss/total": [2.0] * 33,
    }

    assert names(causes(keys, steps=320)) == ["terms pull quieter"]


def test_a_term_that_found_its_balance_is_not_weak():
    keys = level(1.2, 0.6, 0.4) | {
        "train/force/l1": [-0.4] * 33,
        "train/force/anchor": [-0.3] * 11 + [0.03] * 2 + [0.35] * 20,
    }

    assert causes(keys, steps=320) == ()


def test_a_quiet_output_that_comes_back_is_not_diagnosed():
    climbing = [0.5, *[0.1 + 0.06 * i for i in range(STEPS - 1)]]
    keys = {
        "train/audio/rms": [0.075 * v for v in climbing],
        "train/audio/target_rms": [0.075] * STEPS,
        "train/force/l1": [-0.1] * STEPS,
    }

    assert causes(keys) == ()


def test_a_target_says_what_is_too_quiet():
    keys = level(0.9, 0.75)
    keys |= {"train/force/l1": [-0.1] * 22, "train/force/anchor": [0.001] * 22}
    target = {"targets": {"train/audio/rms": "0.075 +-20%"}}

    assert causes(keys, steps=210) == ()
    assert names(causes(keys, steps=210, spec=target)) == ["level term too weak"]


def test_a_level_made_of_a_constant_is_told_from_sound():
    keys = level(1.0) | {"train/audio/rms_ac": [0.03] * STEPS}

    (cause,) = causes(keys)

    assert cause.name == "constant offset"


def test_half_of_the_runs_make_a_cause_and_fewer_do_not():
    loud, fine = level(3.0), level(1.0)
    half = make_data({"base": {0: loud, 1: fine}}, every=10)
    third = make_data({"base": {0: loud, 1: fine, 2: fine}}, every=10)

    (cause,) = causes_of(half, 100)["base"]

    assert cause.name == "too loud"
    assert cause.sentence.endswith("(1 of 2 runs)")
    assert causes_of(third, 100)["base"] == ()


def test_a_collapse_of_an_old_trainer_is_told_from_its_forces():
    data = make_scale_fix(phases={"phase_a": COLLAPSE})

    assert names(causes_of(data, 700)["phase_a"]) == ["terms pull quieter"]


def test_what_differs_only_later_has_an_effect_wherever_it_is_compared():
    same = [3.0, 2.0, 1.0]
    data = make_data(
        {
            "base": {0: {"train/loss/l1": [*same, 0.5]}},
            "late": {0: {"train/loss/l1": [*same, 0.4]}},
            "short": {0: {"train/loss/l1": same}},
        },
        every=10,
    )
    data = with_configs(data, base={"gan": 0}, late={"gan": 1}, short={"steps": 20})

    assert causes_of(data, 20)["late"] == ()
    assert causes_of(data, 20)["short"] == ()
