"""Points for other programs: CSV, NDJSON and Parquet, written as they are read.

The columns are those of the view ``run_metrics``, and the state of the run. CSV and NDJSON say
times differently: CSV in ISO 8601 UTC to the microsecond, NDJSON and Parquet as the Unix seconds
that are stored, bit for bit.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO

from ablate.app.exporting import PointBlock
from ablate.domain import POINT_COLUMNS, Kind
from ablate.errors import AblateError
from ablate.text import csv_text

COLUMNS = (*POINT_COLUMNS, "state")
_ROW_GROUP = 100_000
"""Rows of a row group of Parquet: some megabytes of memory."""


def write_csv(blocks: Iterable[PointBlock], file: BinaryIO) -> int:
    """Write CSV with a header; return the number of points.

    Values are raw: the shortest text that reads back as the same float, ``NaN``, ``Infinity`` and
    ``-Infinity`` in words beside their ``kind``. Times are ISO 8601 UTC, rounded to microseconds.
    A name that a spreadsheet would take for a formula has a ``'`` in front, which the importer
    takes off.
    """
    file.write(f"{','.join(COLUMNS)}\n".encode())
    return _write_lines(blocks, file, _csv_lines)


def write_ndjson(blocks: Iterable[PointBlock], file: BinaryIO) -> int:
    """Write one object a line; return the number of points.

    A value that is not finite is ``null`` beside its ``kind``.
    """
    return _write_lines(blocks, file, _ndjson_lines)


def _write_lines(
    blocks: Iterable[PointBlock], file: BinaryIO, lines: Callable[[PointBlock], Iterator[str]]
) -> int:
    count = 0
    for block in blocks:
        file.write("".join(lines(block)).encode())
        count += len(block.curve.steps)
    return count


def _csv_lines(block: PointBlock) -> Iterator[str]:
    run, curve = block.run, block.curve
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(
        [*map(csv_text, (run.study, run.variant)), run.seed, run.id, csv_text(curve.key)]
    )
    head = buffer.getvalue()
    for step, value, time in zip(curve.steps, curve.values, curve.times, strict=True):
        kind = Kind.of(value).value
        yield f"{head},{step},{_number(value)},{kind},{iso_time(time)},{run.state}\n"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def iso_time(time: float) -> str:
    """Return Unix seconds as ISO 8601 UTC; empty for what is no time of the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError, OSError):
        return ""


def _ndjson_lines(block: PointBlock) -> Iterator[str]:
    run, curve = block.run, block.curve
    head = {"study": run.study, "variant": run.variant, "seed": run.seed, "run": run.id}
    start = json.dumps(head | {"key": curve.key}, ensure_ascii=False)[:-1]
    for step, value, time in zip(curve.steps, curve.values, curve.times, strict=True):
        number = repr(value) if math.isfinite(value) else "null"
        seconds = repr(time) if math.isfinite(time) else "null"
        kind = Kind.of(value).value
        point = f'"step": {step}, "value": {number}, "kind": "{kind}", "time": {seconds}'
        yield f'{start}, {point}, "state": "{run.state}"}}\n'


def write_parquet(blocks: Iterable[PointBlock], file: BinaryIO) -> int:
    """Write Parquet in row groups; return the number of points.

    A value that is not finite is itself, beside its ``kind``. Texts are dictionary-encoded.

    Raises:
        AblateError: If pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise AblateError(
            "Parquet needs the package pyarrow", hint="pip install 'ablate-studies[parquet]'"
        ) from error
    types = {"seed": pyarrow.int64(), "step": pyarrow.int64()}
    types |= {"value": pyarrow.float64(), "time": pyarrow.float64()}
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in COLUMNS])
    count = 0
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        tables = (_arrow_table(pyarrow, block, schema) for block in blocks)
        for group in _groups(tables):
            table = pyarrow.concat_tables(group)
            writer.write_table(table, row_group_size=_ROW_GROUP)
            count += table.num_rows
    return count


def _groups(tables: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield tables that make about one row group together."""
    group: list[Any] = []
    size = 0
    for table in tables:
        group.append(table)
        size += table.num_rows
        if size >= _ROW_GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _arrow_table(pyarrow: Any, block: PointBlock, schema: Any) -> Any:
    run, curve = block.run, block.curve
    n = len(curve.steps)

    def same(value: Any, name: str) -> Any:
        return pyarrow.repeat(pyarrow.scalar(value, schema.field(name).type), n)

    columns: Sequence[Any] = [
        same(run.study, "study"),
        same(run.variant, "variant"),
        same(run.seed, "seed"),
        same(run.id, "run"),
        same(curve.key, "key"),
        pyarrow.array(curve.steps, pyarrow.int64()),
        pyarrow.array(curve.values, pyarrow.float64()),
        pyarrow.array([Kind.of(value).value for value in curve.values], pyarrow.string()),
        pyarrow.array(curve.times, pyarrow.float64()),
        same(run.state.value, "state"),
    ]
    return pyarrow.Table.from_arrays(columns, schema=schema)


WRITERS: dict[str, Callable[[Iterable[PointBlock], BinaryIO], int]] = {
    "csv": write_csv,
    "ndjson": write_ndjson,
    "parquet": write_parquet,
}
