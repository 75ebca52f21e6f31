"""A list of things (studies, runs, variants) in every output format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ablate.errors import UsageError
from ablate.render import tables
from ablate.render.tables import Table
from ablate.text import printable

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
    for part in tables.fit(table, width):
        console.print(tables.to_rich(part))
    for note in table.notes:
        console.print(printable(note), markup=False, style="dim")
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()
