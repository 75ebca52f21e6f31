"""Variants of several studies side by side: `ablate compare rate/base rate2/base`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.projects import Project

TRAINER = """
import random


def train(config, run):
    rng = random.Random(run.seed())
    for step in range(0, 51, 10):
        run.log({"valid/loss/l1": config["level"] + 0.01 * rng.random() + 1 / (1 + step)}, step)
        run.log({"valid/score/x": 5 * config["level"] + 0.01 * rng.random()}, step)
        if run.should_stop:
            return
"""
RATE = """
study: rate
trainer: own:train
base: {level: 1.0}
phases:
  base: {baseline: true}
  high: {from: base, set: {level: 2.0}}
seeds: [0, 1, 2]
metrics: {valid/loss/l1: min}
"""
RATE2 = """
study: rate2
trainer: own:train
base: {level: 1.0}
phases:
  base: {baseline: true}
  low: {from: base, set: {level: 0.5}}
seeds: [0, 1, 2]
metrics: {valid/score/x: max, valid/loss/l1: {goal: min, rule: last}}
aa: 1
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("across"))
    made.write("own.py", TRAINER)
    made.write("studies/rate.yaml", RATE)
    made.write("studies/rate2.yaml", RATE2)
    made.ablate("study", "create", "rate")
    made.ablate("study", "create", "rate2")
    made.ablate("run", "--executor", "inline")
    return made


def compared(project: Project, *arguments: str) -> dict[str, Any]:
    return json.loads(project.ablate("compare", *arguments, "--format", "json"))


def test_variants_of_two_studies_are_compared_with_the_first_that_is_named(
    project: Project,
) -> None:
    found = compared(project, "rate/base", "rate2/base", "rate2/low", "rate/high")
    rows = {row["variant"]: row for row in found["rows"]}

    assert list(rows) == ["rate/base", "rate2/base", "rate2/low", "rate/high"]
    assert (found["study"], found["baseline"]) == ("rate, rate2", "rate/base")
    assert [metric["key"] for metric in found["metrics"]] == ["valid/loss/l1", "valid/score/x"]
    # One config at one seed is one run, whichever study asked for it.
    assert rows["rate2/base"]["verdict"] == "no effect"
    verdicts = {
        name: row["values"]["valid/loss/l1"]["contrasts"][0]["verdict"]
        for name, row in rows.items()
        if row["values"]["valid/loss/l1"]["contrasts"]
    }
    assert verdicts == {"rate2/base": "equal", "rate2/low": "better", "rate/high": "worse"}
    assert rows["rate/high"]["values"]["valid/score/x"]["mean"] == pytest.approx(10, abs=0.1)
    assert "rate2 declares valid/loss/l1 otherwise; here it is judged as in rate" in found["notes"]


def test_the_baseline_and_names_of_one_study_may_be_written_so_too(project: Project) -> None:
    other = compared(project, "rate/base", "--baseline", "rate2/low")
    alone = compared(project, "rate/high", "rate/base")

    assert (other["baseline"], len(other["rows"])) == ("rate2/low", 2)
    assert alone == compared(project, "high", "base", "--study", "rate")


@pytest.mark.parametrize(
    ("names", "code", "message"),
    [
        (["rate/base", "rate2/lo"], 3, "the study 'rate2' has no variant 'lo'"),
        (["rate/base", "rte2/low"], 3, "there is no study 'rte2'"),
        (["rate/base", "low"], 2, "'low' is written without its study, beside rate/base"),
        (["base", "rate"], 3, "no study has a variant 'rate'"),
    ],
)
def test_a_name_that_is_none_is_one_error(
    project: Project, names: list[str], code: int, message: str
) -> None:
    said = project.ablate("compare", *names, code=code)

    assert said.startswith("error: ")
    assert message in said
    assert "hint: " in said
