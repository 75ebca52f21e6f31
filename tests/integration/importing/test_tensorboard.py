"""Logs that torch's own `SummaryWriter` wrote, imported by command."""

from __future__ import annotations

import math
import random
import struct
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from tests.support.projects import Project, make_project

ODD = (math.nan, math.inf, -math.inf, -0.0, 1e-45, 3.4e38, 0.1)
QUERY = "select variant, seed, key, step, value, kind, time from run_metrics"
Row = tuple[str, int, str, int, float | None, str, float]


def row(variant: str, key: str, step: int, value: float, time: float) -> Row:
    """Return what the view says of a value that TensorBoard stores as a float of 32 bits."""
    value = struct.unpack("<f", struct.pack("<f", value))[0] + 0.0  # SQL has no -0.0
    kind = "finite" if math.isfinite(value) else {"nan": "nan", "inf": "+inf"}.get(str(value))
    return variant, 0, key, step, value if kind == "finite" else None, kind or "-inf", time


def write_logs(folder: Path) -> list[Row]:
    """Write every kind of scalar that there is; return what has to be imported."""
    rng, rows = random.Random(1), []
    for part in range(3):  # as after a restart: several files in one folder
        with SummaryWriter(str(folder / "big-s0"), filename_suffix=f".{part}") as writer:
            for step in range(100 * part, 100 * part + 100):
                value, time = rng.gauss(0, 1), 1e9 + step / 7
                writer.add_scalar("Loss/train", value, step, walltime=time)
                rows.append(row("big", "train/scalar/Loss", step, value, time))
                writer.add_scalar("new", value, step, walltime=time, new_style=True)
                rows.append(row("big", "import/scalar/new", step, value, time))
    with SummaryWriter(str(folder / "odd-s0")) as writer:
        for step, value in enumerate(ODD):
            writer.add_scalar("valid/loss", value, step * 2**40, walltime=step + 0.1)
            rows.append(row("odd", "valid/scalar/loss", step * 2**40, value, step + 0.1))
        writer.add_text("note", "no scalar", 0)
    return rows


@pytest.fixture
def logged(tmp_path: Path) -> tuple[Project, list[Row]]:
    project = make_project(tmp_path)
    return project, sorted(write_logs(project.folder / "logs"), key=repr)


def test_torchs_logs_are_imported_exactly_and_once(logged: tuple[Project, list[Row]]) -> None:
    project, expected = logged

    for _ in range(2):
        project.ablate("import", "tensorboard", "logs", "--study", "tb")

        assert sorted(project.rows(QUERY), key=repr) == expected


def test_add_scalars_gives_one_run_with_a_metric_for_each_curve(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with SummaryWriter(str(project.folder / "logs" / "both")) as writer:
        for step in range(20):
            pair = {"ours": step / 8, "theirs": -step / 8}
            writer.add_scalars("valid/loss", pair, step, walltime=step + 0.5)

    project.ablate("import", "tensorboard", "logs", "--study", "tb")

    found = project.rows("select variant, key, step, value, time from run_metrics order by 2, 3")
    assert found == [
        ("both", f"valid/loss/{name}", n, sign * n / 8, n + 0.5)
        for name, sign in (("ours", 1), ("theirs", -1))
        for n in range(20)
    ]


def test_file_cut_in_the_middle_gives_its_good_records(logged: tuple[Project, list[Row]]) -> None:
    project, expected = logged
    first = min((project.folder / "logs" / "big-s0").iterdir(), key=lambda path: path.name[-1])
    assert first.name.endswith(".0")
    data = first.read_bytes()
    first.write_bytes(data[: len(data) // 2])

    project.ablate("import", "tensorboard", "logs", "--study", "tb")

    found = project.rows(QUERY)
    lost = set(map(repr, expected)) - set(map(repr, found))
    assert set(map(repr, found)) <= set(map(repr, expected))
    assert 90 <= len(lost) <= 110  # half of the first of three files
    assert len(found) == len(expected) - len(lost)


def test_seed_among_the_hyper_parameters_is_the_seed_of_the_run(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    for name, seed in (("first", 7), ("second", 8)):
        with SummaryWriter(str(project.folder / "logs" / name)) as writer:
            writer.add_scalar("train/loss", seed / 8, 1)
            writer.add_hparams({"lr": 0.1, "seed": seed}, {}, run_name=".")

    project.ablate("import", "tensorboard", "logs", "--study", "tb")

    assert project.rows("select distinct variant, seed from run_metrics order by 2") == [
        ("first", 7),
        ("second", 8),
    ]
