"""What a variant is called, and why: nothing passes that was not judged."""

import dataclasses
import math

import pytest

from ablate.analysis.comparison import compare
from ablate.domain import IMPORTED, RunState
from tests.support.factories import make_data
from tests.support.present import present

KEY = "valid/loss/l1"
METRICS = {"metrics": {KEY: "min"}}
NAN, INF = math.nan, math.inf


def falling(first, *, seed=0, key=KEY, end=None):
    """Return a curve that falls a little differently at each seed."""
    values = [first * (1 + 0.01 * seed) / (1 + 0.1 * i) for i in range(11)]
    return {key: values if end is None else [*values[:-1], end]}


def seeds_of(first, seeds=(0, 1, 2), **changes):
    return {seed: falling(first, seed=seed, **changes) for seed in seeds}


def compared(values, spec=METRICS, **changes):
    return compare(make_data(values, every=10, spec=spec, **changes))


@pytest.mark.parametrize("rule", ["last", "min", "max", "mean_last_10%", "mean_last_50"])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_ends_in_no_number_fails_by_any_rule_and_names_the_step(rule, value):
    spec = {"metrics": {KEY: {"goal": "min", "rule": rule}}}

    comparison = compared({"base": seeds_of(2.0), "odd": seeds_of(1.0, end=value)}, spec)

    row = comparison.row("odd")
    assert row.verdict == "failed"
    word = "NaN" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    assert row.reasons[0].startswith("3 of 3 runs end in ")
    assert row.reasons[0].endswith(f" in {KEY} (first at step 100)"), word
    assert present(row.values[KEY].contrast_to("base")).verdict == "unresolved"
    assert "better" not in " ".join(row.reasons)


def test_one_seed_that_ends_in_nan_fails_the_variant_and_the_others_are_not_called_better():
    values = {"base": seeds_of(2.0), "odd": seeds_of(1.0, (0, 1)) | {2: falling(1.0, end=NAN)}}

    row = compared(values).row("odd")

    assert row.verdict == "failed"
    assert row.reasons[0] == f"1 of 3 runs end in NaN in {KEY} (first at step 100)"
    assert present(row.values[KEY].contrast_to("base")).verdict == "withheld"
    assert f"no verdict against base in {KEY}: 1 of 3 runs lost, the rest proves nothing" in (
        row.reasons
    )


def test_a_baseline_that_is_nan_throughout_fails_and_nobody_is_better_than_it():
    comparison = compared({"base": {s: {KEY: [NAN] * 11} for s in range(3)}, "ok": seeds_of(1.0)})

    assert comparison.row("base").verdict == "failed"
    assert comparison.row("base").reasons == (f"3 of 3 runs end in NaN in {KEY} (first at step 0)",)
    assert comparison.row("ok").verdict == "not judged"


def test_nan_on_the_way_is_no_extreme_and_fails_nobody():
    values = seeds_of(1.0)
    values[0][KEY][3] = NAN
    spec = {"metrics": {KEY: {"goal": "min", "rule": "min"}}}

    row = compared({"base": seeds_of(2.0), "odd": values}, spec).row("odd")

    assert (row.verdict, present(row.values[KEY].contrast_to("base")).verdict) == (
        "passed",
        "better",
    )


def test_where_nothing_is_declared_a_loss_that_ends_in_nan_still_fails():
    row = compared({"base": {0: falling(2.0)}, "odd": {0: falling(1.0, end=NAN)}}, {}).row("odd")

    assert row.verdict == "failed"


def test_a_variant_without_a_value_of_any_goal_has_no_data():
    row = compared({"base": seeds_of(2.0), "odd": seeds_of(1.0, key="train/loss/l1")}).row("odd")

    assert row.verdict == "no data"
    assert row.reasons == (f"no value of what is declared: {KEY}",)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (METRICS, "there is no target and no difference to judge it by"),
        ({}, "nothing says which way is better: the study declares no metric"),
    ],
)
def test_a_baseline_without_targets_is_not_judged(spec, why):
    row = compared({"base": seeds_of(2.0), "other": seeds_of(1.0)}, spec).row("base")

    assert row.verdict == "not judged"
    assert row.reasons == (why,)


def test_a_difference_that_is_resolved_is_judged():
    comparison = compared({"base": seeds_of(2.0), "low": seeds_of(1.0), "high": seeds_of(3.0)})

    assert [row.verdict for row in comparison.rows] == ["not judged", "passed", "degrading"]


@pytest.mark.parametrize(
    "spec", [METRICS, {}, METRICS | {"targets": {KEY: "<= 5"}}], ids=["metric", "none", "target"]
)
def test_a_change_that_changes_nothing_has_no_effect(spec):
    comparison = compared({"base": seeds_of(2.0), "same": seeds_of(2.0)}, spec)

    assert comparison.row("same").verdict == "no effect"


def test_equal_metrics_of_other_curves_do_not_take_back_that_targets_are_met():
    level = "train/audio/rms"
    base = {s: falling(2.0, seed=s) | {level: [0.07 + 0.001 * s] * 11} for s in range(2)}
    other = {s: found | falling(1.0, seed=s, key="train/loss/l1") for s, found in base.items()}
    base = {s: found | falling(2.0, seed=s, key="train/loss/l1") for s, found in base.items()}
    spec = METRICS | {"targets": {level: "0.075 +-20%"}}

    assert compared({"base": base, "other": other}, spec).row("other").verdict == "passed"


def states(variant, state, seeds):
    return {(variant, seed): state for seed in seeds}


@pytest.mark.parametrize("state", [RunState.DIVERGED, RunState.FAILED, RunState.STOPPED])
def test_survivors_are_not_better_where_more_of_them_were_lost(state):
    values = {"ctl": seeds_of(2.0, range(8)), "odd": seeds_of(1.0, range(3))}
    values["odd"] |= {s: {KEY: [1.0] * 4} for s in range(3, 8)}

    row = compared(values, states=states("odd", state, range(3, 8))).row("odd")

    assert row.verdict == "failed"
    assert present(row.values[KEY].contrast_to("ctl")).verdict == "withheld"
    assert f"no verdict against ctl in {KEY}: 5 of 8 runs lost, the rest proves nothing" in (
        row.reasons
    )


def test_that_more_runs_are_lost_than_chance_makes_is_said_where_counts_can_tell():
    values = {"ctl": seeds_of(2.0, range(8)), "odd": seeds_of(1.0, range(2))}
    values["odd"] |= {s: {KEY: [1.0] * 4} for s in range(2, 8)}
    few = {"ctl": seeds_of(2.0), "odd": {s: {KEY: [1.0] * 4} for s in range(3)}}

    many = compared(values, states=states("odd", RunState.DIVERGED, range(2, 8))).row("odd")
    three = compared(few, states=states("odd", RunState.DIVERGED, range(3))).row("odd")

    told = "6 of 8 runs ended badly, against 0 of 8 of ctl: more than chance makes"
    assert [reason for reason in many.reasons if reason.startswith(told)]
    assert "Fisher" not in " ".join(three.reasons)


def test_survivors_of_the_baseline_do_not_make_others_worse():
    values = {
        "ctl": seeds_of(1.0, range(3)) | {3: {KEY: [1.0] * 4}},
        "odd": seeds_of(2.0, range(4)),
    }

    row = compared(values, states=states("ctl", RunState.DIVERGED, [3])).row("odd")

    assert row.verdict == "unresolved"
    assert row.reasons == (
        f"no verdict against ctl in {KEY}: ctl lost runs, and its survivors prove nothing",
    )


def test_worse_than_a_baseline_that_lost_fewer_is_still_said():
    values = {
        "ctl": seeds_of(1.0, range(4)),
        "odd": seeds_of(2.0, range(3)) | {3: {KEY: [1.0] * 4}},
    }

    row = compared(values, states=states("odd", RunState.DIVERGED, [3])).row("odd")

    assert present(row.values[KEY].contrast_to("ctl")).verdict == "worse"


def test_seeds_that_are_equal_to_the_bit_count_once():
    same = {seed: falling(1.0) for seed in range(3)}

    row = compared({"base": seeds_of(2.0), "same": same}).row("same")

    assert row.values[KEY].n == 1
    assert present(row.values[KEY].contrast_to("base")).p_t is None
    assert row.verdict == "unresolved"
    assert row.reasons[0] == (
        "seeds 0, 1 and 2 give the same curves to the bit and count once: "
        "the trainer does not use its seed"
    )


def test_a_baseline_whose_seeds_are_equal_is_counted_once_too():
    comparison = compared({"same": {s: falling(2.0) for s in range(3)}, "other": seeds_of(1.0)})

    assert comparison.row("same").values[KEY].n == 1
    assert present(comparison.row("other").values[KEY].contrast_to("same")).verdict == "unresolved"


def test_of_imported_runs_the_record_may_be_the_same_twice():
    data = make_data({"base": {s: falling(2.0) for s in range(2)}}, every=10)
    runs = tuple(dataclasses.replace(run, trainer=IMPORTED) for run in data.runs)

    row = compare(dataclasses.replace(data, runs=runs)).row("base")

    assert row.reasons[0].endswith(
        "count once: the same record twice, or a trainer that does not use its seed"
    )


def test_two_variants_with_different_seeds_are_compared_by_welch():
    comparison = compared({"base": seeds_of(2.0, range(1, 6)), "new": seeds_of(1.0, range(11, 16))})

    contrast = present(comparison.row("new").values[KEY].contrast_to("base"))
    assert (contrast.method, contrast.pairs, contrast.n_variant, contrast.n_reference) == (
        "welch",
        0,
        5,
        5,
    )
    assert comparison.row("new").verdict == "passed"
    assert comparison.row("new").reasons[0].endswith("5 seeds)")


def test_one_shared_seed_is_no_pair_to_tell_from_and_welch_takes_all():
    comparison = compared({"base": seeds_of(2.0, range(3)), "new": seeds_of(1.0, range(2, 5))})

    contrast = present(comparison.row("new").values[KEY].contrast_to("base"))
    assert (contrast.method, contrast.n_variant, contrast.n_reference) == ("welch", 3, 3)


def test_runs_under_way_are_spoken_of_as_such():
    level = "train/audio/rms"
    spec = {"targets": {level: "0.075 +-20%"}}
    loud = {s: {level: [0.5] * 7} for s in range(2)}

    comparison = compared({"loud": loud}, spec, states=states("loud", RunState.RUNNING, range(2)))

    row = comparison.row("loud")
    assert present(comparison.preview).startswith("at step 60 of 700: 2 of 2 runs are under way")
    assert row.verdict == "under way"
    assert row.symptoms[0] == (
        f"so far 2 of 2 runs stand at {level} 0.5, 6.67 times its target 0.075 +-20%; not met yet"
    )


def test_finished_runs_that_fail_do_not_wait_for_the_last_that_is_under_way():
    level = "train/audio/rms"
    loud = {s: {level: [0.5] * 11} for s in range(2)} | {2: {level: [0.5] * 7}}

    comparison = compared(
        {"loud": loud},
        {"targets": {level: "0.075 +-20%"}},
        states=states("loud", RunState.RUNNING, [2]),
    )

    assert comparison.row("loud").verdict == "failed"


def test_finished_runs_read_before_their_end_stand_there():
    level = "train/audio/rms"
    data = make_data(
        {"loud": {0: {level: [0.5] * 11}}}, every=10, spec={"targets": {level: "0.075 +-20%"}}
    )

    assert compare(data, at_step=60).row("loud").symptoms[0].startswith("1 of 1 run stands at")


def test_runs_that_have_not_begun_may_still_turn_out_well():
    values = {
        "ctl": seeds_of(2.0, range(4)),
        "odd": {0: {KEY: [1.0] * 4}} | {seed: {} for seed in (1, 2, 3)},
    }
    waiting = states("odd", RunState.QUEUED, [1, 2, 3])

    row = compared(values, states=waiting | states("odd", RunState.FAILED, [0])).row("odd")

    assert row.verdict == "unresolved"
    assert row.reasons[:2] == (
        "1 of 4 runs failed at step 30",
        "3 of 4 runs have not finished (step 0)",
    )


def test_a_total_that_differs_is_not_called_alike():
    term, total = "train/loss/sc", "train/loss/total"

    def reasons(first):
        base = falling(2.0, key=term) | falling(2.0, key=total)
        values = {"base": {0: base}, "b": {0: base | falling(first, key=total)}}
        return compared(values, {}).row("b").reasons

    assert reasons(2.0) == ("every curve is that of base to the bit",)
    assert reasons(1.0) == ("every curve but the total is that of base to the bit",)
