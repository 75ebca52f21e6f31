"""A list of things (studies, runs, variants) in every output format."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.errors import UsageError
from ablate.render import tables
from ablate.render.tables import STYLES, Cell, Column, Table
from ablate.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

FORMATS = ("table", "md", "csv", "json", "ndjson", "latex")


def render_list(
    table: Table,
    form: str,
    *,
    schema: str,
    width: int | None = None,
    facts: Mapping[str, Any] | None = None,
) -> str:
    """Return a list as text without a final line break.

    Args:
        table: What to show; its column titles are the keys of the JSON rows.
        form: One of `FORMATS`.
        schema: Name and version of the JSON, as ``ablate.status/1``; it only ever grows.
        width: For ``table``: columns of the terminal to fit, None for plain text, whole.
        facts: For ``json``: what stands beside the rows.

    Raises:
        UsageError: For another format.
    """
    match form:
        case "table":
            text = tables.to_plain(table) if width is None else _terminal(table, width)
        case "md":
            text = tables.to_markdown(table)
        case "csv":
            text = tables.to_csv(table)
        case "latex":
            text = tables.to_latex(table)
        case "json":
            text = json.dumps(
                {"schema": schema, **(facts or {}), "rows": _rows(table)}, **_JSON, indent=2
            )
        case "ndjson":
            text = "\n".join(json.dumps({"schema": schema} | row, **_JSON) for row in _rows(table))
        case _:
            raise UsageError(f"--format {form}: unknown", hint="known: " + ", ".join(FORMATS))
    return text.rstrip("\n")


_JSON: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False}


def _rows(table: Table) -> list[dict[str, Any]]:
    keys = [column.title.replace(" ", "_") for column in table.columns]
    return [
        {
            key: (cell.text or None) if cell.raw is None else cell.raw
            for key, cell in zip(keys, row, strict=True)
        }
        for row in table.rows
    ]


def _terminal(table: Table, width: int) -> str:
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=width, force_terminal=True)
    if any(column.is_below or column.rank for column in table.columns):
        _print_narrowed(console, table, width)
    else:
        for part in tables.fit(table, width):
            console.print(tables.to_rich(part))
    for note in table.notes:
        _print_line(console, printable(note), style="dim")
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


_GAP = 2
_INDENT = 4
"""Of what stands below a row."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a list is laid out for a terminal; numbers are places of columns."""

    name: int | None
    """Above its row, None where it stands in it."""
    across: tuple[int, ...]
    below: tuple[int, ...]
    left_out: tuple[int, ...]


def _print_narrowed(console: Console, table: Table, width: int) -> None:
    """Print a list without cutting a word: what is too wide stands below its row, or is named."""
    shape = _shape(table, width)
    widths = [size - tables.GAP for size in tables.widths_of(table)]
    if table.title:
        _print_line(console, printable(table.title), style="bold")
    head = [Cell(column.title, tone="strong") for column in table.columns]
    for row in (head, *table.rows):
        indent = 0
        if shape.name is not None:
            _print_line(console, _cell_text(row[shape.name]))
            indent = _INDENT
        if shape.across:
            _print_line(console, _across(table.columns, row, shape.across, widths, indent))
        if row is head:
            _print_line(console, "─" * _total(widths, shape.across, indent))
            continue
        for place in shape.below:
            _print_below(console, table.columns[place], row[place], width, indent + _INDENT)
    if shape.left_out:
        names = ", ".join(table.columns[place].title for place in shape.left_out)
        for line in hanging(f"no room for: {names} (--format csv has them)", width, 0):
            _print_line(console, line, style="dim")


def _shape(table: Table, width: int) -> _Shape:
    """Return the first layout that fits, from all in one line to the name on a line of its own."""
    everything = tuple(range(len(table.columns)))
    widths = [size - tables.GAP for size in tables.widths_of(table)]
    if _total(widths, everything, 0) <= width:
        return _Shape(None, everything, (), ())
    below = tuple(i for i in everything if table.columns[i].is_below)
    rest = tuple(i for i in everything if i not in below)
    across = _without_ranks(table, rest, widths, width)
    name = None
    if _total(widths, across, 0) > width:
        name = max((i for i in rest if table.columns[i].is_fixed), key=lambda i: widths[i])
        others = tuple(i for i in rest if i != name)
        across = _without_ranks(table, others, widths, width - _INDENT)
    left_out = tuple(i for i in rest if i not in across and i != name)
    return _Shape(name, across, below, left_out)


def _without_ranks(
    table: Table, places: tuple[int, ...], widths: Sequence[int], width: int
) -> tuple[int, ...]:
    """Leave out columns by their rank until the others fit, or are all of rank 0."""
    for rank in sorted({table.columns[i].rank for i in places} - {0}, reverse=True):
        if _total(widths, places, 0) <= width:
            break
        places = tuple(i for i in places if table.columns[i].rank != rank)
    return places


def _total(widths: Sequence[int], places: Sequence[int], indent: int) -> int:
    return indent + sum(widths[i] for i in places) + _GAP * (len(places) - 1)


def _across(
    columns: Sequence[Column],
    row: Sequence[Cell],
    places: Sequence[int],
    widths: Sequence[int],
    indent: int,
) -> Text:
    from rich.text import Text

    line = Text(" " * indent)
    for n, place in enumerate(places):
        text = _cell_text(row[place])
        blank = " " * (widths[place] - text.cell_len)
        parts = (blank, text) if columns[place].is_number else (text, blank)
        line = Text.assemble(line, " " * _GAP * (n > 0), *parts)
    line.rstrip()
    return line


def _cell_text(cell: Cell) -> Text:
    from rich.text import Text

    return Text(printable(cell.text), style=STYLES[cell.tone])


def _print_below(console: Console, column: Column, cell: Cell, width: int, indent: int) -> None:
    """Print a text with a hanging indent; a word that is too long is left whole."""
    if cell.text in ("", "-"):
        return
    text = printable(f"{column.title}: {cell.text}")
    style = STYLES[cell.tone] or "dim"
    for line in hanging(text, width, indent):
        _print_line(console, line, style=style)


def hanging(text: str, width: int, indent: int) -> list[str]:
    """Return a text in lines, the later ones two columns further in; no word is broken."""
    return textwrap.wrap(
        text,
        max(width, indent + 20),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _print_line(console: Console, line: Text | str, style: str = "") -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
