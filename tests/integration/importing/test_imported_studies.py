"""Studies of imported runs alone: their file, baseline, metrics, targets, guards and gates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.logs import rows, write
from tests.support.projects import Project

FILE = """\
study: ext
question: which of theirs is best?
baseline: b
metrics: {valid/scalar/loss: min}
targets: {valid/scalar/loss: "<= 10"}
gates: [40, {at: 60, do: stop}]
guards:
  high: {when: valid/scalar/loss > 20, for: 5, do: stop}
  flagged: {when: valid/scalar/loss > 9}
"""


def compared(project: Project, *arguments: str) -> dict[str, Any]:
    shown = json.loads(project.ablate("compare", "--study", "ext", *arguments, "--format", "json"))
    rows = {row["variant"]: row for row in shown["rows"]}
    return {"baseline": shown["baseline"], **rows}


@pytest.fixture
def logs(project: Project) -> Project:
    scales = {"a": 0.11, "b": 0.05, "c": 0.5}
    files = {
        f"{n}.csv": rows(1, 101, scale=s).replace("loss", "val_loss") for n, s in scales.items()
    }
    write(project.folder, files)
    return project


def test_rules_of_a_file_are_judged_on_the_points(logs: Project) -> None:
    path = logs.write("studies/ext.yaml", FILE)
    assert "nothing imported yet" in logs.ablate("study", "create", "ext")
    assert "ablate import SOURCE" in logs.ablate("compare", "--study", "ext", code=3)

    logs.ablate("import", "a.csv", "b.csv", "c.csv", "--study", "ext")

    found = compared(logs)
    assert found["baseline"] == "b"
    verdicts = {name: found[name]["verdict"] for name in "abc"}
    assert verdicts == {"a": "degrading", "b": "passed", "c": "failed"}
    assert "guard flagged fired in 1 of 1 run at step 82" in found["a"]["reasons"]
    assert found["c"]["reasons"][1:4] == [
        "guard high, which stops runs, fired in 1 of 1 run at step 46",
        "critical at gate 60, which stops runs: valid/scalar/loss in 1 of 1 run",
        "guard flagged fired in 1 of 1 run at step 19",
    ]
    assert compared(logs, "--at", "30")["c"]["verdict"] == "degrading"
    # What is imported and what is trained stays as it is when the rules change.
    before = logs.rows("select * from points")
    path.write_text(FILE.replace('"<= 10"', '"<= 100"').replace("baseline: b", "baseline: a"))
    assert "--update" in logs.ablate("study", "create", "ext", code=2)
    logs.ablate("study", "create", "ext", "--update")
    assert compared(logs)["baseline"] == "a"
    assert logs.rows("select * from points") == before


def test_a_guard_that_stops_fails_a_run_that_meets_its_targets(logs: Project) -> None:
    text = FILE.replace('"<= 10"', '"<= 100"').replace("gates: [40, {at: 60, do: stop}]\n", "")
    logs.write("studies/ext.yaml", text)
    logs.ablate("study", "create", "ext")
    logs.ablate("import", "a.csv", "b.csv", "c.csv", "--study", "ext")

    found = compared(logs)

    assert (found["b"]["verdict"], found["c"]["verdict"]) == ("passed", "failed")
    assert (
        found["c"]["reasons"][0] == "guard high, which stops runs, fired in 1 of 1 run at step 46"
    )


def test_file_is_written_with_what_was_logged(logs: Project) -> None:
    logs.ablate("import", "a.csv", "b.csv", "--study", "ext", "--goal", "valid/scalar/loss=min")

    logs.ablate("study", "create", "ext", "--imported")

    path = logs.folder / "studies" / "ext.yaml"
    text = path.read_text()
    assert "trainer: imported\nbaseline: a\n" in text
    assert "valid/scalar/loss" in text
    path.write_text(text.replace("baseline: a", "baseline: b"))
    logs.ablate("study", "create", "ext", "--update")
    assert compared(logs)["baseline"] == "b"
    said = logs.ablate(
        "import", "c.csv", "--study", "ext", "--goal", "valid/scalar/loss=max", code=2
    )
    assert "has a study file" in said


def test_study_of_imports_may_be_made_before_the_first(logs: Project) -> None:
    logs.ablate("study", "create", "ext", "--imported")
    logs.ablate("status", "ext")
    logs.ablate("run", "ext")

    logs.ablate("import", "a.csv", "--study", "ext")

    assert compared(logs)["baseline"] == "a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("study: ext\ntrainer: imported\nseeds: 3\n", "'seeds' is for training"),
        ("study: ext\ntrainer: imported\nphases: {a: {}}\n", "'phases' is for training"),
        ("study: ext\ntrainer: imported\ngates: [3]\n", "gates judge targets"),
        (
            "study: ext\nbaseline: a\nphases: {a: {}}\n",
            "the phase that the others are compared with says so itself",
        ),
        ("study: ext\nbaseline: z\nmetrics: {x/y/z: min}\n", "there is no imported phase 'z'"),
    ],
)
def test_file_that_cannot_be_is_refused(logs: Project, text: str, said: str) -> None:
    logs.ablate("import", "a.csv", "--study", "ext")
    logs.write("studies/ext.yaml", text)

    assert said in logs.ablate("study", "create", "ext", "--update", code=2)


def test_a_study_that_trains_is_not_only_imported(project: Project) -> None:
    project.ablate("study", "create", "toy")

    assert "trains with" in project.ablate("study", "create", "toy", "--imported", code=2)
