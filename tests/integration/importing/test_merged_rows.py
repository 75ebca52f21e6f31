"""Rows of several things that were taken for one run are told, with the column that tells them."""

from __future__ import annotations

from pathlib import Path

from tests.support.projects import Project

TABLE = "model,seed,epoch,acc\n" + "".join(
    f"{model},{seed},{epoch},{0.5 + 0.01 * epoch}\n"
    for model in ("resnet 18", "vit-s")
    for seed in (1, 2)
    for epoch in (1, 2, 3)
)


def test_a_column_of_text_that_tells_rows_of_one_step_apart_is_named(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("results.csv", TABLE)

    told = project.told("import", "results.csv", "--study", "cls", "--dry-run")

    assert (
        "results.csv: several rows of one run have the same step, and the column 'model' holds 2 "
        "different texts; if it says what was varied, import with --map model=config"
    ) in told


def test_it_is_not_said_where_each_run_has_its_steps_once(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("results.csv", TABLE)
    project.write("one.csv", "remark,epoch,acc\nwarm,1,0.5\ncold,2,0.6\n")

    assert "same step" not in project.told(
        "import", "results.csv", "--study", "cls", "--dry-run", "--map", "model=config"
    )
    assert "same step" not in project.told("import", "one.csv", "--study", "one", "--dry-run")
