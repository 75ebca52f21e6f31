"""What the commands share: global options, opening the store, printing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from ablate.cli import completion
from ablate.errors import StoreError, UsageError
from ablate.text import listed, printable_lines

if TYPE_CHECKING:
    from ablate.domain import Study
    from ablate.render.tables import Table
    from ablate.settings import Settings
    from ablate.store.base import Store

_Text = TypeVar("_Text", bound=str)

LIST_FORMATS = ("table", "md", "csv", "json", "ndjson", "latex")
FORMAT = typer.Option(
    "table",
    "--format",
    help=f"{listed(LIST_FORMATS, 'or')}.",
    autocompletion=completion.one_of(LIST_FORMATS),
)
"""Of every command that prints a list."""


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
def opened(
    context: typer.Context, *, write: bool = False, wait_s: float | None = None
) -> Generator[Store]:
    """Open the project's database, read-only unless the command writes."""
    from ablate.store import open_store

    settings = settings_of(context)
    store = open_store(
        settings.db_url, read_only=not write, data_dir=settings.data_dir, wait_s=wait_s
    )
    try:
        yield store
    finally:
        store.close()


def typed_command() -> str:
    """Return how this command is called from here: by its name only where that finds it."""
    found, path = shutil.which("ablate"), Path(sys.argv[0])
    is_by_name = path.name != "ablate" or (found is not None and path.samefile(found))
    return "ablate" if is_by_name else os.path.relpath(path)


def echo(text: str) -> None:
    """Print to stderr: progress, hints, what was done. Nobody has to be there to read it."""
    with suppress(OSError, ValueError):
        print(printable_lines(text), file=sys.stderr, flush=True)


def put(text: str, *, is_safe: bool = False) -> None:
    """Print data to stdout: as it is, but on a terminal with nothing that it obeys.

    Args:
        text: What may hold foreign text.
        is_safe: Whether foreign text in it is `printable` already, and the colours are ours.

    Raises:
        StoreError: If it cannot be written.
    """
    Shown(is_safe=is_safe).write(f"{text}\n")


class Shown:
    """Standard output for what writes by itself; see `put`."""

    def __init__(self, *, is_safe: bool = False) -> None:
        self._is_safe = is_safe

    def write(self, text: str | bytes) -> int:
        """Write text, or bytes of UTF-8."""
        with _to_stdout():
            if sys.stdout.isatty() and not self._is_safe:
                whole = text if isinstance(text, str) else text.decode("utf-8", "replace")
                return sys.stdout.write(printable_lines(whole))
            if isinstance(text, str):
                return sys.stdout.write(text)
            return sys.stdout.buffer.write(text)


def flush_stdout() -> None:
    """Write what is held back.

    Raises:
        StoreError: If it cannot be written.
    """
    with _to_stdout():
        sys.stdout.flush()


@contextmanager
def _to_stdout() -> Generator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader left
        raise
    except OSError as error:
        raise StoreError(
            f"standard output cannot be written: {error.strerror}",
            hint="free some space, or write elsewhere",
        ) from error


def say_changed_files(settings: Settings, studies: Sequence[Study]) -> None:
    """Say which studies' files have changed since the studies were created from them."""
    from ablate.app.creating import file_change
    from ablate.render.studies import change_line

    for study in studies:
        if (change := file_change(settings, study)) is not None:
            echo(f"note: {change_line(change)}")


def show(table: Table, form: str, schema: str, facts: Mapping[str, Any] | None = None) -> None:
    """Print a list to stdout: fitted and coloured on a terminal, plain and whole elsewhere."""
    from ablate.render.listing import render_list

    width = terminal_width()
    text = render_list(table, form, schema=f"ablate.{schema}/1", width=width, facts=facts)
    put(text, is_safe=form == "table")


def terminal_width() -> int | None:
    """Return the terminal's width, None when stdout is not a terminal."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    return Console().width


def check_format(form: str, known: Sequence[_Text], option: str = "--format") -> _Text:
    """Return the format, or what else an option chooses, if it is one of the known.

    Raises:
        UsageError: With the known ones.
    """
    for each in known:
        if each == form:
            return each
    raise UsageError(f"{option} {form}: unknown", hint="known: " + ", ".join(known))
