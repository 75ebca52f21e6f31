"""In what two phases or runs differ, asked of a project with a trainer of its own."""

from __future__ import annotations

import json

import pytest

from tests.support.projects import Project

TRAINER = """
import math


def train(config, run):
    for step in range(0, 101, 10):
        rate = config["rate"] if step >= config.get("from_step", 0) else 1.0
        run.log({"train/loss/l1": math.exp(-rate * step / 50) + 0.01 * run.seed()}, step)
        run.log({"train/loss/fixed": 1.0 / (1 + step)}, step)
        if run.should_stop:
            return
"""
STUDY = """
study: rate
trainer: own:train
base: {rate: 1.0}
phases:
  base: {baseline: true}
  fast: {from: base, set: {rate: 3.0}}
  late: {from: base, set: {rate: 3.0, from_step: 60}}
  same: {from: base, set: {label: x}}
seeds: [0, 1]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("diff"))
    made.write("own.py", TRAINER)
    made.write("studies/rate.yaml", STUDY)
    made.write("studies/other.yaml", STUDY.replace("study: rate", "study: other", 1))
    made.ablate("study", "create", "rate")
    made.ablate("run", "--executor", "inline")
    return made


def diff(project: Project, *arguments: str) -> dict:
    return json.loads(project.ablate("diff", *arguments, "--format", "json"))


def test_config_and_the_step_of_parting_are_told(project: Project) -> None:
    found = diff(project, "base", "late")

    assert found["schema"] == "ablate.diff/1"
    assert (found["first_step"], found["equal_curves"], found["seeds"]) == (60, 1, [0, 1])
    rows = {(row["what"], row["name"]): row for row in found["rows"]}
    assert rows["config", "rate"]["second"] == "3.0"
    assert rows["config", "from_step"]["first"] == "(absent)"
    assert rows["curve", "train/loss/l1"]["parts_at"] == 60
    assert rows["curve", "train/loss/l1"]["apart_from"] == 60


def test_the_answer_is_the_first_line(project: Project) -> None:
    shown = project.ablate("diff", "base", "fast")

    assert shown.splitlines()[0] == (
        "fast differs from base in 1 config key; they part first at step 10, in train/loss/l1"
    )
    assert "equal to the bit: train/loss/fixed" in shown


def test_what_changes_nothing_is_equal_to_the_bit(project: Project) -> None:
    shown = project.ablate("diff", "base", "same")

    assert shown.startswith(
        "same differs from base in 1 config key; all 2 curves are equal to the bit"
    )


def test_two_seeds_of_one_phase_are_held_against_each_other(project: Project) -> None:
    found = diff(project, "base-s0", "base-s1")

    assert [row["name"] for row in found["rows"]] == ["train/loss/l1"]
    assert found["first_step"] == 0


def test_the_same_runs_and_names_that_are_none_are_refused(project: Project) -> None:
    assert "are the same runs" in project.told("diff", "base", "base")
    assert "did you mean 'fast'?" in project.told("diff", "base", "fasst")
