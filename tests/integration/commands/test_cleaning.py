"""`ablate clean`: what no study wants is shown first, and deleted when asked to."""

from __future__ import annotations

import json

from tests.support.disks import SmallDisk
from tests.support.projects import Project

TRAIN = """
def train(config, run):
    for step in range(config["steps"] + 1):
        run.log({"loss": config["lr"] / (step + 1)}, step=step)
"""
STUDY = """
study: rate
trainer: train:train
base: {steps: 5, lr: 0.1}
phases:
  a: {baseline: true}
  b: {set: {lr: 0.2}}
metrics: {loss: min}
"""
TABLES = ("runs", "attempts", "points", "steps", "series", "study_runs", "transitions")


def rows(project: Project) -> dict[str, int]:
    return {name: project.rows(f"select count(*) from {name}")[0][0] for name in TABLES}


def test_orphan_is_shown_then_deleted_with_its_folder_and_nothing_else_is(project: Project) -> None:
    project.write("train.py", TRAIN)
    project.write("studies/rate.yaml", STUDY)
    project.ablate("study", "create", "rate")
    project.ablate("run", "rate")
    project.write("studies/rate.yaml", STUDY.replace("lr: 0.2", "lr: 0.4"))
    project.ablate("study", "create", "rate", "--update")
    stray = project.folder / ".ablate" / "runs" / "0123456789abcdef"
    stray.mkdir()
    before = rows(project)

    shown = json.loads(project.ablate("clean", "--format", "json"))
    assert shown["is_dry_run"]
    assert [(row["phase"], row["state"]) for row in shown["rows"]] == [
        ("b", "succeeded"),
        (None, "no run"),
    ]
    assert shown["size"] == sum(row["size"] for row in shown["rows"]) > 0
    assert rows(project) == before
    assert stray.exists()

    project.ablate("clean", "--delete")

    assert not stray.exists()
    assert json.loads(project.ablate("clean", "--format", "json"))["rows"] == []
    assert project.ablate("clean") == ""
    kept = project.rows("select run, count(*) from run_metrics group by 1")
    assert [count for _, count in kept] == [6]
    assert {path.name for path in stray.parent.iterdir()} == {run for run, _ in kept}
    assert rows(project) == before | {
        "runs": 2,
        "attempts": 1,
        "points": 6,
        "steps": 6,
        "series": 1,
        "study_runs": 2,
        "transitions": rows(project)["transitions"],
    }
    assert "nothing is damaged" in project.ablate("db", "check")


def test_folder_behind_a_link_goes_and_one_that_cannot_holds_back_no_other(
    project: Project, small_disk: SmallDisk, tmp_path_factory
) -> None:
    project.write("train.py", TRAIN)
    project.write("studies/rate.yaml", STUDY)
    project.ablate("study", "create", "rate")
    project.ablate("run", "rate")
    runs = project.folder / ".ablate" / "runs"
    busy, moved = (runs / name for (name,) in project.rows("select id from runs order by id"))
    busy.rename(runs / "aside")
    busy.symlink_to(small_disk.folder)  # what another file system is mounted at cannot be deleted
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "moved"
    moved.rename(elsewhere)
    moved.symlink_to(elsewhere)
    project.write("studies/rate.yaml", STUDY.replace("lr: 0.", "lr: 1."))
    project.ablate("study", "create", "rate", "--update")

    project.ablate("clean", "--delete", code=4)

    assert not elsewhere.exists()
    assert not moved.is_symlink()
    found = json.loads(project.ablate("clean", "--format", "json"))["rows"]
    assert [(row["run"], row["state"]) for row in found] == [(busy.name, "no run")]
    assert project.rows("select state from runs") == [("queued",), ("queued",)]
