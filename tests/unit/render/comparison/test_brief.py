"""What is seen first: one screen, the best on top, nothing said twice and no name cut."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from ablate.analysis.comparison import Comparison, compare
from ablate.domain import RunState
from ablate.render.comparison.text import render
from tests.support.arms import KEY, LEVEL, SPEC, arm
from tests.support.factories import make_data, make_scale_fix


def many(count: int) -> Comparison:
    values = {"baseline": arm(2.0, 0.001)}
    values |= {f"rms_loss=scale_anchor_{i}": arm(1.0 + 0.1 * i) for i in range(count - 1)}
    return compare(make_data(values, every=10, spec=SPEC))


def lines_of(comparison: Comparison, width: int) -> list[str]:
    return render(comparison, "table", width=width).split("\n")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_fourteen_variants_take_a_line_each_and_fit_sixty(width: int) -> None:
    lines = lines_of(many(14), width)

    assert len(lines) <= 60
    assert max(map(cell_len, lines)) <= width
    for i in range(13):
        assert sum(f"rms_loss=scale_anchor_{i} " in f"{line} " for line in lines) >= 1


def test_four_variants_stand_side_by_side_and_fit_forty_lines() -> None:
    lines = lines_of(compare(make_scale_fix()), 100)

    assert len(lines) <= 40
    assert any(line.startswith("metric") and "phase_fixed" in line for line in lines)
    assert any(line.startswith("  against phase1") for line in lines)


def test_variants_are_sorted_by_verdict() -> None:
    lines = lines_of(many(6), 160)
    rows = [line.split()[:2] for line in lines if line.startswith(("rms_loss", "baseline"))]

    assert rows == [[f"rms_loss=scale_anchor_{i}", "passed"] for i in range(5)] + [
        ["baseline", "failed"]
    ]


def test_differences_under_a_metric_name_their_references_where_they_differ() -> None:
    data = make_data(
        {"base": arm(2.0), "a": arm(1.5), "b": arm(1.0)},
        every=10,
        spec=SPEC | {"phases": {"b": {"from": "a"}}},
    )

    row = next(line for line in lines_of(compare(data), 200) if "  difference" in line)
    assert "better (base)" in row
    assert "better (a)" in row


def test_a_reason_is_given_once_and_not_what_the_answer_says() -> None:
    comparison = compare(make_scale_fix())
    lines = render(comparison, "table").split("\n")

    told = {row.variant for row in comparison.rows if row.causes}
    assert told
    for row in comparison.rows:
        is_named = any(line.startswith(f"- {row.variant} failed: ") for line in lines)
        # Why one failed is in the answer where it is known, else below the table.
        assert is_named is (row.verdict == "failed" and row.variant not in told)


def test_who_has_no_data_takes_one_line() -> None:
    values = {"base": arm(2.0), **{f"late{i}": {0: {}} for i in range(3)}}
    states = {(f"late{i}", 0): RunState.QUEUED for i in range(3)}
    text = render(compare(make_data(values, every=10, spec=SPEC, states=states)), "table")

    assert "- no data: late0, late1 and late2" in text
    assert text.count("late1") <= 3


def test_everything_is_one_option_away() -> None:
    comparison = compare(make_scale_fix())
    brief, full = (render(comparison, "table", is_full=is_full) for is_full in (False, True))

    assert "With --full: all values" in brief
    assert "--full" not in full
    assert len(full) > 2 * len(brief)
    for row in comparison.rows:
        assert all(reason in full for reason in row.reasons)


def test_of_very_many_variants_the_first_have_a_line_and_the_others_are_counted() -> None:
    text = render(many(60), "table", width=None)

    assert "the first 40 of 60 variants; `ablate compare --full` shows all" in text
    assert text.count("passed") == 40
    assert render(many(60), "table", width=None, is_full=True).count("baseline") > 1


def test_every_target_that_is_missed_is_named() -> None:
    other = "valid/score/x"
    values = {
        name: {s: arm(2.0, level)[s] | {other: [score] * 11} for s in range(3)}
        for name, level, score in (("base", 0.075, 9.0), ("low", 0.055, 7.9))
    }
    spec = SPEC | {"targets": {LEVEL: "0.075 +-20%", other: ">= 8"}}

    text = render(compare(make_data(values, every=10, spec=spec)), "table", width=None)

    (line,) = (line for line in text.split("\n") if line.startswith("- low "))
    assert line.endswith(f"its target 0.075 +-20%; never met; {other} missed too")


def test_a_drift_is_told_beside_the_value_that_drifted() -> None:
    norm = "train/norm/out"
    moved = {s: {KEY: [1.0 + s] * 11, norm: [2.0] * 10 + [0.5 + 0.02 * s]} for s in range(2)}
    metrics = {KEY: "min", norm: {"goal": "target", "rule": "last"}}
    spec = {"metrics": metrics, "targets": {norm: "drift < 50%"}}

    text = render(compare(make_data({"base": moved}, every=10, spec=spec)), "table", width=None)

    assert "0.51 (-74.5%) !" in text


def test_without_a_declared_metric_the_first_that_was_logged_is_shown() -> None:
    values = {f"v{i}": arm(1.0 + i) for i in range(6)}

    text = render(compare(make_data(values, every=10, spec={})), "table", width=None)

    (line,) = (line for line in text.split("\n") if line.startswith("v3 "))
    assert line.split()[:3] == ["v3", "not", "judged"]
    assert 3.8 < float(line.split()[3]) < 4.2
