"""JSON: an object on each line, as W&B's ``scan_history`` is kept; a list of objects; or lists.

The last line may be cut. A file with one object of equally long lists, as the history of Keras's
``fit``, has a row for each place in the lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ablate.errors import UsageError
from ablate.importers.base import Importer, ImportRequest, Reading
from ablate.importers.points import Counts
from ablate.importers.reading.rows import RowReader, empty_run, read_each
from ablate.planning.study_file.bounded import plain_json


def read(request: ImportRequest, *, kind: str = "jsonl") -> Reading:
    """Return the runs of files with JSON.

    Args:
        request: What to read. Nested objects become names with slashes.
        kind: First part of the runs' source ids.

    Raises:
        UsageError: If a file has no object, or none has a step.
    """

    def one(request: ImportRequest, path: Path) -> Reading:
        return _read(request, path, kind)

    return read_each(request, one)


def _read(request: ImportRequest, path: Path, kind: str) -> Reading:
    counts = Counts()
    columns: dict[str, None] = {}
    for row in _rows(path, Counts()):  # any line may bring a new column
        columns.update(dict.fromkeys(row))
    if not path.stat().st_size and request.root.is_dir():
        return Reading(runs=[empty_run(request, kind, path)])
    if not columns:
        raise UsageError(f"{path} has no line that is a JSON object")
    reader = RowReader(request, kind, path, columns)
    for row in _rows(path, counts):
        reader.take(row)
    reader.reading.counts.add(counts)
    return reader.finish()


def _rows(path: Path, counts: Counts) -> Iterator[dict[str, Any]]:
    content = _whole(path) if path.suffix == ".json" else None
    if content is not None:
        yield from _listed(content)
        return
    with path.open("rb") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                value = plain_json(line)
            except ValueError:
                counts.skip("line that is no JSON")
                continue
            if isinstance(value, dict):
                yield dict(flat(cast("dict[str, Any]", value)))
            else:
                counts.skip("line that is no object")


def _whole(path: Path) -> Any:
    """Return the content of a file that is JSON as a whole, None for one of JSON lines."""
    try:
        return plain_json(path.read_bytes())
    except ValueError:
        return None


def _listed(content: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a list of objects, or of an object of lists."""
    if _is_list(content):
        yield from (dict(flat(row)) for row in content if isinstance(row, dict))
    if not isinstance(content, dict):
        return
    columns = cast("dict[str, Any]", content)
    lists: dict[str, Sequence[Any]] = {
        n: values for n, values in columns.items() if _is_list(values)
    }
    if not lists:  # JSON lines of a single line
        yield dict(flat(columns))
    count = max(map(len, lists.values()), default=0)
    if lists and not {"step", "epoch"} & lists.keys():
        lists["epoch"] = range(count)
    for i in range(count):
        yield {name: values[i] for name, values in lists.items() if i < len(values)}


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def flat(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested objects under names with slashes.

    What has a ``_type``, as W&B's pictures have, is a leaf: its width and height are no metrics.
    """
    for key, value in row.items():
        if isinstance(value, Mapping) and "_type" not in value:
            inner = f"{prefix}{key.strip()}/"
            yield from flat(value, inner)  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield f"{prefix}{key.strip()}", value


_NAMES = ("metrics.json", "scalars.json", "history.json")
"""Of Detectron2, of MMEngine, of Keras. Other files ``*.json`` in a folder are rather configs."""


def _is_log(path: Path) -> bool:
    is_lines = path.suffix.lower() in (".jsonl", ".ndjson") or path.name.endswith(".log.json")
    return is_lines or path.name in _NAMES


IMPORTER = Importer(read, "*.jsonl, *.ndjson, *.log.json, metrics.json", _is_log)
