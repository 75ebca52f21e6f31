"""Outputs that know nothing fail however loud they are; made-up losses of the known shape."""

from typing import Any

import pytest

from ablate.analysis.comparison import compare
from ablate.analysis.diagnosis.trivial import likeness_of
from tests.support.factories import make_data

NULLS = {
    "silence": {"l1": 0.043, "sc": 1.0, "log1p": 0.2, "rms_frame": 0.06},
    "mean": {"l1": 0.045, "sc": 0.93, "log1p": 0.18, "rms_frame": 0.038},
    "white": {"l1": 0.079, "sc": 1.23, "log1p": 0.68, "rms_frame": 0.036},
    "bands": {"l1": 0.065, "sc": 0.94, "log1p": 0.17, "rms_frame": 0.0026},
    "other_utterance": {"l1": 0.071, "sc": 1.18, "log1p": 0.23, "rms_frame": 0.05},
}
"""Of the built-in speech."""
LEVEL = {"train/audio/rms": "0.075 +-20%"}
HEALTHY = {"l1": 0.029, "sc": 0.49, "log1p": 0.134, "rms_frame": 0.011}


def keys(losses, *, split="valid", nulls=NULLS, **others):
    found = {f"{split}/loss/{name}": [2 * value, value] for name, value in losses.items()}
    found |= {f"null/{o}/{n}": {0: v} for o, row in nulls.items() for n, v in row.items()}
    return {"train/audio/rms": [0.075, 0.075], **found, **others}


def study(**variants: dict[str, Any]):
    cells = {name: dict.fromkeys(range(2), found) for name, found in variants.items()}
    cells = {
        name: {seed: found | {"train/loss/own": [2.0, 1.0 + seed]} for seed, found in seeds.items()}
        for name, seeds in cells.items()
    }
    return make_data(cells, every=100, spec={"targets": LEVEL})


def likeness(losses, **changes):
    data = study(base=keys(losses, **changes))
    return likeness_of(data, data.runs[0].id, 100)


@pytest.mark.parametrize("output", NULLS)
def test_what_knows_nothing_fails_under_a_target_of_the_level_and_the_healthy_codec_passes(output):
    comparison = compare(study(base=keys(HEALTHY), loud=keys(NULLS[output])))

    row = comparison.row("loud")
    assert (comparison.row("base").verdict, row.verdict) == ("passed", "failed")
    assert row.reasons[0].startswith(
        "2 of 2 runs: no held-out loss tells the output from one that knows nothing of its "
        f"target; it is most like '{output}' (l1 1.00x"
    )


def test_it_does_not_matter_whether_the_losses_are_trained_on():
    weights: dict[str, Any] = {f"train/weighted/{name}": [0.0, 0.0] for name in NULLS["white"]}
    weights["train/weighted/level"] = [1.0, 1.0]
    found = keys(NULLS["white"], **weights)

    assert compare(study(base=found)).row("base").verdict == "failed"


def test_a_level_that_is_exact_in_every_frame_tells_nothing_of_the_sound():
    losses = NULLS["white"] | {"rms_frame": 0.0001}

    assert likeness(losses).is_trivial
    assert not likeness(losses | {"sc": 0.88}).is_trivial


def test_the_right_spectrum_with_the_wrong_waveform_is_spectrum_only():
    losses = {"l1": 0.068, "sc": 0.56, "log1p": 0.084, "rms_frame": 0.009}

    comparison = compare(study(base=keys(HEALTHY), phases=keys(losses)))

    row = comparison.row("phases")
    assert row.verdict == "degrading"
    assert row.reasons[0] == (
        "2 of 2 runs: spectrum only, the waveform is worse than silence (l1 1.58x its silent value)"
    )


def test_a_loss_above_its_silent_value_is_said_though_the_waveform_is_right():
    row = compare(study(base=keys(HEALTHY | {"log1p": 0.3}))).row("base")

    assert row.verdict == "passed"
    assert "2 of 2 runs: silence would be better in some losses (log1p 1.50x its silent value)" in (
        row.reasons
    )


def test_of_a_trainer_that_measures_silence_alone_what_is_no_better_in_any_loss_fails():
    silent = {"valid/silent/l1": [0.043, 0.043], "valid/silent/sc": [1.0, 1.0]}

    assert likeness({"l1": 0.07, "sc": 1.2}, nulls={}, **silent).is_trivial
    assert not likeness({"l1": 0.07, "sc": 0.5}, nulls={}, **silent).is_trivial


def test_without_a_held_out_set_the_training_batches_are_looked_at():
    found = likeness({"l1": 0.07}, split="train", nulls={}, **{"train/silent/l1": [0.04, 0.04]})

    assert found.is_trivial
    assert [loss.name for loss in found.losses] == ["l1"]


def test_a_loss_that_does_not_see_the_output_says_nothing():
    silent = {"valid/silent/rvq": [0.5, 0.5]}

    assert likeness({"rvq": 0.5}, nulls={}, **silent).losses == ()
    assert likeness({"rvq": float("nan")}, nulls={}, **silent).losses == ()


def test_what_an_own_trainer_measures_at_every_validation_is_taken_where_it_is_judged():
    moving = {"null/noise/l1": {50: 9.0, 100: 0.05}, "null/silence/l1": {50: 9.0, 100: 0.04}}

    assert likeness({"l1": 0.06}, nulls={}, **moving).is_trivial
