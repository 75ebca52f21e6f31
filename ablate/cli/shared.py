"""What the commands share: global options, opening the store, printing."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from ablate.errors import UsageError

if TYPE_CHECKING:
    from ablate.render.tables import Table
    from ablate.settings import Settings
    from ablate.store.base import Store

TABLE_FORMATS = ("table", "md", "csv", "json", "latex")


@dataclass(frozen=True, slots=True)
class Globals:
    """The options before the command's name."""

    db: str | None
    debug: bool


def settings_of(context: typer.Context, *, mlflow: bool | None = None) -> Settings:
    """Return the project's settings under the global options."""
    from ablate.settings import load_settings

    return load_settings(db=context.obj.db, mlflow=mlflow)


@contextmanager
def opened(context: typer.Context, *, write: bool = False) -> Generator[Store]:
    """Open the project's database, read-only unless the command writes."""
    from ablate.store import open_store

    store = open_store(settings_of(context).db_url, read_only=not write)
    try:
        yield store
    finally:
        store.close()


def say(text: str) -> None:
    """Print to stderr: progress, hints, what was done."""
    print(text, file=sys.stderr, flush=True)


def show(table: Table, form: str) -> None:
    """Print a table to stdout: fitted and coloured on a terminal, plain and whole elsewhere."""
    from ablate.render import tables

    if form == "table" and sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        for part in tables.fit(table, console.width):
            console.print(tables.to_rich(part))
        for note in table.notes:
            console.print(note, markup=False, style="dim")
        return
    writers = {
        "table": tables.to_plain,
        "md": tables.to_markdown,
        "csv": tables.to_csv,
        "json": tables.to_json,
        "latex": tables.to_latex,
    }
    sys.stdout.write(writers[check_format(form, TABLE_FORMATS)](table).rstrip("\n") + "\n")


def check_format(form: str, known: Sequence[str]) -> str:
    """Return the format if it is one of the known.

    Raises:
        UsageError: With the known ones.
    """
    if form not in known:
        raise UsageError(f"--format {form}: unknown", hint="known: " + ", ".join(known))
    return form
