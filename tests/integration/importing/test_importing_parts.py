"""Runs in several files, imported at once, one after the other and again; runs that still train."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.support.logs import DAY, field, rows, wandb_history, wandb_item, write, write_wandb
from tests.support.projects import Project


def curves(project: Project) -> dict[tuple[str, int], list[int]]:
    """Return (variant, seed) -> its steps, whose values are checked."""
    found: dict[tuple[str, int], list[int]] = {}
    query = "select variant, seed, step from run_metrics where key like '%loss' order by 1, 2, 3"
    for variant, seed, step in project.rows(query):
        found.setdefault((variant, seed), []).append(step)
    return found


PARTS = {
    "lightning_logs/version_3/metrics.csv": rows(0, 50),
    "lightning_logs/version_4/metrics.csv": rows(45, 100, scale=2.0),
    "lightning_logs/version_3/hparams.yaml": "lr: 0.1\n",
    "lightning_logs/version_4/hparams.yaml": "lr: 0.1\n",
}


def test_resumed_run_is_one_and_again_nothing_changes(project: Project) -> None:
    write(project.folder / "exp", PARTS)

    for place in ("exp", "exp/lightning_logs", "exp/lightning_logs/version_4", "exp"):
        project.ablate("import", place, "--study", "s")

        assert curves(project) == {("exp", 0): list(range(100))}
        values = "select step, value from run_metrics where step in (44, 45, 99) order by 1"
        assert project.rows(values) == [(44, 44.0), (45, 90.0), (99, 198.0)]


def test_parts_that_were_imported_as_two_runs_become_one(project: Project) -> None:
    write(project.folder / "exp", PARTS)
    project.ablate("import", "exp", "--study", "s", "--separate")
    assert len(curves(project)) == 2

    project.ablate("import", "exp", "--study", "s")

    assert list(curves(project).values()) == [list(range(100))]
    project.ablate("import", "exp", "--study", "s", "--separate")
    assert sorted(map(len, curves(project).values())) == [50, 55]


def test_part_that_grew_is_added_to_what_is_there(project: Project) -> None:
    write(project.folder / "exp", PARTS)
    project.ablate("import", "exp", "--study", "s")
    write(
        project.folder / "exp", {"lightning_logs/version_4/metrics.csv": rows(45, 130, scale=2.0)}
    )

    project.ablate("import", "exp/lightning_logs/version_4", "--study", "s")

    assert curves(project) == {("exp", 0): list(range(130))}


def wandb_part(folder: Path, name: str, steps: range) -> None:
    path = folder / name / f"{name}.wandb"
    path.parent.mkdir(parents=True)
    run = field(17, field(1, "abc") + field(3, "codec") + field(8, "big"))
    config = field(5, field(1, wandb_item("seed", 4)))
    history = [wandb_history(n, _timestamp=1000.0 + n, loss=float(n)) for n in steps]
    write_wandb(path, [run, config, *history, field(18, field(1, 0))])


def test_offline_run_that_was_resumed_with_its_id(project: Project) -> None:
    wandb_part(project.folder / "wandb", "run-2-abc", range(40, 80))
    wandb_part(project.folder / "wandb", "run-1-abc", range(45))

    for place in ("wandb/run-2-abc", "wandb/run-1-abc", "wandb", "wandb/run-2-abc"):
        project.ablate("import", place, "--study", "s")

    assert curves(project) == {("big", 4): list(range(80))}


def test_crashed_runs_without_a_point_have_failed(project: Project) -> None:
    folder = project.folder / "wandb"
    wandb_part(folder, "run-9-abc", range(20))
    for i, size in enumerate((0, 7)):
        path = folder / f"run-{i}-dead" / f"run-{i}-dead.wandb"
        path.parent.mkdir()
        path.write_bytes((folder / "run-9-abc" / "run-9-abc.wandb").read_bytes()[:size])
        yesterday = time.time() - DAY
        os.utime(path, (yesterday, yesterday))

    listed = json.loads(project.ablate("import", "wandb", "--study", "s", "--format", "json"))

    states = {row["variant"]: (row["state"], row["points"]) for row in listed["rows"]}
    assert states == {
        "big": ("succeeded", 20),
        "run-0-dead": ("failed", 0),
        "run-1-dead": ("failed", 0),
    }
    reasons = project.rows("select reason from runs where state = 'failed'")
    assert reasons == [("it logged no point before it ended",)] * 2
    shown = json.loads(project.ablate("compare", "--study", "s", "--format", "json"))
    assert {row["variant"]: row["verdict"] for row in shown["rows"]}["run-0-dead"] == "failed"
    assert shown["baseline"] == "big"
    assert "nothing to run" not in project.ablate("status", "s")
    project.ablate("run", "s")


def timed(end: float) -> str:
    """Return a CSV whose last row was logged at this time."""
    return "step,loss,time\n" + "".join(f"{n},1.5,{end - 10 + n}\n" for n in range(10))


def test_run_that_still_trains_is_shown_so_until_it_has_ended(project: Project) -> None:
    path = project.folder / "log.csv"
    path.write_text(timed(time.time()))

    project.ablate("import", "log.csv", "--study", "s")
    project.ablate("import", "log.csv", "--study", "s")

    assert project.rows("select state from runs") == [("running",)]
    shown = json.loads(project.ablate("compare", "--study", "s", "--format", "json"))
    assert shown["rows"][0]["verdict"] == "under way"
    project.ablate("run", "s")
    assert project.rows("select state from runs") == [("running",)]

    path.write_text(timed(time.time() - DAY))
    project.ablate("import", "log.csv", "--study", "s")
    query = "select state from study_runs join runs on runs.id = run_id where is_wanted"
    assert project.rows(query) == [("succeeded",)]


def test_several_sources_of_several_kinds_at_once(project: Project) -> None:
    write(project.folder, {"a.csv": rows(0, 5), "b.log": "step 1 loss 2\nstep 2 loss 1\n"})
    (project.folder / "map.yaml").write_text("loss: valid/loss/total\n")

    sources = ("a.csv", "b.log", "a.csv")
    project.ablate("import", *sources, "--study", "s", "--map-file", "map.yaml")

    query = "select variant, key, count(*) from run_metrics group by 1, 2"
    assert project.rows(query) == [("a", "valid/loss/total", 5), ("b", "valid/loss/total", 2)]


def test_column_of_seeds_in_files_side_by_side(project: Project) -> None:
    files = {f"exp/base-s{n}.csv": rows(0, 9, scale=1.0 + n, seed=n) for n in (3, 5)}
    write(project.folder, files)

    project.ablate("import", "exp", "--study", "s")

    assert sorted(curves(project)) == [("base", 3), ("base", 5)]


@pytest.mark.parametrize("text", ["- a\n", "{", "loss: not a key\n", "\tx"])
def test_map_file_that_cannot_be_read_is_refused(project: Project, text: str) -> None:
    write(project.folder, {"a.csv": rows(0, 5), "map.yaml": text})

    said = project.ablate("import", "a.csv", "--study", "s", "--map-file", "map.yaml", code=2)

    assert "--map" in said
    assert not (project.folder / ".ablate").exists()
