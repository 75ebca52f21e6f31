"""`ablate import` from the command line: runs of other tools stand beside one's own."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.logs import VERSION, event, scalar
from tests.support.projects import Project

A = "step,train_loss,val/loss\n0,1.0,2.0\n1,0.5,1.5\n2,0.25,NaN\n"
B = "step,train_loss,val/loss\n0,1.0,2.0\n1,0.4,1.1\n2,0.2,1.0\n"


def tables(project: Project) -> list[list[tuple]]:
    names = ("studies", "variants", "runs", "study_runs", "attempts", "points", "transitions")
    return [project.rows(f"select * from {name}") for name in names]


def test_imported_runs_are_compared_and_never_trained(project: Project) -> None:
    project.write("a.csv", A)
    project.write("b.csv", B)

    project.ablate("import", "csv", "a.csv", "--study", "ext", "--goal", "train/scalar/loss=min")
    project.ablate("import", "csv", "b.csv", "--study", "ext")
    project.ablate("study", "create", "toy")
    project.ablate("run", "--steps", "5", "--workers", "1")
    project.ablate("run", "ext")

    shown = json.loads(project.ablate("compare", "--study", "ext", "--format", "json"))
    assert [row["variant"] for row in shown["rows"]] == ["a", "b"]
    assert shown["baseline"] == "a"
    assert shown["rows"][1]["values"]["train/scalar/loss"]["mean"] == 0.2
    project.ablate("report", "ext", "-o", "ext.md")
    assert "train/scalar/loss" in (project.folder / "ext.md").read_text()
    states = project.rows("select trainer, state, count(*) from runs group by 1, 2 order by 1")
    assert states == [("imported", "succeeded", 2), ("toytrain:train", "queued", 4)]
    assert project.rows("select count(*) from attempts where runner not like 'import%'") == [(4,)]


def test_plain_import_is_compared_by_what_was_logged_and_not_judged(project: Project) -> None:
    project.write("a.csv", A)
    project.write("b.csv", B)
    for name in ("a", "b"):
        project.ablate("import", "csv", f"{name}.csv", "--study", "ext")

    shown = json.loads(project.ablate("compare", "--study", "ext", "--format", "json"))
    rows = {row["variant"]: row for row in shown["rows"]}
    values = rows["b"]["values"]
    assert {key: found["mean"] for key, found in values.items()} == {
        "train/scalar/loss": 0.2,
        "valid/scalar/loss": 1.0,
    }
    assert rows["b"]["verdict"] == "not judged"
    assert rows["a"]["verdict"] == "failed"
    assert "ends in NaN in valid/scalar/loss" in rows["a"]["reasons"][0]


def test_import_again_changes_nothing_and_what_grew_is_replaced(project: Project) -> None:
    path = project.write("a.csv", A)
    project.ablate("import", "csv", "a.csv", "--study", "ext", "--variant", "theirs", "--seed", "3")
    before = tables(project)

    project.ablate("import", "csv", str(path), "--study", "ext")
    assert tables(project) == before

    project.write("a.csv", A + "3,0.1,0.9\n")
    rows = json.loads(
        project.ablate("import", "csv", "a.csv", "--study", "ext", "--format", "json")
    )
    assert [(r["variant"], r["seed"], r["change"]) for r in rows["rows"]] == [
        ("theirs", 3, "replaced")
    ]
    steps = "select max(step), count(*) from run_metrics where key = 'train/scalar/loss'"
    assert project.rows(steps) == [(3, 4)]


def test_dry_run_and_refusals_make_nothing(project: Project) -> None:
    project.write("a.csv", A)
    project.write("empty.csv", "step,loss\n0,\n")

    project.ablate("import", "csv", "a.csv", "--study", "ext", "--dry-run")
    project.ablate("import", "csv", "empty.csv", "--study", "ext", code=2)
    project.ablate("import", "csv", "none.csv", "--study", "ext", code=3)
    project.ablate("import", "csv", "a.csv", "--study", "a b", code=2)
    project.ablate("import", "csv", "a.csv", "--study", "ext", "--map", "lss=step", code=2)

    assert not (project.folder / ".ablate").exists()


def test_imported_variant_stays_beside_trained_ones(project: Project) -> None:
    project.write("theirs.csv", A.replace("train_loss", "train/loss/total"))
    project.write("slow.csv", A)
    project.ablate("study", "create", "toy")
    project.ablate("import", "csv", "theirs.csv", "--study", "toy")
    assert "--variant" in project.ablate("import", "csv", "slow.csv", "--study", "toy", code=2)

    project.ablate("run", "toy", "--only", "slow", "--workers", "1")
    project.ablate("study", "create", "toy", "--seeds", "3", "--force", "--update")

    labels = "select variant, count(distinct run) from run_metrics group by 1 order by 1"
    assert project.rows(labels) == [("slow", 2), ("theirs", 1)]
    shown = json.loads(
        project.ablate("compare", "slow", "theirs", "--study", "toy", "--format", "json")
    )
    assert shown["baseline"] == "slow"
    assert shown["at_step"] == 2


def test_tensorboard_folders_become_variants(project: Project) -> None:
    for name in ("small-s0", "small-s1", "large-s0"):
        path = project.folder / "logs" / name / "events.out.tfevents.1"
        path.parent.mkdir(parents=True)
        scale = 4 if name == "small-s1" else 8
        events = (event(100 + i, i, scalar("loss", i / scale)) for i in range(20))
        whole = VERSION + b"".join(events)
        path.write_bytes(whole[: -3 if name == "large-s0" else len(whole)])

    for _ in range(2):
        project.ablate("import", "tensorboard", "logs", "--study", "tb")

    rows = project.rows(
        "select variant, seed, count(*), max(value), min(time) from run_metrics group by 1, 2"
    )
    assert rows == [
        ("large", 0, 19, 18 / 8, 100.0),
        ("small", 0, 20, 19 / 8, 100.0),
        ("small", 1, 20, 19 / 4, 100.0),
    ]


def test_mlflow_experiment_with_histories(project: Project) -> None:
    pytest.importorskip("mlflow", reason="needs mlflow")
    code = """
import mlflow, math
mlflow.set_tracking_uri("sqlite:///theirs.db")
client = mlflow.MlflowClient()
experiment = client.create_experiment("codec")
for seed in (0, 1):
    run = client.create_run(experiment, run_name=f"base-s{seed}")
    client.log_param(run.info.run_id, "lr", 0.1)
    for step in range(5):
        client.log_metric(run.info.run_id, "train_loss", 1 / (step + 1), 1000 * step + 500, step)
    client.log_metric(run.info.run_id, "train_loss", math.inf, 9000, 5)
    client.log_metric(run.info.run_id, "train_loss", math.nan, 9500, 6)
    client.set_terminated(run.info.run_id, "FINISHED" if seed == 0 else "FAILED")
"""
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.folder,
        env=environment,
        check=True,
        capture_output=True,
    )

    arguments = ("mlflow", "sqlite:///theirs.db", "--study", "m", "--experiment", "codec")
    assert "no file" in project.ablate(
        "import", "mlflow", "sqlite:///no.db", "--study", "m", code=3
    )
    project.ablate("import", *arguments)
    assert not (project.folder / "no.db").exists()

    rows = project.rows(
        "select variant, seed, step, value, kind, time from run_metrics order by 2, 3"
    )
    assert len(rows) == 14
    assert rows[1] == ("base", 0, 1, 0.5, "finite", 1.5)
    assert [row[3:5] for row in rows[5:7]] == [(None, "+inf"), (None, "nan")]
    assert project.rows("select state from runs order by seed") == [("succeeded",), ("failed",)]


def test_own_export_comes_back_equal(calm: Project, project: Project) -> None:
    calm.ablate("export", "toy", "--format", "ndjson", "-o", str(project.folder / "toy.ndjson"))

    project.ablate("import", "jsonl", "toy.ndjson", "--study", "copy")

    query = "select variant, seed, key, step, value, kind, time from run_metrics order by 1,2,3,4"
    assert project.rows(query) == calm.rows(query)
