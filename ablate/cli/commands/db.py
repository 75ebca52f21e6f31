"""``ablate db``: the results database itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import typer

from ablate.cli.shared import echo, opened, put, settings_of
from ablate.cli.typos import Group
from ablate.errors import AblateError, StoreError

app = typer.Typer(
    cls=Group,
    help="Upgrade, check, rebuild, back up and compact the results database.",
    no_args_is_help=True,
)


_YES = typer.Option(False, "--yes", help="Runners on other machines are dead, as I know.")


@app.command()
def upgrade(context: typer.Context, yes: bool = _YES) -> None:
    """Bring the database to this version's schema; a SQLite file is copied first."""
    from ablate.store.upkeep.migrate import check as check_schema
    from ablate.store.upkeep.migrate import upgrade as upgrade_schema

    url = settings_of(context).db_url
    copy = upgrade_schema(url, refuse=_beside_runners(is_confirmed=yes))
    _say_revision(check_schema(url).revision, copy)
    with opened(context, write=True):
        pass  # this writes the journal anew where it lacks something
    for line in _audited(context)[0]:
        echo(line)


@app.command()
def downgrade(
    context: typer.Context,
    revision: str = typer.Argument(help="The revision to go back to, or `base` for none."),
    yes: bool = typer.Option(False, "--yes", help="Do it; tables may be dropped."),
) -> None:
    """Take the schema back to an older revision; what it cannot hold is lost."""
    from ablate.errors import UsageError
    from ablate.store.upkeep.migrate import downgrade as downgrade_schema

    if not yes:
        raise UsageError("a downgrade can drop tables with results", hint="confirm with --yes")
    refuse = _beside_runners(is_confirmed=yes)
    copy = downgrade_schema(settings_of(context).db_url, revision, refuse=refuse)
    _say_revision(revision, copy)


def _beside_runners(*, is_confirmed: bool) -> Callable[[Collection[str]], None]:
    from ablate.app.recovery import refuse_beside_runners

    def refuse(runners: Collection[str]) -> None:
        what = "the schema is not changed"
        refuse_beside_runners(runners, doing=what, is_confirmed=is_confirmed)

    return refuse


def _say_revision(revision: str | None, copy: Path | None) -> None:
    before = f"; {copy} is what it was before" if copy else ""
    echo(f"the database is at revision {revision}{before}")


@app.command()
def check(context: typer.Context) -> None:
    """Say which schema it has, whether it is whole, and whether runs are what they are called.

    All that the disk has a second time, in journal and spools, is compared. Writes nothing.
    """
    from ablate.app.recovery import compare_copies
    from ablate.render.schema import status_lines, verification_lines
    from ablate.store.upkeep.migrate import check as check_schema

    settings = settings_of(context)
    status = check_schema(settings.db_url)
    put("\n".join(status_lines(status)))
    if not status.is_good:
        hint = _REBUILD if status.damage else "run: ablate db upgrade"
        raise StoreError("the database needs attention, as shown", hint=hint)
    found = compare_copies(settings)
    put("\n".join(verification_lines(found)))
    if found.differences:
        raise StoreError("the database is not what the disk has of it, as shown", hint=_REBUILD)
    lines, is_good = _audited(context)
    put("\n".join(lines))
    if not is_good:
        raise StoreError(
            "some runs were trained with another config than their variant has, as shown",
            hint="train them anew: ablate study create STUDY --update, ablate retry --fresh RUN...",
        )


_REBUILD = "run: ablate db rebuild"


@app.command()
def rebuild(
    context: typer.Context,
    journal: Path | None = typer.Option(None, "--journal", help="Read this journal instead."),
    yes: bool = _YES,
) -> None:
    """Make a lost or damaged database anew from what is on the disk; the old file is kept."""
    from ablate.app.recovery import recover
    from ablate.render.schema import recovery_lines

    found = recover(settings_of(context), journal=journal, is_confirmed=yes)
    lines, is_whole = recovery_lines(found)
    put("\n".join(lines))
    if not is_whole:
        raise AblateError("not all is there again, as shown")


def _audited(context: typer.Context) -> tuple[list[str], bool]:
    """Return what holding runs against their identities found, and whether all is right."""
    from ablate.app.auditing import audit
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
    from ablate.store.upkeep.maintenance import back_up

    put(str(back_up(settings_of(context).db_url, file)))


@app.command()
def vacuum(context: typer.Context) -> None:
    """Compact the database and refresh what the planner knows; runs wait meanwhile."""
    from ablate.store.upkeep.maintenance import vacuum as compact

    sizes = compact(settings_of(context).db_url)
    echo(f"{sizes.before_bytes / 1e6:.1f} MB before, {sizes.after_bytes / 1e6:.1f} MB now")
