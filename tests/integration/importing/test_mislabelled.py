"""A database made when variants shared one mapping: told, never silently rewritten."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

from tests.support.projects import Project

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
    """Store one value for all variants, as versions before 0.2 did, which had no journal."""
    shutil.rmtree(project.folder / ".ablate" / "journal")
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


def test_what_was_trained_alike_is_no_sign_of_what_a_change_does(project: Project) -> None:
    made(project).ablate("run", "shared")
    with closing(sqlite3.connect(project.folder / ".ablate" / "ablate.db")) as database, database:
        database.execute("UPDATE points SET value = 0.9")
        database.execute(
            "UPDATE runs SET config = (SELECT config FROM runs WHERE id IN"
            " (SELECT run FROM run_metrics WHERE variant = 'lr=0.9'))"
        )

    told = project.ablate("compare")

    assert "3 variants have one and the same stored config" in told
    assert "likely cause" not in told


def test_seeds_that_an_early_import_took_by_name_are_told(project: Project) -> None:
    for name, loss in (("x", 1.5), ("y", 7.5)):
        project.write(f"logs/{name}/metrics.csv", f"step,loss\n1,{loss}\n2,{loss}\n")
        project.ablate("import", f"logs/{name}", "--study", "early", "--variant", "metrics")
    assert "seeds by their name alone" not in project.ablate("db", "check")
    with closing(sqlite3.connect(project.folder / ".ablate" / "ablate.db")) as database, database:
        for run, config in database.execute("SELECT id, config FROM runs").fetchall():
            note = {"source": json.loads(config)["import"]["source"]}
            changes = [json.dumps({"import": note}), run]
            database.execute("UPDATE runs SET config = ? WHERE id = ?", changes)
    shutil.rmtree(project.folder / ".ablate" / "journal")  # an early version had none

    told = project.ablate("db", "check")

    assert (
        "seeds by their name alone: early/metrics: "
        "s0 from csv:logs/x/metrics.csv and s1 from csv:logs/y/metrics.csv"
    ) in told
    assert "took runs of one name for seeds" in project.ablate("compare", "--study", "early")
