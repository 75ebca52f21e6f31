"""The answer to a query in SQL, in every format of a list; CSV and NDJSON as it is read."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, TextIO

from ablate.errors import UsageError
from ablate.render.listing import FORMATS, render_list
from ablate.render.tables import Cell, Column, Raw, Table
from ablate.text import csv_text

MAX_ROWS = 20_000
"""Of a format that must see the whole result before it can write the first line."""
_SCHEMA = "ablate.sql/1"


def write_answer(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    file: TextIO,
    *,
    form: str,
    width: int | None = None,
) -> None:
    """Write the rows of a query.

    NULL is empty, and null in JSON. A float that is not finite is a word in CSV and tables, null in
    JSON. Bytes are hexadecimal digits, times ISO 8601.

    Args:
        columns: Titles; one that is there twice gets a number.
        rows: Read once.
        file: Where to.
        form: One of `ablate.render.listing.FORMATS`.
        width: Of the terminal, for ``table``; None when it is none.

    Raises:
        UsageError: If the result is too long for the format.
    """
    titles = _distinct(columns)
    if form == "csv":
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(csv_text, titles))
        writer.writerows([_csv(_plain(value)) for value in row] for row in rows)
    elif form == "ndjson":
        for row in rows:
            values = {t: _strict(_plain(v)) for t, v in zip(titles, row, strict=True)}
            line = {"schema": _SCHEMA} | values
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        file.write(render_list(_table(titles, rows, form), form, schema=_SCHEMA, width=width))
        file.write("\n")


def _distinct(columns: Sequence[str]) -> list[str]:
    titles: list[str] = []
    for name in columns:
        title, n = name, 1
        while title in titles:
            n += 1
            title = f"{name}_{n}"
        titles.append(title)
    return titles


def _table(titles: Sequence[str], rows: Iterable[Sequence[Any]], form: str) -> Table:
    held = [[_plain(value) for value in row] for row in islice(rows, MAX_ROWS + 1)]
    if len(held) > MAX_ROWS:
        raise UsageError(
            f"the result has more than {MAX_ROWS:,} rows, too many for --format {form}",
            hint="--format csv and ndjson take any number; or add a LIMIT",
        )
    columns = tuple(
        Column(title, is_number=any(isinstance(row[i], int | float) for row in held))
        for i, title in enumerate(titles)
    )
    is_json = form == "json"
    cells = tuple(tuple(_cell(value, is_json=is_json) for value in row) for row in held)
    return Table("", columns, cells)


def _cell(value: Raw, *, is_json: bool) -> Cell:
    raw = _strict(value) if is_json else value
    return Cell("" if raw is None else _text(value), raw)


def _plain(value: Any) -> Raw:
    """Return a database's value as one that every format can write."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes() | memoryview():
            return bytes(value).hex()
        case _ if hasattr(value, "isoformat"):
            return value.isoformat()
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=str)
        case _:
            return str(value)


def _strict(value: Raw) -> Raw:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(value: Raw) -> str:
    return csv_text(value) if isinstance(value, str) else _text(value)


def _text(value: Raw) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


__all__ = ["FORMATS", "MAX_ROWS", "write_answer"]
