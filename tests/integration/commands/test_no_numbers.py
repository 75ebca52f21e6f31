"""Runs that end in NaN without an error: no view may take them for results."""

from __future__ import annotations

import json

import pytest

from tests.support.projects import Project

TRAINER = '''
"""A loss that falls, and from a step on is no number; it does not stop by itself."""
import random


def train(config, run):
    scale = 1 + random.Random(run.seed("data")).random()
    state = run.resume()
    for step in range(state["step"] + 1 if state else 1, 61):
        is_broken = config.get("breaks_at") and step >= config["breaks_at"]
        loss = float(config.get("broken", "nan")) if is_broken else scale / step
        run.log({"train/loss/total": loss, "valid/audio/score": scale + step}, step)
        if step == config.get("pause_at") or run.should_stop:
            run.save(step, {"step": step})
        if run.should_stop:
            return
'''

STUDY = """
study: odd
trainer: oddtrain:train
base: {rate: 1}
phases:
  base: {baseline: true}
  breaks: {set: {breaks_at: 40}}
  bursts: {set: {breaks_at: 30, broken: "-inf"}}
seeds: 2
metrics: {train/loss/total: {goal: min, rule: min}}
guards: {broken: {when: "train/loss/total is not finite and valid/audio/score > 0", for: 10}}
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return trained(Project(tmp_path_factory.mktemp("odd")), STUDY)


def trained(project: Project, study: str) -> Project:
    project.write("oddtrain.py", TRAINER)
    project.write("studies/odd.yaml", study)
    project.ablate("study", "create", "odd")
    project.ablate("run", "--workers", "1")
    return project


def rows(project: Project, *command: str) -> list[dict]:
    return json.loads(project.ablate(*command, "--format", "json"))["rows"]


def test_status_names_the_metrics_that_are_no_numbers_any_more(odd: Project) -> None:
    found = {(row["phase"], row["state"], row["not_finite"]) for row in rows(odd, "status")}

    assert found == {
        ("base", "succeeded", None),
        ("breaks", "succeeded", "train/loss/total is NaN"),
        ("bursts", "succeeded", "train/loss/total is -Infinity"),
    }
    assert "train/loss/total is -Infinity" in odd.ablate("status", "odd")


def test_comparison_fails_them_although_the_lowest_loss_was_a_number(odd: Project) -> None:
    found = {row["variant"]: row for row in rows(odd, "compare")}

    assert found["base"]["verdict"] == "not judged"
    assert found["breaks"]["verdict"] == found["bursts"]["verdict"] == "failed"
    assert found["breaks"]["reasons"][0] == (
        "2 of 2 runs end in NaN in train/loss/total (first at step 40)"
    )
    assert found["bursts"]["reasons"][0] == (
        "2 of 2 runs end in -Infinity in train/loss/total (first at step 30)"
    )
    assert found["breaks"]["values"]["train/loss/total"]["contrast"]["verdict"] == "unresolved"


def test_guard_that_says_no_number_fires_once_it_has_held(odd: Project) -> None:
    fired = odd.rows(
        "select step, data from events where name = 'guard_fired' order by step, attempt_id"
    )

    assert [step for step, _ in fired] == [40, 40, 50, 50]
    data = json.loads(fired[-1][1])
    assert data["when"] == "train/loss/total is not finite and valid/audio/score > 0"
    assert data["since_step"] == 40


def test_guard_that_stops_at_no_number_stops_there_after_a_resume_too(project: Project) -> None:
    guard = 'guards: {broken: {when: "train/loss/total is nan", for: 5, do: stop}}'
    study = STUDY.split("guards:")[0].replace("rate: 1", "pause_at: 42") + guard
    project.write("oddtrain.py", TRAINER)
    project.write("studies/odd.yaml", study)
    project.ablate("study", "create", "odd")
    project.ablate("run", "--steps", "42")
    project.ablate("run")

    found = {(row["phase"], row["state"], row["step"]) for row in rows(project, "status")}
    assert found == {
        ("base", "succeeded", 60),
        ("breaks", "stopped", 45),
        ("bursts", "succeeded", 60),
    }
