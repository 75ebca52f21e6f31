"""Silence, budgets, forces, onsets, jumps, trends: what the hand-written report missed."""

import math

import pytest

from ablate.analysis.curves.drift import parameters_of, trends_of
from ablate.analysis.curves.jumps import events_of, jump_at, jumps_of
from ablate.analysis.curves.onset import missed_from
from ablate.analysis.diagnosis.budgets import budget_of, forces_of
from ablate.analysis.diagnosis.silence import silence_of, silent_losses
from ablate.domain import Event
from ablate.rules import Status, Target
from tests.support.factories import COLLAPSE, HEALTHY, make_curve, make_data, make_scale_fix
from tests.support.present import present


def silent_study(value, silent, **keys):
    """One run with one loss, its silent value and further keys, logged at steps 0..100."""
    logged = {"train/loss/l1": value, "train/silent/l1": silent}
    logged |= {key.replace("__", "/"): points for key, points in keys.items()}
    return make_data({"base": {0: logged}}, every=10)


def run_id(data):
    return data.runs[0].id


def test_a_loss_within_five_per_cent_of_its_silent_value_sits_there():
    data = silent_study([2.0] * 5 + [1.04] * 6, [1.0] * 11)

    (loss,) = silent_losses(data, run_id(data), 100)

    assert loss.is_at_silent
    assert loss.ratio == pytest.approx(1.04)
    assert loss.since_step == 50


def test_a_loss_that_left_its_silent_value_does_not_sit_there():
    data = silent_study([1.0] * 8 + [0.5] * 3, [1.0] * 11)

    (loss,) = silent_losses(data, run_id(data), 100)

    assert not loss.is_at_silent
    assert loss.since_step is None


def test_a_loud_output_is_not_silent_whatever_its_losses_are():
    loud = {"train__audio__rms": [0.05] * 11, "train__audio__target_rms": [0.075] * 11}
    quiet = loud | {"train__audio__rms": [0.01] * 11}
    value = [2.0] + [1.0] * 10
    studies = [silent_study(value, [1.0] * 11, **keys) for keys in (loud, quiet)]

    verdicts = [silence_of(data, run_id(data), 100).is_silent for data in studies]

    assert verdicts == [False, True]


def test_a_loss_that_does_not_see_the_output_is_no_evidence_of_silence():
    data = silent_study([3.0, 2.0, *[1.0] * 9], [3.0, 2.0, *[1.0] * 9])

    assert silence_of(data, run_id(data), 100).losses == ()


def test_a_loss_that_is_measured_but_not_weighted_does_not_count():
    keys = {
        "train__loss__rms_log": [9.0] * 11,
        "train__silent__rms_log": [44.0] * 11,
        "train__weighted__l1": [1.0] * 11,
        "train__weighted__rms_log": [0.0] * 11,
    }
    data = silent_study([2.0] + [1.0] * 10, [1.0] * 11, **keys)

    silence = silence_of(data, run_id(data), 100)

    assert [loss.name for loss in silence.losses] == ["l1"]
    assert silence.is_silent


def test_budget_adds_up_to_the_total_with_its_residual():
    data = make_data(
        {
            "base": {
                0: {
                    "train/loss/total": [6.0],
                    "train/loss/l1": [0.05],
                    "train/weighted/l1": [0.5],
                    "train/silent/l1": [0.04],
                    "train/loss/stft": [1.2],
                    "train/weighted/stft": [1.2],
                }
            }
        }
    )

    budget = budget_of(data, "base", 0)

    assert [t.name for t in budget.terms] == ["stft", "l1"]
    assert [t.weight for t in budget.terms] == pytest.approx([1.0, 10.0])
    assert [t.share for t in budget.terms] == pytest.approx([0.2, 0.5 / 6])
    assert budget.residual == pytest.approx(4.3)
    assert budget.silent_rise == pytest.approx(10 * (0.04 - 0.05))
    assert budget.terms[0].silent_rise is None


def test_forces_name_the_term_that_pulls_hardest_in_each_window():
    data = make_data(
        {
            "base": {
                0: {
                    "train/force/stft": [-1.0, -1.0, -0.5, -0.5, -0.05, -0.05],
                    "train/force/rms": [0.1, 0.1, 0.1, 0.1, 0.2, 0.2],
                    "train/force/total": [-0.9, -0.9, -0.4, -0.4, 0.15, 0.15],
                }
            }
        },
        every=20,
    )

    forces = forces_of(data, "base", 100)

    assert present(forces.dominant(0)).name == "stft"
    assert present(forces.dominant(2)).name == "rms"
    assert forces.net[0] == pytest.approx(-0.9)


def test_target_that_was_passed_through_counts_as_missed_from_where_it_was_left():
    curve = make_curve("r", "k", {0: 0.5, 100: 0.08, 200: 0.07, 300: 0.05, 400: 0.01})

    miss = present(missed_from(curve, Target.parse("0.075 +-20%"), 400))

    assert (miss.step, miss.was_met) == (300, True)


def test_target_that_was_never_met_is_missed_from_the_first_point():
    curve = make_curve("r", "k", {0: 0.5, 100: 0.4, 200: math.nan})

    miss = present(missed_from(curve, Target.parse("0.075 +-20%"), 200))

    assert (miss.step, miss.was_met) == (0, False)


def test_target_met_at_the_end_is_not_missed_for_good():
    curve = make_curve("r", "k", {0: 0.5, 100: 0.08, 200: 0.5})

    assert missed_from(curve, Target.parse("0.075 +-20%"), 100) is None
    assert missed_from(None, Target.parse("0.075 +-20%"), 100) is None


def test_step_change_at_an_event_is_a_jump_and_a_steep_slope_is_none():
    step = make_curve("r", "k", [1.0 + 0.01 * (i % 2) + (i >= 50) for i in range(100)])
    slope = make_curve("r", "k", [100.0 - i for i in range(100)])
    decay = make_curve("r", "k", [math.exp(-i / 3) for i in range(100)])

    assert jump_at(step, 50) == pytest.approx((1.004, 2.004), abs=0.01)
    assert jump_at(slope, 50) is None
    assert jump_at(decay, 5) is None


def test_jump_of_the_quantizer_loss_is_tied_to_the_quantizer_that_became_active():
    data = make_scale_fix(phases={"phase_a": COLLAPSE})

    (jump,) = jumps_of(data, "phase_a", ["train/loss/rvq", "train/loss/l1"], 700)

    assert (jump.key, jump.event, jump.step) == ("train/loss/rvq", "quantizer_activated", 480)
    assert (jump.jumped, jump.runs) == (3, 3)
    assert jump.after - jump.before == pytest.approx(0.95, abs=0.05)


def test_the_same_event_of_several_runs_is_one_mark():
    def events(*steps):
        return [Event("codebook_restarted", s, {"count": 3}, 0.0) for s in steps]

    logged = {"train/loss/l1": [1.0] * 11}
    data = make_data(
        {"base": {0: logged, 1: logged}},
        every=10,
        events={("base", 0): events(20, 60), ("base", 1): events(30)},
    )

    marks = events_of(data, "base", 100)

    assert [(m.steps, m.runs, m.detail) for m in marks] == [
        ((20, 30), 2, "count=3"),
        ((60,), 2, "count=3"),
    ]


def test_trend_is_a_mean_over_runs_with_the_change_from_first_to_last_window():
    data = make_data(
        {"base": {0: {"train/loss/l1": [4.0] * 6}, 1: {"train/loss/l1": [2.0] * 5 + [1.0]}}},
        every=20,
    )

    windows, (trend,) = trends_of(data, "base", ["train/loss/l1", "absent"], 100)

    assert [w.label for w in windows] == ["0-20", "40-60", "80-100"]
    assert trend.means == (3.0, 3.0, 2.5)
    assert trend.change == pytest.approx(-1 / 6)


def test_parameter_takes_the_worst_status_over_runs():
    key = "train/norm/out_proj_weight"
    data = make_data(
        {"base": {0: {key: [1.0] * 11}, 1: {key: [1.0] * 9 + [0.5] * 2}}},
        every=10,
        spec={"targets": {key: "drift < 10%"}, "metrics": {key: {"goal": "max", "rule": "last"}}},
    )

    (parameter,) = parameters_of(data, "base", [key], 100)

    assert parameter.status is Status.CRITICAL
    assert parameter.change == pytest.approx(-0.25)


def test_healthy_phase_never_sits_at_silence():
    data = make_scale_fix(phases={"phase_fixed": HEALTHY})

    assert not any(silence_of(data, r.id, 700).at_silent for r in data.runs)
