"""CSV files with a header: comma, semicolon or tab, whichever the header has most of."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from ablate.errors import UsageError
from ablate.importers.base import Reading, Request
from ablate.importers.rows import RowReader, empty_run, read_each


def read(request: Request) -> Reading:
    """Return the runs of CSV files.

    Raises:
        UsageError: If a file is no text, has no header, a column that is needed is missing, or a
            row is longer than its header.
    """
    return read_each(request, _read)


def _read(request: Request, path: Path) -> Reading:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            if not first and request.root.is_dir():
                return Reading(runs=[empty_run(request, "csv", path)])
            if not first.strip():
                raise UsageError(f"{path} is empty", hint="the first line must name the columns")
            file.seek(0)
            lines = _Lines(file)
            mark = max(",;\t", key=first.count)
            rows = csv.reader(lines, delimiter=mark, skipinitialspace=True)
            columns = _names(next(rows))
            reader = RowReader(request, "csv", path, columns)
            for cells in rows:
                if reader.is_header(cells):
                    columns = _names(cells)
                    reader.take_header(columns)
                elif cells:
                    _take(reader, columns, cells, f"{path}, line {rows.line_num}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as CSV: {error}") from error
    if lines.has_cut:
        reader.reading.counts.skip("cut: the last line has no end")
        reader.reading.notes.append(
            f"{path}: the last line ({rows.line_num + 1}) has no line end, so it may be cut and "
            "was left out; add a line end if it is whole"
        )
    return reader.finish()


class _Lines:
    """The lines of a file but a last one after the header that is cut, which is only noted."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self.has_cut = False

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self._lines):
            # Only a closing quote or the line's end says that the last cell is whole.
            self.has_cut = number > 0 and not line.endswith(("\n", "\r", '"'))
            if not self.has_cut:
                yield line


def _names(cells: list[str]) -> list[str]:
    return [cell.strip() for cell in cells]


def _take(reader: RowReader, columns: list[str], cells: list[str], place: str) -> None:
    """Take a row: empty cells beyond the last column say nothing, others have no name."""
    surplus = cells[len(columns) :]
    if any(cell.strip() for cell in surplus):
        raise UsageError(
            f"{place}: {len(cells)} cells, but the header has {len(columns)} columns",
            hint="no one can tell which value belongs to which; mend the line or its header",
        )
    missing = len(columns) - len(cells)
    if missing > 0:
        reader.reading.counts.skip("missing at the end of a shorter row", missing)
    reader.take(dict(zip(columns, cells, strict=False)))
