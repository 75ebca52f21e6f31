"""``ablate export | sql``: the points for other programs, and questions in SQL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import typer

from ablate.cli import completion
from ablate.cli.shared import (
    FORMAT,
    Shown,
    check_format,
    echo,
    opened,
    settings_of,
    terminal_width,
)
from ablate.errors import UsageError, closest

_EXPORTS = ("csv", "ndjson", "parquet")
_SUFFIXES = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(export)
    app.command()(sql)


def export(
    context: typer.Context,
    study: str = typer.Argument(help="The study.", autocompletion=completion.studies),
    output: Path | None = typer.Option(None, "-o", "--output", help="FILE (default: stdout)."),
    metric: list[str] = typer.Option(
        [],
        "--metric",
        help="A key or pattern (repeatable).",
        autocompletion=completion.metrics,
    ),
    variant: list[str] = typer.Option(
        [], "--variant", help="A phase (repeatable).", autocompletion=completion.phases
    ),
    form: str | None = typer.Option(
        None,
        "--format",
        help="csv, ndjson or parquet (default: by FILE's suffix, else csv).",
        autocompletion=completion.one_of(_EXPORTS),
    ),
) -> None:
    """Write a study's points, one row for each (run, key, step), whatever their number."""
    from ablate.app.exporting import point_blocks
    from ablate.files import written_whole
    from ablate.render.points import WRITERS

    form = check_format(form or _form_of(output), _EXPORTS)
    if output is None and form == "parquet":
        raise UsageError("Parquet needs a file", hint="name one with -o FILE.parquet")
    with opened(context) as store:
        blocks = point_blocks(store, study, variants=variant, metrics=metric)
        if output is None:
            WRITERS[form](blocks, cast("BinaryIO", Shown()))
            return
        with written_whole(output) as file:
            count = WRITERS[form](blocks, file)
    echo(f"wrote {count} points to {output}")


def _form_of(output: Path | None) -> str:
    suffix = "" if output is None else output.suffix.lower()
    if suffix not in _SUFFIXES and (meant := closest(suffix, _SUFFIXES)):
        hint = f"did you mean {meant}? --format says what is written, whatever the name"
        raise UsageError(f"-o {output}: unknown suffix", hint=hint)
    return _SUFFIXES.get(suffix, "csv")


def sql(
    context: typer.Context,
    query: str = typer.Argument(help="One SELECT, or - to read it from stdin."),
    form: str = FORMAT,
    timeout: float | None = typer.Option(
        None, "--timeout", min=0.001, help="Give up after so many seconds."
    ),
) -> None:
    """Ask the results database in SQL; nothing can be changed this way."""
    from ablate.render.answers import FORMATS, write_answer
    from ablate.store.adhoc import querying

    check_format(form, FORMATS)
    text = sys.stdin.read() if query == "-" else query
    with querying(settings_of(context).db_url, text, timeout_s=timeout) as answer:
        out = Shown(is_safe=form == "table")
        write_answer(
            answer.columns, answer.rows, cast("TextIO", out), form=form, width=terminal_width()
        )
