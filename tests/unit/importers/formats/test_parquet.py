"""Parquet files with rows, and what neptune-exporter writes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import UsageError
from tests.support.reading import points, read

pyarrow: Any = pytest.importorskip("pyarrow", reason="needs pyarrow")


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_rows_with_steps(tmp_path: Path) -> None:
    moments = [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)]
    columns = {
        "step": [0, 1],
        "time": moments,
        "train_loss": [0.1, float("nan")],
        "note": ["", "x"],
    }

    got = points(read(write(tmp_path / "a.parquet", columns)))

    assert got["train/scalar/loss", 0] == (0.1, 1704067200.0)
    assert str(got["train/scalar/loss", 1][0]) == "nan"
    assert len(got) == 2


def test_export_of_neptune_has_a_run_for_each_id(tmp_path: Path) -> None:
    rows = [
        # run, path, kind, step, float, int, string
        ("R-1", "train/loss", "float_series", 0.0, 1.5, None, None),
        ("R-1", "train/loss", "float_series", 1.0, 1.25, None, None),
        ("R-1", "train/loss", "float_series", 1.5, 9.0, None, None),
        ("R-1", "params/lr", "float", None, 0.1, None, None),
        ("R-1", "params/seed", "int", None, None, 3, None),
        ("R-1", "sys/name", "string", None, None, None, "base"),
        ("R-1", "log", "string_series", 0.0, None, None, "text"),
        ("R-2", "train/loss", "float_series", 0.0, 2.5, None, None),
    ]
    names = ("run_id", "attribute_path", "attribute_type", "step")
    names += ("float_value", "int_value", "string_value")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    columns["project_id"] = ["me/x"] * len(rows)

    reading = read(write(tmp_path / "export.parquet", columns))

    first, second = reading.runs
    assert (first.source, first.title, first.said_seed) == ("neptune:me/x/R-1", "base", 3)
    assert first.config == {"params/lr": 0.1, "params/seed": 3}
    assert {k: v for k, (v, _) in points(reading).items()} == {
        ("train/scalar/loss", 0): 1.5,
        ("train/scalar/loss", 1): 1.25,
    }
    assert dict(first.points.counts.skipped) == {
        "without a step that is a whole number": 1,
        "not a number": 1,
    }
    assert second.title == "R-2"


def test_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("step,loss\n")

    with pytest.raises(UsageError, match=r"a\.parquet is no Parquet"):
        read(tmp_path / "a.parquet")
