"""Runs that begin from another's checkpoint, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.processes import trainers_of
from tests.support.projects import POINTS, TRAINER, Project, make_project

STUDY = """
study: toy
trainer: toytrain:train
base: {steps: 100, lr: 0.01, sleep_s: 0, save_every: 30}
phases:
  late: {from: slow, set: {lr: 0.1, steps: 160}, start_at: slow@40}
  slow: {}
seeds: 2
metrics: {train/loss/total: min}
targets: {train/audio/rms: "drift < 50%"}
"""
BRANCHED = (
    "select runs.seed, events.step, events.data, events.attempt_id from events "
    "join attempts on attempts.id = attempt_id join runs on runs.id = attempts.run_id "
    "where events.name = 'branched' order by 1, 4"
)
SPAN = "select variant, min(step), max(step), count(*) from run_metrics "
SPAN += "where key = 'train/loss/total' group by variant, seed order by 1"
SAVING = 'step % config.get("save_every", 50) == 0 or run.should_stop'


@pytest.fixture
def family(tmp_path: Path) -> Project:
    """Return a project whose trainer saves where others branch off."""
    return make_family(tmp_path)


def make_family(folder: Path, study: str = STUDY) -> Project:
    assert SAVING in TRAINER
    made = make_project(folder, study)
    saving = SAVING + " or step in run.checkpoint_steps"
    made.write("toytrain.py", TRAINER.replace(SAVING, saving))
    made.ablate("study", "create", "toy")
    return made


def test_branch_trains_on_from_its_parent_and_everything_names_it(family: Project) -> None:
    family.ablate("run", "--workers", "2")

    assert family.rows(SPAN) == [
        *[("late", 41, 160, 120)] * 2,
        *[("slow", 0, 100, 101)] * 2,
    ]
    before = "select seed, value from run_metrics where variant = 'slow' and step = 40 "
    parents = dict(family.rows(before + "and key = 'train/loss/total'"))
    first = "select seed, value from run_metrics where variant = 'late' and step = 41 "
    for seed, value in family.rows(first + "and key = 'train/loss/total'"):
        assert 0.9 * parents[seed] <= value <= parents[seed]
    events = family.rows(BRANCHED)
    assert [event[:2] for event in events] == [(0, 40), (1, 40)]
    ids = dict(family.rows("select seed, id from runs where parent_id is null"))
    assert json.loads(events[1][2]) == {"run": ids[1], "variant": "slow", "seed": 1}
    lineage = "select parent_id, parent_step from runs where parent_id is not null order by seed"
    assert family.rows(lineage) == [(ids[0], 40), (ids[1], 40)]
    for shown in (family.ablate("status"), family.ablate("study", "show", "toy")):
        assert "slow@40" in shown
    compared = json.loads(family.ablate("compare", "--format", "json"))
    late = next(row for row in compared["rows"] if row["variant"] == "late")
    assert "begins from slow at step 40, seed by seed" in late["reasons"]
    family.ablate("report", "toy", "-o", "report.html")
    assert "begins from slow at step 40" in (family.folder / "report.html").read_text()


def test_branch_is_trained_the_same_beside_its_parent_after_it_and_after_pauses(
    family: Project,
) -> None:
    family.ablate("run", "--workers", "4")

    slowly = make_family(family.folder / "slowly")
    slowly.ablate("run", "--workers", "1", "--steps", "35")
    assert slowly.rows("select count(*) from attempts") == [(2,)]
    assert "waits for slow-s0 to reach step 40" in slowly.ablate("status")
    slowly.ablate("run", "--only", "slow", "--executor", "inline")
    slowly.ablate("run", "--steps", "70")
    slowly.ablate("run")

    assert slowly.rows(POINTS) == family.rows(POINTS)


def test_branch_killed_before_its_first_checkpoint_branches_again(tmp_path: Path) -> None:
    calm = make_family(tmp_path / "calm")
    calm.ablate("run", "--workers", "2")
    family = make_family(tmp_path / "killed", STUDY.replace("save_every: 30", "save_every: 1000"))
    family.ablate("run", "--only", "slow", "--workers", "2")
    slower = TRAINER.replace('config.get("sleep_s", 0)', "0.01")
    family.write("toytrain.py", slower)

    running = family.start("run", "--workers", "1", "--keep")
    reached = "select 1 from run_metrics where variant = 'late' and step >= 60"
    family.wait_for(lambda: bool(family.rows(reached)))
    trainers_of(running.pid)[0].kill()

    assert running.wait(PATIENCE_S) == 0
    assert [event[:2] for event in family.rows(BRANCHED)] == [(0, 40), (0, 40), (1, 40)]
    assert family.rows(POINTS) == calm.rows(POINTS)
    lost = "select number, state, start_step, cut_step from attempts where state = 'lost'"
    assert family.rows(lost) == [(1, "lost", 40, 39)]


def test_parent_that_fails_keeps_its_branch_waiting_until_it_is_retried(tmp_path: Path) -> None:
    family = make_family(tmp_path, STUDY.replace("slow: {}", "slow: {set: {raise_at: 35}}"))

    first = family.ablate("run", "--workers", "2", code=1)
    again = family.ablate("run", code=1)

    for shown in (first, again):
        assert "late-s0 waits for slow-s0, which failed before step 40" in shown
    assert "next: ablate status, ablate logs RUN, ablate retry RUN" in again
    assert "which failed before step 40" in family.ablate("status", "--format", "json")
    assert "2 of 2 runs wait for a checkpoint of slow at step 40" in family.ablate(
        "compare", "--full"
    )
    assert family.rows("select state, count(*) from runs group by state order by state") == [
        ("failed", 2),
        ("queued", 2),
    ]
    cured = (family.folder / "toytrain.py").read_text().replace("raise Runtime", "Runtime")
    family.write("toytrain.py", cured)
    family.ablate("retry", "slow")
    family.ablate("run", "--workers", "2", "--keep")
    assert family.rows("select distinct state from runs") == [("succeeded",)]


def test_trainer_that_does_not_save_there_leaves_the_branch_waiting(family: Project) -> None:
    family.write("toytrain.py", TRAINER)

    shown = family.ablate("run", code=1)

    waiting = "late-s0 waits for slow-s0, which ended without a checkpoint at step 40"
    assert waiting in shown


def test_branch_whose_checkpoint_was_deleted_fails_by_name(family: Project) -> None:
    family.ablate("run", "--only", "slow")
    for file in family.folder.glob(".ablate/runs/*/attempt-1/checkpoints/step-000000040.*"):
        file.unlink()

    family.ablate("run", code=1)

    [(reason,), _] = family.rows("select reason from runs where state = 'failed'")
    assert reason.startswith("BranchError: slow-s")
    assert reason.endswith(
        "@40 cannot be used: its file is gone; steps with a checkpoint there: 60, 90"
    )


def test_branch_alone_says_what_it_waits_for(family: Project) -> None:
    family.ablate("run", "--only", "late")

    assert family.rows("select count(*) from attempts") == [(0,)]
    assert "waits for slow-s1 to reach step 40" in family.ablate("status")
    dry = family.ablate("run", "--dry-run")
    assert "waits for slow-s0 to reach step 40" in dry
