"""CSV files with a header: comma, semicolon or tab, whichever the header has most of."""

from __future__ import annotations

import csv
from pathlib import Path

from ablate.errors import NotFoundError, UsageError
from ablate.importers.base import Reading, Request
from ablate.importers.rows import RowReader


def read(request: Request) -> Reading:
    """Return the runs of a CSV file.

    Raises:
        NotFoundError: If there is no such file.
        UsageError: If it is no text, has no header, or a column that is needed is missing.
    """
    path = Path(request.source)
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            if not first.strip():
                raise UsageError(f"{path} is empty", hint="the first line must name the columns")
            file.seek(0)
            rows = csv.DictReader(file, delimiter=max(",;\t", key=first.count))
            reader = RowReader(request, "csv", rows.fieldnames or (), time=path.stat().st_mtime)
            for row in rows:
                extra = row.pop(None, None)  # pyright: ignore[reportArgumentType, reportCallIssue]
                if extra:
                    reader.reading.counts.skip("beyond the last column", len(extra))
                reader.take(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as CSV: {error}") from error
    return reader.finish(path.stem)
