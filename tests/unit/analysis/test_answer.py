"""The answer in a few sentences: from data alone, true, and without what has nothing to say."""

from __future__ import annotations

import re

import pytest

from ablate.analysis.answer import answer_of
from ablate.analysis.comparison import compare
from ablate.analysis.factors import FactorTable
from ablate.domain import RunState
from tests.support.arms import KEY, LEVEL, SPEC, arm
from tests.support.factories import make_data, make_scale_fix


def answered(values, spec=SPEC, **changes) -> tuple[str, ...]:
    return answer_of(compare(make_data(values, every=10, spec=spec, **changes)))


def said(sentences: tuple[str, ...], label: str) -> str:
    return next((s for s in sentences if s.startswith(f"{label}: ")), "")


def test_who_meets_the_targets_and_who_is_best_of_them() -> None:
    one = answered({"base": arm(2.0, 0.001), "good": arm(1.0)})
    two = answered({"base": arm(2.0), "good": arm(1.0), "lost": arm(1.5, 0.001)})
    none = answered({"base": arm(2.0, 0.001), "near": arm(1.0, 0.001)})
    everyone = answered({"base": arm(2.0), "good": arm(1.0)})

    assert said(one, "Targets") == ("Targets: good meets the target; the other variant does not.")
    assert said(two, "Targets") == (
        "Targets: base and good meet the target; the other variant does not; "
        "best mean of valid/loss/l1: good (1)."
    )
    assert said(none, "Targets").startswith("Targets: no variant meets the target")
    assert said(everyone, "Targets").startswith("Targets: every variant meets the target; best")


def test_without_targets_the_best_is_named() -> None:
    sentences = answered({"base": arm(2.0), "good": arm(1.0)}, {"metrics": {KEY: "min"}})

    assert sentences[0] == "Best mean of valid/loss/l1: good (1)."


def test_what_is_decided_is_told_with_its_size_and_counted() -> None:
    values = {"base": arm(2.0), "low": arm(1.0), "lower": arm(0.5), "as is": arm(2.01)}

    decided = said(answered(values), "Decided")

    assert re.fullmatch(
        r"Decided: 2 of 3 contrasts; low and lower are better than base in valid/loss/l1 "
        r"\(x0\.26 to 0\.51\)\.",
        decided,
    )
    assert re.fullmatch(
        rf"Open: as is against base in {KEY}; \d+ to \d+ seeds of each would tell\.",
        said(answered(values), "Open"),
    )


def test_sizes_that_read_alike_are_told_once() -> None:
    values = {
        "base": arm(2.0),
        "high": arm(4.6),
        "too": {s: {KEY: [v[KEY][0] * 1.001] * 11, LEVEL: v[LEVEL]} for s, v in arm(4.6).items()},
    }

    assert "(x2.4)" in said(answered(values), "Decided")


def test_what_is_missing_is_told_of_all_that_is_open_together() -> None:
    values = {
        "base": {s: {KEY: [2.0 + v] * 11} for s, v in enumerate((0.0, 0.1, 0.2))},
        "low": {s: {KEY: [1.75 + v] * 11} for s, v in enumerate((0.22, 0.0, 0.11))},
        "lower": {s: {KEY: [1.7 + v] * 11} for s, v in enumerate((0.1, 0.24, 0.0))},
        "as is": {s: {KEY: [2.0 + v] * 11} for s, v in enumerate((0.12, 0.19, 0.01))},
    }

    assert re.fullmatch(
        r"Open: low against base, lower against base and as is against base; with \d seeds each, "
        r"2 of these 3 contrasts would likely be decided; in 1 of them nothing is seen but noise\.",
        said(answered(values), "Open"),
    )


def test_where_nothing_differs_it_is_said() -> None:
    values = {"base": arm(2.0), "same": arm(2.001), "other": arm(1.999)}

    assert said(answered(values), "Decided") == (
        "Decided: 0 of 2 contrasts; no difference is larger than what seeds make."
    )
    assert said(answered(values), "Open") == (
        "Open: same against base and other against base; with 6 seeds each, all would likely be "
        "decided."
    )


def test_one_seed_decides_nothing_and_that_is_said() -> None:
    sentences = answered({"base": arm(2.0, seeds=1), "low": arm(1.0, seeds=1)})

    assert said(sentences, "Decided") == ""
    assert said(sentences, "Open") == "Open: low; one seed tells nothing of its noise."


def test_why_variants_failed_is_told_for_those_together_that_have_one_cause() -> None:
    sentences = answer_of(compare(make_scale_fix()))

    assert 1 <= len(sentences) <= 5
    assert "most likely because" in said(sentences, "Why")
    assert "phase_fixed meets all" in said(sentences, "Targets")


def test_a_failure_without_a_cause_is_said_to_have_none() -> None:
    values = {name: {0: {"valid/score/x": [x] * 11}} for name, x in (("base", 9.0), ("gone", 1.0))}
    sentences = answered(values, {"targets": {"valid/score/x": ">= 8"}})

    assert said(sentences, "Why") == "Why: gone failed, and what was logged tells no cause."


def test_nothing_is_said_of_variants_without_data() -> None:
    values = {"base": arm(2.0), "low": arm(1.0), "late": {0: {}}}
    sentences = answered(values, states={("late", 0): RunState.QUEUED})

    assert "late" not in " ".join(sentences)
    assert answered({"base": {0: {}}}) == ()


def test_what_is_under_way_is_not_called_the_best() -> None:
    late = {s: {KEY: [0.1] * 4} for s in range(3)}
    values = {"base": arm(2.0), "low": arm(1.0), "late": late}
    sentences = answered(
        values,
        {"metrics": {KEY: "min"}},
        states={("late", s): RunState.RUNNING for s in range(3)},
    )

    assert sentences[0] == "Best mean of valid/loss/l1: low (1)."


@pytest.mark.parametrize("goal", ["min", "max"])
def test_names_are_never_changed(goal: str) -> None:
    values = {"base": arm(2.0), "éa b": arm(1.0), "x,y=1": arm(0.5)}
    text = " ".join(answered(values, {"metrics": {KEY: goal}}))

    assert "éa b" in text
    assert "x,y=1" in text


def test_what_the_factors_do_is_told_where_a_study_declares_them() -> None:
    levels = {"base": ("off", "low"), "gan=on": ("on", "low"), "reg=high": ("off", "high")}
    levels["gan=on,reg=high"] = ("on", "high")
    loss = {"base": 2.0, "gan=on": 2.01, "reg=high": 1.0, "gan=on,reg=high": 1.005}
    data = make_data(
        {name: arm(value, seeds=4) for name, value in loss.items()},
        every=10,
        spec={"metrics": {KEY: "min"}},
    )
    table = FactorTable(
        source="design",
        levels={"gan": ("off", "on"), "reg": ("low", "high")},
        of={name: {"gan": gan, "reg": reg} for name, (gan, reg) in levels.items()},
    )

    sentences = answer_of(compare(data, factors=table))

    assert re.fullmatch(
        r"Factors: reg explains \d+% \[\d+, \d+\] of the variance of valid/loss/l1 "
        r"\(no effect seen: gan\)\.",
        said(sentences, "Factors"),
    )
    assert said(answer_of(compare(data)), "Factors") == ""
