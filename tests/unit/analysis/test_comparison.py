import dataclasses
import math

import pytest

from ablate.analysis.comparison import compare
from ablate.analysis.curves.steps import common_step
from ablate.analysis.judging.verdicts import Verdict
from ablate.domain import IMPORTED, Event, Kind, RunState
from ablate.errors import NotFoundError
from ablate.rules import Status
from tests.support.factories import HEALTHY, make_data, make_scale_fix
from tests.support.present import present

KEY = "valid/loss/l1"


def flat(value, steps=11):
    return {KEY: [value] * steps}


def study(**changes):
    return make_data(
        {
            "base": {0: flat(2.0), 1: flat(2.2), 2: flat(2.1)},
            "better": {0: flat(1.0), 1: flat(1.19), 2: flat(1.1)},
        },
        every=10,
        **{"spec": {"metrics": {KEY: "min"}}, **changes},
    )


def test_collapse_health_and_loudness_get_the_verdicts_of_the_seed_report():
    comparison = compare(make_scale_fix())

    verdicts = {row.variant: row.verdict for row in comparison.rows}
    assert verdicts == {
        "phase1": Verdict.FAILED,
        "phase2a": Verdict.FAILED,
        "phase_a": Verdict.FAILED,
        "phase_fixed": Verdict.PASSED,
    }
    reasons = comparison.row("phase_a").symptoms
    assert reasons[0].startswith("3 of 3 runs: every loss sits at its silent value (l1 1.0")
    assert "95% below its target 0.075 +-20%" in reasons[1] or "96% below" in reasons[1]
    assert "missed for good from step" in reasons[1]
    assert any("guard collapse fired in 3 of 3 runs" in r for r in reasons)
    assert any("as a silent output would be" in r for r in reasons)


def test_row_holds_mean_interval_change_and_contrast():
    row = compare(study()).row("better")

    summary = row.values[KEY]
    assert summary.mean == pytest.approx((1.0 + 1.19 + 1.1) / 3)
    assert present(summary.ci_low) < summary.mean < present(summary.ci_high)
    assert (summary.n, summary.change) == (3, 0.0)
    assert present(summary.contrast_to("base")).verdict == "better"
    assert row.verdict is Verdict.PASSED
    assert compare(study()).row("base").values[KEY].contrast_to("base") is None


def going(**steps):
    """Return a study of one run for each name, unfinished where less than 100 steps long."""
    return make_data(
        {name: {0: flat(2.0, step // 10 + 1)} for name, step in steps.items()},
        every=10,
        spec={"metrics": {KEY: "min"}},
        states={(name, 0): RunState.RUNNING for name, step in steps.items() if step < 100},
    )


def test_a_finished_variant_keeps_its_step_and_one_under_way_is_read_where_it_stands():
    comparison = compare(going(base=100, short=30))

    row = comparison.row("short")
    assert comparison.at_step == 100
    assert comparison.preview == (
        "at step 100 of 700: 1 of 2 runs is under way; verdicts are previews"
    )
    assert comparison.notes == (
        "under way before step 100, read where they stand, part of no difference: short-s0 "
        "(step 30)",
    )
    assert (row.values[KEY].stands_at, row.values[KEY].contrast_to("base")) == (30, None)
    assert (row.verdict, comparison.row("base").verdict) == ("under way", "not judged")


def test_where_all_are_under_way_the_one_that_has_barely_begun_does_not_say_where_to_compare():
    comparison = compare(going(base=90, near=60, begun=0))

    assert comparison.at_step == 60
    assert "near-s0 (running) came no further, others reached 90" in comparison.notes[0]
    assert "without a value at step 60: begun-s0 (running at step 0)" in comparison.notes[1]
    assert present(comparison.preview).startswith("at step 60 of 700: 2 of 3 runs are under way")


def test_a_step_that_no_run_has_reached_is_refused():
    with pytest.raises(NotFoundError) as error:
        compare(study(), at_step=101)

    assert error.value.message.endswith("has come to step 101: the furthest is at 100")
    assert "--at 100" in present(error.value.hint)


def test_a_run_that_diverged_holds_nobody_back_and_is_counted():
    data = make_data(
        {"base": {0: flat(2.0), 1: flat(2.0)}, "wild": {0: flat(2.0), 1: flat(2.0, 3)}},
        every=10,
        spec={"metrics": {KEY: "min"}},
        states={("wild", 1): RunState.DIVERGED},
    )

    comparison = compare(data)

    row = comparison.row("wild")
    assert comparison.at_step == 100
    assert (row.runs, row.diverged, row.values[KEY].n) == (2, 1, 1)
    assert row.reasons[0] == "1 of 2 runs diverged at step 20"
    assert row.verdict is Verdict.FAILED
    assert any("wild-s1 (diverged at step 20)" in note for note in comparison.notes)


def test_fewer_failing_runs_than_half_leave_the_verdict_unresolved():
    data = make_scale_fix(phases={"boom": dataclasses.replace(HEALTHY, diverges_at=120)})

    row = compare(data).row("boom")

    assert row.verdict is Verdict.UNRESOLVED
    assert row.reasons[0].startswith("1 of 3 runs diverged at step 120")


def test_a_trained_run_that_went_on_after_a_guard_was_relaxed_is_not_failed_by_it():
    fired = Event("guard_fired", 20, {"guard": "collapse", "do": "stop"}, 0.0)
    data = make_data(
        {"base": {0: flat(2.0)}, "again": {0: flat(2.0)}},
        every=10,
        spec={"metrics": {KEY: "min"}},
        events={("again", 0): [fired]},
    )

    row = compare(data).row("again")
    assert row.verdict is not Verdict.FAILED
    assert "guard collapse fired in 1 of 1 run at step 20" in row.reasons

    imported = tuple(dataclasses.replace(run, trainer=IMPORTED) for run in data.runs)
    row = compare(dataclasses.replace(data, runs=imported)).row("again")
    assert row.verdict is Verdict.FAILED
    assert "guard collapse, which stops runs, fired in 1 of 1 run at step 20" in row.reasons


def test_a_run_stopped_by_a_guard_fails_and_says_where():
    fired = Event("guard_fired", 20, {"guard": "collapse", "action": "stop"}, 0.0)
    data = make_data(
        {"base": {0: flat(2.0)}, "stopped": {0: flat(2.0, 3)}},
        every=10,
        spec={"metrics": {KEY: "min"}},
        states={("stopped", 0): RunState.STOPPED},
        events={("stopped", 0): [fired]},
    )

    comparison = compare(data)

    row = comparison.row("stopped")
    assert row.verdict is Verdict.FAILED
    assert row.reasons[:2] == (
        "1 of 1 run was stopped at step 20",
        "guard collapse fired in 1 of 1 run at step 20",
    )
    assert comparison.at_step == 100
    summary = row.values[KEY]
    assert (summary.mean, summary.stopped_at, summary.contrast_to("base")) == (2.0, 20, None)
    assert any("stopped-s0 (step 20)" in note for note in comparison.notes)


def judged_at(step: int, status: str, do: str = "flag") -> Event:
    return Event(
        "gate_judged", step, {"do": do, "values": {KEY: 9.0}, "statuses": {KEY: status}}, 0
    )


def test_gates_before_the_compared_step_say_what_was_critical_there():
    data = make_data(
        {"base": {0: flat(2.0), 1: flat(2.0)}},
        every=10,
        spec={"targets": {KEY: "<= 5"}},
        events={
            ("base", 0): [judged_at(20, "critical"), judged_at(50, "degrading")],
            ("base", 1): [judged_at(20, "good"), judged_at(50, "good"), judged_at(100, "critical")],
        },
    )

    row = compare(data).row("base")

    assert row.verdict is Verdict.PASSED
    assert [r for r in row.reasons if "gate" in r] == [f"critical at gate 20: {KEY} in 1 of 2 runs"]


def test_a_run_stopped_by_a_gate_says_so_once():
    reason = f"gate 20: {KEY} 9 is critical (<= 5)"
    data = make_data(
        {"base": {0: flat(2.0)}, "stopped": {0: flat(9.0, 3)}},
        every=10,
        spec={"targets": {KEY: "<= 4"}},
        states={("stopped", 0): RunState.STOPPED},
        events={("stopped", 0): [judged_at(20, "critical", do="stop")]},
    )
    runs = tuple(
        dataclasses.replace(run, reason=reason) if run.variant == "stopped" else run
        for run in data.runs
    )

    row = compare(dataclasses.replace(data, runs=runs)).row("stopped")

    assert row.verdict is Verdict.FAILED
    assert f"1 of 1 run was stopped at step 20 ({reason})" in row.reasons
    assert sum("gate 20" in r for r in row.reasons) == 1


def test_of_a_variant_with_some_runs_stopped_the_others_make_the_mean():
    key = "train/audio/rms"
    data = make_data(
        {"base": {0: {key: [0.075] * 11}, 1: {key: [0.5, 0.01, 0.001]}}},
        every=10,
        spec={"targets": {key: "0.075 +-20%"}},
        states={("base", 1): RunState.STOPPED},
    )

    row = compare(data).row("base")

    assert (row.values[key].mean, row.values[key].n) == (0.075, 1)
    assert "1 of 2 runs end with train/audio/rms 0.001, 99% below" in row.reasons[0]
    assert "1 of 2 runs was stopped at step 20" in row.reasons


def test_a_study_without_points_has_no_data():
    data = make_data({"base": {0: {}}}, spec={"metrics": {KEY: "min"}})

    comparison = compare(data)

    assert comparison.at_step is None
    assert comparison.row("base").verdict is Verdict.NO_DATA
    assert comparison.notes == ("no run has logged a point yet",)


def test_a_run_without_points_is_reported_and_holds_nobody_back():
    data = make_data(
        {"base": {0: flat(1.0), 1: {}}},
        every=10,
        spec={"metrics": {KEY: "min"}},
        states={("base", 1): RunState.QUEUED},
    )

    comparison = compare(data)

    assert comparison.at_step == 100
    assert comparison.row("base").verdict is Verdict.UNRESOLVED
    assert "without any point: base-s1 (queued)" in comparison.notes


def test_to_lose_against_a_baseline_that_failed_says_nothing_against_a_variant():
    keys = {"train/audio/rms": [0.5] + [0.001] * 10, KEY: [1.0] * 11}
    healthy = {"train/audio/rms": [0.5] + [0.075] * 10, KEY: [1.3] * 11}
    data = make_data(
        {
            "silent": {0: keys, 1: keys | {KEY: [1.01] * 11}},
            "healthy": {0: healthy, 1: healthy | {KEY: [1.312] * 11}},
        },
        every=10,
        spec={"metrics": {KEY: "min"}, "targets": {"train/audio/rms": "0.075 +-20%"}},
    )

    row = compare(data).row("healthy")

    assert present(row.values[KEY].contrast_to("silent")).verdict == "worse"
    assert row.verdict is Verdict.PASSED
    assert "but silent itself failed" in row.reasons[1]


def test_goal_target_compares_the_distance_to_the_target():
    key = "train/audio/rms"
    data = make_data(
        {
            "base": {s: {key: [0.20 + 0.001 * s] * 11} for s in range(3)},
            "near": {s: {key: [0.07 - 0.001 * s] * 11} for s in range(3)},
        },
        every=10,
        spec={"targets": {key: "0.075 +-20%"}},
    )

    contrast = present(compare(data).row("near").values[key].contrast_to("base"))

    assert contrast.measure == "distance to target"
    # Distances: 0.125, 0.126, 0.127 against 0.005, 0.006, 0.007.
    assert contrast.difference == pytest.approx(-0.12)
    assert contrast.verdict == "better"


def test_status_of_a_variant_is_that_of_its_worst_run():
    key = "train/audio/rms"
    data = make_data(
        {"base": {0: {key: [0.150] * 2}, 1: {key: [0.004] * 2}}},
        spec={"targets": {key: "0.075 +-20%"}},
    )

    summary = compare(data).row("base").values[key]

    assert summary.mean == pytest.approx(0.077)
    assert summary.status is Status.CRITICAL


def test_nan_of_one_seed_is_counted_and_not_averaged():
    data = make_data(
        {"base": {0: flat(1.0), 1: flat(math.nan)}}, every=10, spec={"metrics": {KEY: "min"}}
    )

    comparison = compare(data)

    summary = comparison.row("base").values[KEY]
    assert (summary.mean, summary.n, summary.not_finite) == (1.0, 1, 1)
    assert any("NaN or infinite in 1 of 2 runs" in note for note in comparison.notes)


def test_all_seeds_nan_is_nan():
    data = make_data({"base": {0: flat(math.nan)}}, every=10, spec={"metrics": {KEY: "min"}})

    summary = compare(data).row("base").values[KEY]

    assert (summary.kind, summary.n) == (Kind.NAN, 0)


def test_a_value_that_stands_in_for_a_missing_step_is_noted():
    data = make_data(
        {"base": {0: {KEY: {0: 1.0, 50: 2.0}, "train/loss/l1": {100: 1.0}}}},
        spec={"metrics": {KEY: {"goal": "min", "rule": "last"}}},
    )

    comparison = compare(data)

    assert comparison.row("base").values[KEY].mean == 2.0
    assert any("no point at step 100; the latest before it, 50" in n for n in comparison.notes)


def test_asked_step_and_metrics_and_baseline_are_taken():
    data = make_scale_fix()

    comparison = compare(
        data, at_step=350, baseline="phase_a", metrics=["valid/loss/*", "train/audio/rms"]
    )

    assert comparison.at_step == 350
    assert comparison.baseline == "phase_a"
    assert [m.key for m in comparison.metrics] == [
        "valid/loss/stft",
        "valid/loss/l1",
        "train/audio/rms",
    ]


def test_verdicts_do_not_depend_on_which_metrics_are_shown():
    data = make_scale_fix()

    few = compare(data, metrics=["train/norm/final_conv_weight"])

    assert [r.reasons for r in few.rows] == [r.reasons for r in compare(data).rows]


def test_unknown_metric_and_baseline_name_the_closest():
    with pytest.raises(NotFoundError) as error:
        compare(make_scale_fix(), metrics=["valid/loss/sfft"])
    assert error.value.hint == "did you mean 'valid/loss/stft'?"
    with pytest.raises(NotFoundError):
        compare(make_scale_fix(), baseline="phase_b")


def test_common_step_of_diverged_runs_alone_is_where_all_of_them_came():
    data = make_data(
        {"base": {0: flat(1.0, 5), 1: flat(1.0, 3)}},
        every=10,
        states={("base", 0): RunState.DIVERGED, ("base", 1): RunState.DIVERGED},
    )

    assert common_step(data) == 20


def test_common_step_of_stopped_and_failed_runs_is_where_the_last_was_stopped():
    data = make_data(
        {"base": {0: flat(1.0, 8)}, "fast": {0: flat(1.0, 5)}, "bad": {0: flat(1.0, 2)}},
        every=10,
        states={
            ("base", 0): RunState.STOPPED,
            ("fast", 0): RunState.STOPPED,
            ("bad", 0): RunState.FAILED,
        },
    )

    assert common_step(data) == 70


def test_a_variant_that_changes_nothing_is_said_to_be_exactly_as_the_baseline():
    data = make_data(
        {
            "base": {s: flat(1.0 + s) for s in range(2)},
            "typo": {s: flat(1.0 + s) for s in range(2)},
        },
        every=10,
        spec={"metrics": {KEY: "min"}},
    )

    row = compare(data).row("typo")

    assert present(row.values[KEY].contrast_to("base")).verdict == "equal"
    assert row.reasons == (f"exactly as base in {KEY}",)


def test_a_target_that_nothing_was_logged_for_leaves_no_data():
    data = make_data({"base": {0: flat(1.0)}}, spec={"targets": {"train/rvq/perplexity": ">= 8"}})

    row = compare(data).row("base")

    assert row.verdict is Verdict.NO_DATA
    assert row.reasons == ("nothing to judge the target of train/rvq/perplexity by",)


def test_trained_variants_with_one_stored_config_are_told():
    data = study()
    alike = [dataclasses.replace(run, config={"steps": 700}) for run in data.runs]
    note = (
        "2 variants have one and the same stored config: their runs were trained alike; "
        "`ablate db check` names them"
    )

    assert note in compare(dataclasses.replace(data, runs=tuple(alike))).notes
    assert note not in compare(data).notes
    queued = [dataclasses.replace(run, attempts=0) for run in alike]
    assert note not in compare(dataclasses.replace(data, runs=tuple(queued))).notes


def test_variant_that_ended_early_is_said_to_hold_the_others_back_and_has_no_effect_to_show():
    curves = {0: [3.0, 2.0, 1.5, 1.2], 1: [3.1, 2.1, 1.6, 1.3]}
    data = make_data(
        {
            "base": {seed: {KEY: curve} for seed, curve in curves.items()},
            "short": {seed: {KEY: curve[:2]} for seed, curve in curves.items()},
        },
        every=10,
        spec={"metrics": {KEY: "min"}},
    )

    comparison = compare(data)

    assert comparison.held_back == "up to step 10 only: short ended there, others went on to 30"
    assert comparison.preview is None
    assert comparison.row("short").verdict == "not judged"
    assert compare(data, at_step=30).row("short").reasons == (
        "no run reached step 30, the furthest ended at 10",
    )
    assert compare(data, at_step=10).held_back is None


def test_seeds_that_are_alike_up_to_the_compared_step_alone_may_use_their_seed():
    curve = [3.0, 2.0]
    curves = {seed: {KEY: [*curve, 1.0 + seed]} for seed in (0, 1)}
    data = make_data({"base": curves}, every=10, spec={"metrics": {KEY: "min"}})

    alike = "seeds 0 and 1 give the same curves to the bit up to step 10 and count once"
    assert compare(data, at_step=10).row("base").reasons == (alike,)
    assert not any("the same curves" in text for text in compare(data).row("base").reasons)
