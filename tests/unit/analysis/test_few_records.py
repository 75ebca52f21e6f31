"""What is not claimed: movement from one record, a level without anything to compare it with."""

import dataclasses
from typing import Any

import pytest

from ablate.analysis.comparison import compare
from ablate.analysis.curves.drift import parameters_of
from ablate.analysis.diagnosis.causes import causes_of
from ablate.analysis.diagnosis.collapse import collapse_of
from ablate.analysis.diagnosis.silence import silence_of
from ablate.domain import RunState
from ablate.rules import Status
from tests.support.factories import make_data

ILL = {
    "a step as long as the weights": {"train/update/encoder": 0.5},
    "a step of no length": {"train/update/encoder": 1e-9},
    "a part that stands still": {"train/update/encoder": 1e-3, "train/update/read_out": 0.0},
    "codes as they were": {"train/change/codebook_q0": 0.0, "train/rvq/perplexity_q0": 9.0},
    "codes that explain nothing": {"train/rvq/explained_variance": 0.01},
    "one code": {"train/rvq/usage_q0": 0.001, "train/rvq/perplexity_q0": 1.0},
    "a loud output": {"train/audio/rms": 1.0, "train/audio/target_rms": 0.1},
    "a constant": {
        "train/audio/rms": 0.1,
        "train/audio/target_rms": 0.1,
        "train/audio/rms_ac": 0.01,
    },
    "terms that pull a quiet output quieter": {
        "train/audio/rms": 0.01,
        "train/audio/target_rms": 0.1,
        "train/force/l1": -1.0,
        "train/force/sc": -0.5,
    },
    "a weak term": {
        "train/audio/rms": 0.01,
        "train/audio/target_rms": 0.1,
        "train/force/l1": -1.0,
        "train/force/rms_frame": 1e-3,
    },
}


def ill_run(values, steps, *, state=RunState.RUNNING):
    """Return a run that shows the same values at every step, and at the start no movement."""
    curves: Any = {key: dict.fromkeys(steps, value) for key, value in values.items()}
    return make_data({"base": {0: curves, 1: curves}}, states={("base", 0): state})


@pytest.mark.parametrize("values", ILL.values(), ids=ILL)
def test_no_cause_is_named_from_one_record_and_one_is_from_several(values):
    for steps in ([0], [10], [0, 10]):
        data = ill_run(values, steps)
        assert causes_of(data, steps[-1])["base"] == ()
        assert not any("level is lost" in s for s in collapse_of(data, "base", 10).sentences)

    assert causes_of(ill_run(values, range(0, 110, 10)), 100)["base"]


@pytest.mark.parametrize("values", ILL.values(), ids=ILL)
def test_numbers_that_are_nan_are_evidence_of_nothing(values):
    data = ill_run(dict.fromkeys(values, float("nan")), range(0, 110, 10))

    assert causes_of(data, 100)["base"] == ()


def test_a_later_record_does_not_count_at_an_earlier_step():
    data = ill_run(ILL["codes that explain nothing"], [0, 10, 50, 100])

    assert causes_of(data, 10)["base"] == ()
    assert causes_of(data, 50)["base"]


@pytest.mark.parametrize(
    ("points", "change", "status"),
    [
        ({50: 2.0}, None, Status.NO_DATA),
        ({0: 2.0, 50: 2.0}, 0.0, Status.GOOD),
        ({10: 2.0, 50: 3.0}, 0.5, Status.CRITICAL),
        ({0: 2.0, 50: float("nan")}, None, Status.CRITICAL),
    ],
)
def test_a_single_record_is_no_change_of_zero_and_no_drift_that_is_met(points, change, status):
    key = "train/norm/out_proj_weight"
    data = make_data({"base": {0: {key: points}}}, spec={"targets": {key: "drift < 10%"}})

    (summary,) = compare(data).row("base").values.values()
    (parameter,) = parameters_of(data, "base", [key], 50)

    assert (summary.change, summary.status) == (change, status)
    assert (parameter.change, parameter.status) == (change, status)


def outputs(rms, target, **logged):
    """Return a study whose trainer logs the level of its output, and has declared what it wants."""
    keys = {"train/audio/rms": [rms] * 11, **logged}
    return make_data(
        {"base": {0: keys, 1: keys}}, every=10, spec={"targets": {"train/audio/rms": target}}
    )


QUIETER = {"train/force/l1": [-1.0] * 11, "train/force/sc": [-0.5] * 11}


@pytest.mark.parametrize(
    ("rms", "target", "name"),
    [
        (0.004, "0.075 +-20%", "terms pull quieter"),
        (0.004, ">= 0.05", "terms pull quieter"),
        (0.3, "0.075 +-20%", "too loud"),
        (0.3, "<= 0.1", "too loud"),
        (0.3, ">= 0.05", None),
        (0.004, "<= 0.1", None),
        (0.075, "0.075 +-20%", None),
        (0.004, "drift < 10%", None),
    ],
)
def test_the_declared_level_stands_in_where_the_targets_own_is_not_logged(rms, target, name):
    found = [cause.name for cause in causes_of(outputs(rms, target, **QUIETER), 100)["base"]]

    assert found == ([name] if name else [])


def test_the_logged_level_of_the_target_comes_before_the_declared_one():
    data = outputs(0.1, "0.5 +-20%", **QUIETER, **{"train/audio/target_rms": [0.11] * 11})

    assert causes_of(data, 100)["base"] == ()


@pytest.mark.parametrize(("rms", "is_silent"), [(0.0037, True), (0.07, False)])
def test_losses_near_silence_are_silence_only_where_the_output_is_quiet(rms, is_silent):
    losses = {"train/loss/l1": [0.0375] * 11, "train/silent/l1": [0.038] * 11}
    data = outputs(rms, "0.075 +-20%", **losses)

    (first, _) = data.runs
    assert silence_of(data, first.id, 100).is_silent is is_silent
    undeclared = dataclasses.replace(data, targets={})
    assert silence_of(undeclared, first.id, 100).is_silent
