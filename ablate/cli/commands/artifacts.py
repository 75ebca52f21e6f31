"""``ablate artifacts``: the files that a trainer kept with its run."""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path

import typer

from ablate.cli import completion
from ablate.cli.shared import FORMAT, check_format, echo, opened, settings_of, show
from ablate.errors import NotFoundError, StoreError
from ablate.text import counted


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(artifacts)


def artifacts(
    context: typer.Context,
    run: str = typer.Argument(
        help="A run id (a prefix will do) or a label such as phase_a-s0.",
        autocompletion=completion.runs,
    ),
    output: Path | None = typer.Option(None, "-o", "--output", help="Copy them into this folder."),
    only: list[str] = typer.Option([], "--only", help="A name or pattern (repeatable)."),
    form: str = FORMAT,
) -> None:
    """List the files that a run has kept, sound and pictures among them, or copy them."""
    from ablate.app.lookup import find_run
    from ablate.attempt.artifacts import artifacts_of
    from ablate.attempt.runners import place_of
    from ablate.render.listing import FORMATS
    from ablate.render.studies import artifacts_table

    check_format(form, FORMATS)
    with opened(context) as store:
        found = find_run(store, run)
    kept = artifacts_of(settings_of(context).run_dir(found.id))
    if not kept and (place := place_of(found.runner)) is not None and not place.is_here:
        raise NotFoundError(
            f"{found.label} has kept no file on this machine",
            hint=f"it was trained on {place}; look there",
        )
    chosen = [a for a in kept if not only or any(fnmatch.fnmatchcase(a.name, p) for p in only)]
    if kept and not chosen:
        raise NotFoundError(
            f"{found.label} has kept no file that matches {' '.join(only)}",
            hint=f"it has kept {len(kept)}, as {kept[-1].name}",
        )
    show(artifacts_table(chosen), form, "artifacts")
    if output is not None:
        for artifact in chosen:
            _copy(artifact.path, output / artifact.name)
        echo(f"copied {counted(len(chosen), 'file')} to {output}")


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}") from error
