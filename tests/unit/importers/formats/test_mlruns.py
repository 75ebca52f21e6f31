"""MLflow's folders of files, which its own client no longer opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.domain import AttemptState
from ablate.errors import NotFoundError, UsageError
from ablate.importers.base import ImportRequest
from ablate.importers.formats import mlflow
from tests.support.reading import points, read

RUN = "0" * 31


def write(folder: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def experiment(root: Path, number: int, name: str, **runs: str) -> None:
    """Write an experiment whose runs have this in their ``meta.yaml``."""
    write(root / str(number), {"meta.yaml": f"name: {name}\nexperiment_id: '{number}'\n"})
    for i, (run, meta) in enumerate(runs.items()):
        head = f"run_id: {RUN}{i}\nexperiment_id: '{number}'\nrun_name: {run}\n"
        write(
            root / str(number) / f"{RUN}{i}",
            {
                "meta.yaml": f"{head}start_time: {1000 * (i + 1)}\n{meta}",
                "metrics/train/loss": "1500 1.5 0\n2500 nan 1\nbad\n",
                "metrics/acc": "1500 0.5\n",
                "params/seed": "3",
                "params/lr": "0.1",
                "tags/mlflow.user": "me",
            },
        )


def test_runs_of_the_one_experiment_that_has_any(tmp_path: Path) -> None:
    experiment(tmp_path / "mlruns", 0, "Default")
    ends = {"a": "status: 3\n", "b": "status: FAILED\n", "c": "status: 5\n", "d": "status: 1\n"}
    experiment(tmp_path / "mlruns", 7, "codec", **ends, gone="lifecycle_stage: deleted\n")

    reading = read(tmp_path / "mlruns")

    assert [(run.title, run.state.value) for run in reading.runs] == [
        ("a", "succeeded"),
        ("b", "failed"),
        ("c", "cancelled"),
        ("d", "stopped"),
    ]
    run = reading.runs[0]
    assert (run.source, run.said_seed) == (f"mlflow:{RUN}0", 3)
    assert run.config == {"seed": "3", "lr": "0.1"}
    got = points(reading)
    assert got["train/scalar/loss", 0] == (1.5, 1.5)
    assert str(got["train/scalar/loss", 1]) == "(nan, 2.5)"
    assert got["import/scalar/acc", 0] == (0.5, 1.5)
    assert dict(run.points.counts.skipped) == {"line that cannot be read": 1}
    assert reading.runs[3].state is AttemptState.STOPPED


def test_parents_of_nested_runs_that_log_nothing_are_left_out(tmp_path: Path) -> None:
    experiment(tmp_path, 1, "one", parent="status: 4\n", child="status: 3\n")
    for metric in (tmp_path / "1" / f"{RUN}0" / "metrics").rglob("*"):
        if metric.is_file():
            metric.unlink()
    write(tmp_path / "1" / f"{RUN}1" / "tags", {"mlflow.parentRunId": f"{RUN}0"})

    reading = read(tmp_path)

    assert [run.title for run in reading.runs] == ["child"]
    assert reading.notes == ["left out: 1 parents of nested runs, which log nothing themselves"]


def test_several_experiments_are_asked_for(tmp_path: Path) -> None:
    experiment(tmp_path, 1, "one", a="status: 3\n")
    experiment(tmp_path, 2, "two", b="status: 3\n")

    with pytest.raises(NotFoundError) as caught:
        read(tmp_path)
    assert "known: one, two" in str(caught.value.hint)
    files = sorted(tmp_path.rglob("meta.yaml"))
    for name in ("two", "2"):
        asked = ImportRequest(root=tmp_path, files=files, experiment=name)
        assert [run.title for run in mlflow.read(asked).runs] == ["b"]


def test_other_files_of_that_name_hold_no_run(tmp_path: Path) -> None:
    write(
        tmp_path, {"recipe/meta.yaml": "package: {name: x}\n", "other/meta.yaml": "{{ jinja }}\n"}
    )

    with pytest.raises(UsageError, match="holds no run of MLflow"):
        read(tmp_path)
