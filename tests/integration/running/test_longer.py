"""Longer training goes on from the checkpoints that are there, and says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.projects import STUDY, Project, make_project

LONGER = STUDY.replace("steps: 200", "steps: 300")
POINTS = (
    "select variant, seed, step, value from run_metrics where key = 'train/loss/total' "
    "order by variant, seed, step"
)


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose runs had 300 steps from the start."""
    made = make_project(tmp_path_factory.mktemp("at_once"), LONGER)
    made.ablate("study", "create", "toy")
    made.ablate("run", "toy")
    return made


@pytest.fixture
def project(tmp_path: Path, calm: Project) -> Project:
    """Return a copy of the project whose runs had 200 steps."""
    shutil.copytree(calm.folder, tmp_path / "copy")
    return Project(tmp_path / "copy")


def test_runs_go_on_to_where_longer_ones_would_be(project: Project, at_once: Project) -> None:
    ids = project.rows("select id from runs order by id")
    project.write("studies/toy.yaml", LONGER)

    project.ablate("study", "create", "toy", "--continue")
    project.ablate("run", "toy")

    assert project.rows(POINTS) == at_once.rows(POINTS)
    assert project.rows("select id from runs order by id") == ids
    identities = "select seed, identity, config from runs order by identity, seed"
    assert project.rows(identities) == at_once.rows(identities)
    starts = "select distinct start_step, inexact from attempts where number = 2"
    assert project.rows(starts) == [(200, "steps 200 -> 300")]
    assert "each is what it is called" in project.ablate("db", "check")
    note = "resumed, but not exactly (steps 200 -> 300): slow-s0, fast-s0, slow-s1 and fast-s1"
    assert note in project.ablate("compare", "--study", "toy")


def test_both_ways_are_offered_and_without_the_word_nothing_goes_on(project: Project) -> None:
    project.write("studies/toy.yaml", LONGER)

    refused = project.ablate("study", "create", "toy", code=2)
    assert "longer      2: slow (steps 200 -> 300), fast (steps 200 -> 300)" in refused
    assert "4 trained runs can go on from checkpoints: --continue, not --update" in refused
    assert project.rows("select distinct state from runs") == [("succeeded",)]

    project.ablate("study", "create", "toy", "--update")
    states = "select state, count(*) from runs group by state order by state"
    assert project.rows(states) == [("queued", 4), ("succeeded", 4)]


def test_command_names_what_has_changed(project: Project) -> None:
    project.write("studies/toy.yaml", LONGER)

    process = project.start("status")

    assert process.wait(PATIENCE_S) == 0
    told = (project.folder / "output.txt").read_text()
    assert "2 longer" in told
    assert "--continue instead trains longer runs on" in told


def test_run_whose_checkpoints_are_gone_has_every_step_once(
    project: Project, at_once: Project
) -> None:
    project.write("studies/toy.yaml", LONGER)
    project.ablate("study", "create", "toy", "--continue")
    for note in project.folder.glob(".ablate/runs/*/attempt-1/checkpoints/*.json"):
        note.unlink()

    project.ablate("run", "toy")

    assert project.rows(POINTS) == at_once.rows(POINTS)
    assert project.rows("select count(*) from attempts where inexact is not null") == [(0,)]


def test_run_that_another_study_wants_stays(project: Project) -> None:
    project.write("studies/other.yaml", STUDY.replace("study: toy", "study: other"))
    project.ablate("study", "create", "other")
    project.write("studies/toy.yaml", LONGER)

    refused = project.ablate("study", "create", "toy", "--continue", code=2)

    assert "--continue: no run can go on from a checkpoint" in refused
    assert project.rows("select count(*) from runs") == [(4,)]


@pytest.mark.parametrize(
    "change",
    [
        LONGER.replace("lr: 0.", "lr: 0.0"),
        STUDY.replace("steps: 200", "steps: 100"),
        LONGER + 'guards: {low: {when: "train/audio/rms < 0.01", do: stop}}\n',
    ],
    ids=["another key too", "shorter", "a guard that stops"],
)
def test_what_would_not_have_trained_alike_is_trained_anew(project: Project, change: str) -> None:
    project.write("studies/toy.yaml", change)

    refused = project.ablate("study", "create", "toy", "--continue", code=2)

    assert "no run can go on" in refused
    assert "fast (" not in refused.partition("longer")[2]


def test_key_that_was_not_there_before_can_be_said_to_change_nothing(project: Project) -> None:
    project.write("studies/toy.yaml", STUDY.replace("lr: 0.01,", "lr: 0.01, die_at: 0,"))
    refused = project.ablate("study", "create", "toy", code=2)
    assert "new keys    die_at: 0" in refused
    assert "ABSENT_MEANS = {'die_at': 0}" in refused

    module = project.folder / "toytrain.py"
    module.write_text(module.read_text() + "\n\nABSENT_MEANS = {'die_at': 0}\n")

    assert "orphaned" not in project.ablate("study", "create", "toy", "--update")
    assert project.rows("select distinct state from runs") == [("succeeded",)]
