"""Lists on terminals of any width: no name is cut, nothing is lost without a word."""

from __future__ import annotations

import re

import pytest

from ablate.domain import Parent, RunState
from ablate.render.listing import hanging, render_list
from ablate.render.runs.table import Remarks, runs_table, worth_listing
from ablate.render.tables import Table
from tests.support.factories import make_run

_LONG = [f"quantizer_residual_with_{name}_and_weight_decay_{n}" for n, name in enumerate("abc")]
_REASON = "RuntimeError: the shapes of the residual quantizer and of its inputs do not fit at all"
_NOW = 1_700_000_100.0


def lines_of(table: Table, width: int) -> list[str]:
    text = render_list(table, "table", schema="x/1", width=width)
    return re.sub(r"\x1b\[[0-9;]*m", "", text).split("\n")


def failed_among_others() -> Table:
    runs = [make_run(name, seed, study="toy") for seed in range(2) for name in _LONG]
    runs[1] = make_run(_LONG[1], 0, study="toy", state=RunState.FAILED, reason=_REASON)
    return runs_table(runs, _NOW)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_names_are_whole_and_lines_fit_at_any_width(width: int) -> None:
    lines = lines_of(failed_among_others(), width)

    assert sum(any(name in line for name in _LONG) for line in lines) == 6
    assert max(map(len, lines)) <= max(width, len("RuntimeError:") + len(_LONG[0]))


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_reason_stands_right_below_its_run(width: int) -> None:
    lines = lines_of(failed_among_others(), width)

    (at,) = (i for i, line in enumerate(lines) if "failed" in line and "run" not in line.split()[1])
    reason = [line for line in lines[at + 1 :] if not line.startswith(tuple(_LONG))]
    text = " ".join(line.strip() for line in lines[at + 1 : at + 1 + len(reason)])
    assert text.startswith(f"reason: {_REASON}")
    assert lines[at + 1].startswith("    ")


def test_all_stands_in_one_line_where_there_is_room() -> None:
    (line,) = (line for line in lines_of(failed_among_others(), 220) if "failed  " in line)

    assert line.endswith(_REASON)


def test_columns_without_room_are_named() -> None:
    lines = lines_of(failed_among_others(), 80)

    assert lines[-1] == "no room for: study, attempts, wall_s (--format csv has them)"


def test_counts_stand_first() -> None:
    lines = lines_of(failed_among_others(), 80)

    assert lines[0] == "6 runs: 5 succeeded, 1 failed"


def test_text_hangs_and_no_word_is_broken() -> None:
    path = "/a/very/long/path/that/is/wider/than/the/terminal/file.txt"

    assert hanging(f"reason: see {path} for more", 30, 4) == [
        "    reason: see",
        f"      {path}",
        "      for more",
    ]


def test_runner_and_last_sign_are_told_of_what_is_being_trained() -> None:
    runner = "gpu03/boot/4242/77/abcd"
    runs = [
        make_run("a", 0, state=RunState.RUNNING, runner=runner, logged_at=_NOW - 12),
        make_run("b", 0, runner="gpu04/boot/1/2/abcd"),
    ]

    columns = [column.title for column in runs_table(runs, _NOW).columns]
    first, second = (dict(zip(columns, row, strict=True)) for row in runs_table(runs, _NOW).rows)

    assert first["runner"].text == "gpu03 (pid 4242)"
    assert first["runner"].raw == runner
    assert first["heard"].text == "12s ago"
    assert first["heard"].raw == "2023-11-14T22:14:48+00:00"
    assert second["runner"].text == second["heard"].text == ""


def test_nothing_is_said_of_runners_where_nothing_runs() -> None:
    columns = [column.title for column in runs_table([make_run("a", 0)], _NOW).columns]

    assert "runner" not in columns
    assert "heard" not in columns


def test_run_whose_runner_has_ended_says_so() -> None:
    run = make_run("a", 0, state=RunState.RUNNING, runner="h/b/1/2/c", logged_at=_NOW - 90)

    table = runs_table([run], _NOW, Remarks(gone={run.id}))

    assert table.rows[0][-1].text == "its runner has ended; `ablate run` goes on with it"


def test_of_many_runs_those_are_listed_that_need_someone() -> None:
    runs = [make_run("calm", seed) for seed in range(300)]
    bad = make_run("bad", 0, state=RunState.FAILED)
    odd = make_run("odd", 0)
    running = make_run("new", 0, state=RunState.RUNNING)

    listed, others = worth_listing([*runs, bad, odd, running], Remarks(no_numbers={odd.id: "x"}))

    assert listed == [bad, odd, running]
    assert others == runs
    table = runs_table(listed, _NOW, not_listed=others)
    assert table.title == "303 runs: 1 running, 301 succeeded, 1 failed"
    assert table.notes == ("not listed: 300 succeeded; --all lists them too",)


def test_of_very_many_that_failed_the_running_ones_are_not_crowded_out() -> None:
    runs = [make_run("bad", seed, state=RunState.FAILED) for seed in range(200)]
    running = make_run("new", 0, state=RunState.RUNNING)

    listed, others = worth_listing([*runs, running], Remarks())

    assert len(listed) == 50
    assert listed[-1] == running
    assert len(others) == 151


def test_few_runs_are_all_listed() -> None:
    runs = [make_run("calm", seed) for seed in range(50)]

    assert worth_listing(runs, Remarks()) == (runs, [])


def test_branch_points_may_be_left_out() -> None:
    parent = Parent(
        run_id="0" * 16, variant=_LONG[0], step=40, state=RunState.SUCCEEDED, has_checkpoint=True
    )

    lines = lines_of(runs_table([make_run(_LONG[1], 0, parent=parent)], _NOW), 80)

    assert "start_at" in lines[-1]
