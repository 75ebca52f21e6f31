"""A database made when variants shared one mapping: told, never silently rewritten."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from tests.integration.conftest import Project

TRAINER = """
def train(config, run):
    for step in range(1, config["steps"] + 1):
        run.log({"train/loss/total": config["optim"]["lr"]}, step)
"""
STUDY = """
study: shared
trainer: mine:train
base: {steps: 3, optim: {lr: 0.1, wd: 0.01}}
phases:
  a: {}
factors:
  lr: {key: optim.lr, levels: [0.2, 0.9]}
"""


def spoil(project: Project) -> None:
    """Store one value for all variants, as versions before 0.2 did."""
    with closing(sqlite3.connect(project.folder / ".ablate" / "ablate.db")) as database, database:
        config = json.dumps({"steps": 3, "optim": {"lr": 0.9, "wd": 0.01}})
        database.execute("UPDATE runs SET config = ?", [config])
        database.execute("UPDATE variants SET config = ?", [config])
        (plan,) = database.execute("SELECT plan FROM studies").fetchone()
        changed = json.loads(plan)
        for variant in changed["variants"]:
            variant["config"] = json.loads(config)
        database.execute("UPDATE studies SET plan = ?", [json.dumps(changed)])


def made(project: Project) -> Project:
    project.write("mine.py", TRAINER)
    project.write("studies/shared.yaml", STUDY)
    project.ablate("study", "create", "shared")
    return project


def test_what_is_trained_is_what_is_stored(project: Project) -> None:
    made(project).ablate("run", "shared")

    rows = project.rows(
        "SELECT m.variant, r.config, m.value FROM run_metrics m JOIN runs r ON r.id = m.run"
        " WHERE m.step = 3 ORDER BY m.variant"
    )
    assert [(v, json.loads(c)["optim"]["lr"], x) for v, c, x in rows] == [
        ("a", 0.1, 0.1),
        ("lr=0.2", 0.2, 0.2),
        ("lr=0.9", 0.9, 0.9),
    ]
    assert "3 runs were looked at, each is what it is called" in project.ablate("db", "check")


def test_runs_that_never_began_take_the_right_config(project: Project) -> None:
    spoil(made(project))
    before = project.rows("SELECT id, identity, config FROM runs")

    refused = project.ablate("run", "shared", code=1)
    assert "the config of a-s0 is not the one that its identity stands for" in refused
    assert project.rows("SELECT id, identity, config FROM runs") == before

    project.ablate("study", "create", "shared", "--update")
    project.ablate("run", "shared")
    assert project.rows("SELECT DISTINCT value FROM run_metrics ORDER BY 1") == [
        (0.1,),
        (0.2,),
        (0.9,),
    ]


def test_trained_runs_are_told_and_kept(project: Project) -> None:
    made(project).ablate("run", "shared")
    spoil(project)
    before = project.rows("SELECT id, identity, config FROM runs")

    told = project.ablate("db", "check", code=4)

    assert "with another config than their variant has" in told
    assert "ablate retry --fresh" in told
    assert project.rows("SELECT id, identity, config FROM runs") == before
