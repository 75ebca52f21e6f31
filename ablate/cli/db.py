"""``ablate db``: the results database itself."""

from __future__ import annotations

from pathlib import Path

import typer

from ablate.cli.shared import say, settings_of
from ablate.errors import StoreError

app = typer.Typer(
    help="Upgrade, check, back up and compact the results database.", no_args_is_help=True
)


@app.command()
def upgrade(context: typer.Context) -> None:
    """Bring the database to this version's schema; a SQLite file is copied first."""
    from ablate.store.migrate import check as check_schema
    from ablate.store.migrate import upgrade as upgrade_schema

    url = settings_of(context).db_url
    copy = upgrade_schema(url)
    _say_revision(check_schema(url).revision, copy)
    for line in _audited(context)[0]:
        say(line)


@app.command()
def downgrade(
    context: typer.Context,
    revision: str = typer.Argument(help="The revision to go back to, or `base` for none."),
    yes: bool = typer.Option(False, "--yes", help="Do it; tables may be dropped."),
) -> None:
    """Take the schema back to an older revision; what it cannot hold is lost."""
    from ablate.errors import UsageError
    from ablate.store.migrate import downgrade as downgrade_schema

    if not yes:
        raise UsageError("a downgrade can drop tables with results", hint="confirm with --yes")
    copy = downgrade_schema(settings_of(context).db_url, revision)
    _say_revision(revision, copy)


def _say_revision(revision: str | None, copy: Path | None) -> None:
    before = f"; {copy} is what it was before" if copy else ""
    say(f"the database is at revision {revision}{before}")


@app.command()
def check(context: typer.Context) -> None:
    """Say which schema it has, whether it is whole, and whether runs are what they are called.

    Writes nothing.
    """
    from ablate.render.schema import status_lines
    from ablate.store.migrate import check as check_schema

    status = check_schema(settings_of(context).db_url)
    print("\n".join(status_lines(status)))
    if not status.is_good:
        hint = "restore a backup" if status.damage else "run: ablate db upgrade"
        raise StoreError("the database needs attention, as shown", hint=hint)
    lines, is_good = _audited(context)
    print("\n".join(lines))
    if not is_good:
        raise StoreError(
            "some runs were trained with another config than their variant has, as shown",
            hint="train them anew: ablate study create STUDY --update, ablate retry --fresh RUN...",
        )


def _audited(context: typer.Context) -> tuple[list[str], bool]:
    """Return what holding runs against their identities found, and whether all is right."""
    from ablate.auditing import audit
    from ablate.cli.shared import opened
    from ablate.render.schema import audit_lines

    with opened(context) as store:
        found = audit(store, settings_of(context))
    return audit_lines(found), not found.mislabelled


@app.command()
def backup(
    context: typer.Context,
    file: Path | None = typer.Argument(
        None, help="The copy; without it a file beside the database with the time in its name."
    ),
) -> None:
    """Copy an SQLite database, also while runs write to it. Prints the copy's path."""
    from ablate.store.maintenance import back_up

    print(back_up(settings_of(context).db_url, file))


@app.command()
def vacuum(context: typer.Context) -> None:
    """Compact the database and refresh what the planner knows; runs wait meanwhile."""
    from ablate.store.maintenance import vacuum as compact

    sizes = compact(settings_of(context).db_url)
    say(f"{sizes.before_bytes / 1e6:.1f} MB before, {sizes.after_bytes / 1e6:.1f} MB now")
