"""Parquet: rows with named columns, or what neptune-exporter writes of Neptune's runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ablate.domain import Json
from ablate.errors import AblateError, UsageError
from ablate.importers.base import (
    Importer,
    ImportRequest,
    Reading,
    SourceRun,
    ending,
    file_digest,
    has_suffix,
    plain_config,
)
from ablate.importers.points import Points
from ablate.importers.reading.rows import RowReader, number_of, read_each, time_of, whole_step

_NEPTUNE = frozenset({"run_id", "attribute_path", "attribute_type", "step", "float_value"})
_VALUES = ("float_value", "int_value", "bool_value", "string_value", "datetime_value")
_ROWS = 50_000


def read(request: ImportRequest) -> Reading:
    """Return the runs of Parquet files.

    Raises:
        AblateError: If pyarrow is not installed.
        UsageError: If a file is no Parquet, or has no column of steps.
    """
    return read_each(request, _read)


def _read(request: ImportRequest, path: Path) -> Reading:
    try:
        return _read_whole(request, path)
    except _FAULTS as error:  # whatever its libraries say of damaged bytes
        said = " ".join(str(error).split())
        raise UsageError(f"{path} is no Parquet, or damaged: {said}") from error


_FAULTS = (ValueError, OSError, OverflowError, TypeError, KeyError, NotImplementedError)
"""Arrow's own errors are of these kinds."""


def _read_whole(request: ImportRequest, path: Path) -> Reading:
    file = _opened(path)
    columns: list[str] = file.schema_arrow.names
    if set(columns) >= _NEPTUNE:
        return _neptune(request, path, _rows(file))
    reader = RowReader(request, "parquet", path, columns)
    for row in _rows(file):
        reader.take(row)
    return reader.finish()


def _opened(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise AblateError(
            "reading Parquet needs the package pyarrow",
            hint="pip install 'ablate-studies[parquet]'",
        ) from error
    library: Any = parquet
    return library.ParquetFile(path)


def _rows(file: Any) -> Iterator[Mapping[str, Any]]:
    for batch in file.iter_batches(batch_size=_ROWS):
        for row in batch.to_pylist():
            yield {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


@dataclass(slots=True)
class _Neptune:
    """One run of an export."""

    points: Points
    config: dict[str, Json] = field(default_factory=dict[str, Json])


def _neptune(request: ImportRequest, path: Path, rows: Iterator[Mapping[str, Any]]) -> Reading:
    """Return the runs: series of floats are metrics, single values outside ``sys/`` a config."""
    runs: dict[tuple[str, str], _Neptune] = {}
    for row in rows:
        key = str(row.get("project_id") or ""), str(row["run_id"])
        if key not in runs:
            runs[key] = _Neptune(Points(time=path.stat().st_mtime))
        _take(row, runs[key])
    return Reading(runs=[_neptune_run(request, path, key, run) for key, run in runs.items()])


def _take(row: Mapping[str, Any], run: _Neptune) -> None:
    name, kind, step = row["attribute_path"], row["attribute_type"], row["step"]
    if kind == "float_series":
        whole, number = whole_step(step), number_of(row["float_value"])
        if whole is None:
            run.points.counts.skip("without a step that is a whole number")
        elif row["float_value"] is None:
            run.points.counts.skip("empty")
        elif number is None:
            run.points.counts.skip("not a number")
        else:
            run.points.add(str(name), whole, number, time_of(row.get("timestamp")))
    elif str(kind).endswith("_series"):
        run.points.counts.skip("not a number")
    elif (value := next((row[v] for v in _VALUES if row.get(v) is not None), None)) is not None:
        run.config[str(name)] = value


def _neptune_run(
    request: ImportRequest, path: Path, key: tuple[str, str], run: _Neptune
) -> SourceRun:
    run.points.settle()
    said = {name: value for name, value in run.config.items() if not name.startswith("sys/")}
    config = plain_config(said)
    state, reason = ending(run.points, request.now)
    return SourceRun(
        source="neptune:" + "/".join(filter(None, key)),
        title=str(run.config.get("sys/name") or key[1]),
        points=run.points,
        config=config,
        state=state,
        reason=reason,
        place=request.place(path.with_suffix("")),
        folder=path.parent,
        files={request.relative(path): file_digest(path)},
        part="/".join(key),
    )


IMPORTER = Importer(read, "*.parquet", has_suffix(".parquet"))
