"""CSV files with a header: comma, semicolon or tab, whichever the header has most of.

Two layouts hold several runs, or a part of one, in a way of their own: what W&B exports of a chart
(``Step``, ``run - metric``, ``run - metric__MIN``, ``run - metric__MAX``), and what TensorBoard
downloads of a curve (``run-NAME-tag-TAG.csv`` with ``Wall time``, ``Step``, ``Value``).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path, PurePosixPath

from ablate.errors import UsageError
from ablate.importers.base import Importer, ImportRequest, Reading, has_suffix
from ablate.importers.reading.rows import RowReader, empty_run, read_each
from ablate.keys import SPLITS


def read(request: ImportRequest) -> Reading:
    """Return the runs of CSV files.

    Raises:
        UsageError: If a file is no text, has no header, a column that is needed is missing, or a
            row is longer than its header.
    """
    return read_each(request, _read)


def _read(request: ImportRequest, path: Path) -> Reading:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            before, begin = _header(file)
            first = begin[0] if begin else ""
            if not first and request.root.is_dir():
                return Reading(runs=[empty_run(request, "csv", path)])
            if not first.strip():
                raise UsageError(f"{path} is empty", hint="the first line must name the columns")
            lines = _Lines(chain(begin, file))
            mark = max(",;\t", key=first.count)
            rows = csv.reader(lines, delimiter=mark, skipinitialspace=True)
            columns = _names(next(rows))
            layout = _layout(path, columns)
            reader = RowReader(request, "csv", path, layout.columns)
            for cells in rows:
                if reader.is_header(cells):
                    columns = _names(cells)
                    layout = _layout(path, columns)
                    reader.take_header(layout.columns)
                elif cells:
                    place = f"{path}, line {before + rows.line_num}"
                    for row in layout.rows(_named(reader, columns, cells, place)):
                        reader.take(row)
    except (UnicodeDecodeError, csv.Error) as error:
        hint = "save it as UTF-8" if isinstance(error, UnicodeDecodeError) else None
        raise UsageError(f"{path} cannot be read as CSV: {error}", hint=hint) from error
    if lines.has_cut:
        reader.reading.counts.skip("cut: the last line has no end")
        reader.reading.notes.append(
            f"{path}: the last line ({before + rows.line_num + 1}) has no line end, so it may be "
            "cut and was left out; add a line end if it is whole"
        )
    return layout.settled(reader.finish())


def _header(file: Iterable[str]) -> tuple[int, list[str]]:
    """Return how many lines stand before the header, and the lines from there that were read.

    Lines that begin with ``#`` are comments, as the first of a monitor of Stable Baselines; the
    last of them is the header where numbers follow it.
    """
    comment = ""
    for number, line in enumerate(file):
        if line.startswith("#"):
            comment = line.lstrip("# ")
        elif comment and re.match(r"[-+.\d]", line):
            return number - 1, [comment, line]
        else:
            return number, [line]
    return 0, [comment] if comment else []


class _Layout:
    """Rows as they stand in the file."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns

    def rows(self, row: Mapping[str, str]) -> Iterable[Mapping[str, str]]:
        """Return the rows of runs that a row of the file holds."""
        return (row,)

    def settled(self, reading: Reading) -> Reading:
        """Return what was read, its runs named as the layout names them."""
        return reading


class _Chart(_Layout):
    """What W&B exports of a chart: a row has the values of all its runs."""

    def __init__(self, columns: Sequence[str]) -> None:
        known = set(columns)
        self._places = {c: p for c in columns if (p := _of_chart(c, known))}
        own = [c for c in columns if c not in self._places and not c.endswith(_BOUNDS)]
        metrics = dict.fromkeys(metric for _, metric in self._places.values())
        super().__init__(["run", *own, *metrics])
        self._shared = [c for c in self.columns if c in known]

    def rows(self, row: Mapping[str, str]) -> Iterable[Mapping[str, str]]:
        """Return a row for each run that has a value."""
        shared = {c: row[c] for c in self._shared if c in row}
        runs: dict[str, dict[str, str]] = {}
        for column, (run, metric) in self._places.items():
            if value := row.get(column, ""):
                runs.setdefault(run, {"run": run, **shared})[metric] = value
        return runs.values()


class _Curve(_Layout):
    """What TensorBoard downloads of a curve: its file's name says the tag, and perhaps the run.

    Args:
        columns: Of the file.
        run: Empty for the one of the folder.
        tag: The curve's name.
    """

    def __init__(self, columns: Sequence[str], run: str, tag: str) -> None:
        super().__init__([tag if column == "Value" else column for column in columns])
        self._run, self._tag = run, tag

    def rows(self, row: Mapping[str, str]) -> Iterable[Mapping[str, str]]:
        """Return the row under its tag."""
        return ({self._tag if column == "Value" else column: v for column, v in row.items()},)

    def settled(self, reading: Reading) -> Reading:
        """Give the curves of a run one id."""
        for index, run in enumerate(reading.runs):
            folder = PurePosixPath(run.source.removeprefix("csv:")).parent
            source = folder / f"run-{self._run}" if self._run else folder
            reading.runs[index] = replace(
                run,
                source=f"csv:{source}",
                title=self._run,
                place=PurePosixPath(run.place).parent.as_posix(),
            )
        return reading


_BOUNDS = ("__MIN", "__MAX")
_CURVE = ["Wall time", "Step", "Value"]


def _layout(path: Path, columns: Sequence[str]) -> _Layout:
    known = set(columns)
    if any(_of_chart(column, known) for column in columns):
        return _Chart(columns)
    if columns != _CURVE:
        return _Layout(columns)
    if named := re.fullmatch(r"run-(.+)-tag-(.+)", path.stem):
        return _Curve(columns, *named.groups())
    split, *rest = re.split(r"[_\W]", path.stem)
    return _Curve(columns, "", path.stem) if rest and split.lower() in SPLITS else _Layout(columns)


def _of_chart(column: str, columns: Collection[str]) -> tuple[str, str] | None:
    """Return run and metric of a column that has its bounds beside it."""
    run, sign, metric = column.rpartition(" - ")
    has_bounds = all(f"{column}{bound}" in columns for bound in _BOUNDS)
    return (run, metric) if sign and has_bounds else None


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


def _named(
    reader: RowReader, columns: list[str], cells: list[str], place: str
) -> Mapping[str, str]:
    """Return a row: empty cells beyond the last column say nothing, others have no name."""
    surplus = cells[len(columns) :]
    if any(cell.strip() for cell in surplus):
        raise UsageError(
            f"{place}: {len(cells)} cells, but the header has {len(columns)} columns",
            hint="no one can tell which value belongs to which; mend the line or its header",
        )
    missing = len(columns) - len(cells)
    if missing > 0:
        reader.reading.counts.skip("missing at the end of a shorter row", missing)
    return dict(zip(columns, cells, strict=False))


IMPORTER = Importer(read, "*.csv, *.tsv", has_suffix(".csv", ".tsv"))
