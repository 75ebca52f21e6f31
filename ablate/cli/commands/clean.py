"""``ablate clean``: runs that no study wants any more."""

from __future__ import annotations

import typer

from ablate.cli import completion
from ablate.cli.shared import FORMAT, check_format, echo, opened, settings_of, show
from ablate.errors import StoreError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(clean)


def clean(
    context: typer.Context,
    studies: list[str] = typer.Argument(
        None,
        help="Only runs that these studies have wanted.",
        autocompletion=completion.studies,
    ),
    delete: bool = typer.Option(False, "--delete", help="Delete what is shown and not kept."),
    form: str = FORMAT,
) -> None:
    """Show what no study wants any more: runs, and folders without a run."""
    from ablate.app.cleaning import delete as delete_leftovers
    from ablate.app.cleaning import leftovers
    from ablate.render.cleaning import deleted_line, leftovers_table
    from ablate.render.listing import FORMATS

    check_format(form, FORMATS)
    with opened(context, write=delete) as store:
        found = leftovers(store, settings_of(context), studies or ())
        size = sum(item.size_bytes for item in found)
        if not found and form == "table":
            echo("nothing to clean: every run is wanted, and every folder has its run")
            return
        show(leftovers_table(found), form, "clean", {"is_dry_run": not delete, "size": size})
        if delete:
            done = delete_leftovers(store, found)
            echo(deleted_line(done.deleted, found))
            if done.faults:
                raise StoreError(
                    "; ".join(done.faults), hint="delete them, or run ablate clean again"
                )
            if any(item.orphan for item in done.deleted):
                echo("next: ablate db vacuum gives the space of their points back")
        elif found:
            echo("nothing was deleted; delete with --delete")
