"""Files with a JSON object on each line, as W&B's ``scan_history`` is kept; the last may be cut."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.errors import NotFoundError, UsageError
from ablate.importers.base import Counts, Reading, Request
from ablate.importers.rows import RowReader


def read(request: Request, *, kind: str = "jsonl") -> Reading:
    """Return the runs of a file of JSON lines.

    Args:
        request: What to read. Nested objects become names with slashes.
        kind: First part of the runs' source ids.

    Raises:
        NotFoundError: If there is no such file.
        UsageError: If it has no object, or none has a step.
    """
    path = Path(request.source)
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    counts = Counts()
    columns: dict[str, None] = {}
    for row in _rows(path, Counts()):  # any line may bring a new column
        columns.update(dict.fromkeys(row))
    if not columns:
        raise UsageError(f"{path} has no line that is a JSON object")
    reader = RowReader(request, kind, columns, time=path.stat().st_mtime)
    for row in _rows(path, counts):
        reader.take(row)
    reader.reading.counts.add(counts)
    return reader.finish(path.stem)


def _rows(path: Path, counts: Counts) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                counts.skip("line that is no JSON")
                continue
            if isinstance(value, dict):
                yield dict(flat(value))  # pyright: ignore[reportUnknownArgumentType]
            else:
                counts.skip("line that is no object")


def flat(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested objects under names with slashes."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            inner = f"{prefix}{key.strip()}/"
            yield from flat(value, inner)  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield f"{prefix}{key.strip()}", value
