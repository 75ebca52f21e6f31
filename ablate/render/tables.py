"""A small neutral table and its writers. A cell holds what is shown and the raw value."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Literal

from ablate.text import csv_text, printable

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Tone = Literal["plain", "strong", "good", "warn", "bad", "muted"]
Raw = float | int | str | None


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell."""

    text: str
    raw: Raw = None
    """For machines; None stands for ``text`` where there is one."""
    tone: Tone = "plain"
    lines: tuple[str, ...] = ()
    """The same in several short lines, for a narrow terminal; empty for ``text`` alone."""

    def shown(self, *, is_stacked: bool) -> str:
        """Return what is printed, with line breaks where it is stacked."""
        if is_stacked and self.lines:
            return "\n".join(map(printable, self.lines))
        return printable(self.text)


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    title: str
    is_number: bool = False
    """Set flush right."""
    is_fixed: bool = False
    """Repeated in every part when a table is split to fit a terminal."""
    is_below: bool = False
    """Free text: in a list that is too wide for the terminal it stands below its row."""
    rank: int = 0
    """0 for what is always shown; of the others, in a list that is too wide, the highest goes."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under titles, with sentences beneath."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    is_stacked: bool = False
    """Whether a terminal shows the cells' short lines."""
    topic: str = ""
    """What it is about among the tables of a document, for a caption; empty for the main one."""


def count_cell(value: int | None) -> Cell:
    """Return the cell of a whole number, empty for None."""
    return Cell("" if value is None else str(value), value)


STYLES: dict[Tone, str] = {
    "plain": "",
    "strong": "bold",
    "good": "green",
    "warn": "yellow",
    "bad": "red",
    "muted": "dim",
}


def to_rich(table: Table) -> RichTable:
    """Return the table for a terminal; no text is read as markup."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    rich = RichTable(
        title=Text(printable(table.title), style="bold") if table.title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for column in table.columns:
        rich.add_column(
            Text(printable(column.title)),
            justify="right" if column.is_number else "left",
            overflow="fold",
        )
    for row in table.rows:
        rich.add_row(
            *(Text(c.shown(is_stacked=table.is_stacked), style=STYLES[c.tone]) for c in row)
        )
    return rich


def to_plain(table: Table) -> str:
    """Return the whole table as text: aligned columns, no lines, no colour, nothing cut."""
    from rich.cells import cell_len

    grid = [[printable(c.title) for c in table.columns]]
    grid += [[printable(cell.text) for cell in row] for row in table.rows]
    widths = [max(map(cell_len, column)) for column in zip(*grid, strict=True)]
    lines = [printable(table.title)] if table.title else []
    for row in grid:
        parts: list[str] = []
        for text, width, column in zip(row, widths, table.columns, strict=True):
            gap = " " * (width - cell_len(text))
            parts.append(gap + text if column.is_number else text + gap)
        lines.append("  ".join(parts).rstrip())
    return "\n".join([*lines, *map(printable, table.notes)])


def to_markdown(table: Table) -> str:
    """Return a GitHub table; foreign text cannot end a cell or become HTML."""
    lines = [f"### {markdown_text(table.title)}", ""] if table.title else []
    lines.append(_markdown_row([markdown_text(c.title) for c in table.columns]))
    lines.append(_markdown_row(["---:" if c.is_number else "---" for c in table.columns]))
    for row in table.rows:
        lines.append(_markdown_row([_markdown_cell(cell) for cell in row]))
    for note in table.notes:
        lines += ["", markdown_text(note)]
    return "\n".join(lines)


def to_csv(table: Table) -> str:
    """Return the raw values with titles: empty for missing, ``NaN`` and ``Infinity`` in words."""
    return csv_of([c.title for c in table.columns], [[_raw(c) for c in r] for r in table.rows])


def csv_of(header: Sequence[str], rows: Sequence[Sequence[Raw]]) -> str:
    """Return CSV (RFC 4180, but with a line feed alone at the end of a line).

    A text that a spreadsheet would take for a formula has a ``'`` in front.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(csv_text, header))
    writer.writerows([[_csv_value(value) for value in row] for row in rows])
    return buffer.getvalue()


def to_latex(table: Table, *, caption: str = "", label: str = "") -> str:
    """Return a table that needs the package ``booktabs``; everything is escaped."""
    alignment = "".join("r" if c.is_number else "l" for c in table.columns)
    lines = [r"\begin{table}", r"\centering"]
    lines += [rf"\caption{{{latex_text(caption or table.title)}}}"]
    lines += [rf"\label{{{label}}}"] if label else []
    lines += [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule"]
    lines += [_latex_row([c.title for c in table.columns]), r"\midrule"]
    lines += [_latex_cells(row) for row in table.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\small {latex_text(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"])


def to_html(table: Table) -> str:
    """Return a ``<table>`` whose tones are class names; everything is escaped."""
    head = "".join(
        f'<th scope="col"{_html_class(c.is_number)}>{html_text(c.title)}</th>'
        for c in table.columns
    )
    body = "\n".join(f"<tr>{_html_row(row, table.columns)}</tr>" for row in table.rows)
    label = f'aria-label="{html_text(table.title)}"'
    caption = f"<caption>{html_text(table.title)}</caption>" if table.title else ""
    notes = "".join(f'<p class="note">{html_text(note)}</p>' for note in table.notes)
    return (
        f'<div><div class="scroll" role="region" tabindex="0" {label}>'
        f"<table>{caption}\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>{notes}</div>"
    )


def markdown_text(text: str) -> str:
    """Return text that Markdown shows as it is."""
    shown = escape(printable(text), quote=False)
    return re.sub(r"([\\`*_{}\[\]|~#])", r"\\\1", shown)


def html_text(text: str) -> str:
    """Return escaped text."""
    return escape(printable(text))


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "✓": r"$\checkmark$",
    "✗": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "Δ": r"$\Delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


def latex_text(text: str) -> str:
    """Return text in which nothing is a command, with minus signs that are no hyphens."""
    shown = "".join(_LATEX.get(c, c) for c in printable(text))
    return _MINUS.sub("$-$", shown)


_MINUS = re.compile(r"(?<![^\s\[(])-(?=\.?\d)")
"""Before a number; in a name there is something before it."""


GAP = 3
"""Columns between two cells on a terminal."""


def fit(table: Table, width: int) -> tuple[Table, ...]:
    """Return what fits a terminal: the table, the table with stacked cells, or parts of that.

    The fixed columns are in every part.
    """
    width += GAP  # the last column has none behind it
    if sum(widths_of(table)) <= width:
        return (table,)
    table = replace(table, is_stacked=True)
    widths = widths_of(table)
    fixed = [i for i, column in enumerate(table.columns) if column.is_fixed]
    room = width - sum(widths[i] for i in fixed)
    parts: list[list[int]] = [[]]
    used = 0
    for i in (i for i in range(len(table.columns)) if i not in fixed):
        if parts[-1] and used + widths[i] > room:
            parts.append([])
            used = 0
        parts[-1].append(i)
        used += widths[i]
    return tuple(
        _take(
            table,
            [*fixed, *part],
            title=f"{table.title} (continued)".strip() if n else table.title,
            notes=table.notes if part is parts[-1] else (),
        )
        for n, part in enumerate(parts)
    )


def widths_of(table: Table) -> list[int]:
    """Return the columns' widths on a terminal, gaps included."""
    from rich.cells import cell_len

    widths: list[int] = []
    for i, column in enumerate(table.columns):
        shown = [row[i].shown(is_stacked=table.is_stacked).split("\n") for row in table.rows]
        lines = [printable(column.title), *(line for lines in shown for line in lines)]
        widths.append(max(map(cell_len, lines)) + GAP)
    return widths


def _take(table: Table, indices: Sequence[int], *, title: str, notes: tuple[str, ...]) -> Table:
    return replace(
        table,
        title=title,
        columns=tuple(table.columns[i] for i in indices),
        rows=tuple(tuple(row[i] for i in indices) for row in table.rows),
        notes=notes,
    )


def _raw(cell: Cell) -> Raw:
    return cell.text if cell.raw is None else cell.raw


def _csv_value(value: Raw) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return repr(value)
    return csv_text(value) if isinstance(value, str) else str(value)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cell(cell: Cell) -> str:
    text = markdown_text(cell.text)
    return f"**{text}**" if text and cell.tone in ("strong", "bad") else text


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def _latex_cells(row: Sequence[Cell]) -> str:
    cells = (
        rf"\textbf{{{latex_text(cell.text)}}}" if cell.tone == "strong" else latex_text(cell.text)
        for cell in row
    )
    return " & ".join(cells) + r" \\"


def _html_class(is_number: bool, tone: Tone = "plain") -> str:
    names = [*(["number"] if is_number else []), *([tone] if tone != "plain" else [])]
    return f' class="{" ".join(names)}"' if names else ""


def _html_row(row: Sequence[Cell], columns: Sequence[Column]) -> str:
    parts: list[str] = []
    for i, (cell, column) in enumerate(zip(row, columns, strict=True)):
        attributes = _html_class(column.is_number, cell.tone)
        tag, scope = ("th", ' scope="row"') if i == 0 else ("td", "")
        parts.append(f"<{tag}{scope}{attributes}>{html_text(cell.text)}</{tag}>")
    return "".join(parts)
