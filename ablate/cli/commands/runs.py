"""``ablate status | logs | retry | cancel``: look at runs and change their state by hand."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ablate.cli.shared import (
    LIST_FORMATS,
    Shown,
    echo,
    opened,
    say_changed_files,
    settings_of,
    show,
)
from ablate.errors import NotFoundError
from ablate.settings import user_name

if TYPE_CHECKING:
    from ablate.domain import Run
    from ablate.settings import Settings
    from ablate.store.base import Store

_FORMAT = typer.Option("table", "--format", help=LIST_FORMATS)
_RUNS = typer.Argument(help="Run ids (a prefix will do), labels such as phase_a-s0, or phases.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (status, logs, retry, cancel):
        app.command()(command)


def status(
    context: typer.Context,
    study: str | None = typer.Argument(None, help="A study; all by default."),
    watch: bool = typer.Option(False, "--watch", help="Look again every 2 s until interrupted."),
    form: str = _FORMAT,
) -> None:
    """Show every run: state, step, attempts, why it ended. Writes nothing."""
    from ablate.analysis.newest import ending_in_no_number
    from ablate.app.code_check import by_other_code
    from ablate.render.runs.table import runs_table

    while True:
        with opened(context) as store:
            studies = [store.study(study)] if study else store.studies()
            runs = store.runs(studies[0].name if study else None)
            others = by_other_code(store, settings_of(context).project, runs)
            no_numbers = ending_in_no_number(store, studies, runs)
        if watch and sys.stdout.isatty():
            sys.stdout.write("\x1b[2J\x1b[H")
        changes = {other.run.id: other.changes for other in others}
        show(runs_table(runs, time.time(), changes, no_numbers), form, "status")
        if not watch:
            say_changed_files(settings_of(context), studies)
            return
        time.sleep(2)


def logs(
    context: typer.Context,
    run: str = typer.Argument(help="A run id (a prefix will do) or a label such as phase_a-s0."),
    follow: bool = typer.Option(False, "-f", "--follow", help="Wait for more."),
) -> None:
    """Print what the trainer of a run printed, and why its attempts ended."""
    from ablate.app.lookup import find_runs
    from ablate.spool.folders import RunFolder

    with opened(context) as store:
        found = find_runs(store, [run])[0]
        attempts = store.attempts(found.id)
    if not attempts:
        raise NotFoundError(f"{found.label} was never started", hint="run: ablate run")
    folder = RunFolder(settings_of(context).run_dir(found.id))
    for attempt in attempts:
        ended = f": {attempt.error}" if attempt.error else ""
        echo(f"attempt {attempt.number} {attempt.state}{ended}")
        _print_file(folder.attempt(attempt.number).log)
        if attempt.traceback:
            Shown().write(attempt.traceback)
    if follow:
        _follow(folder.attempt(attempts[-1].number).log)


def _print_file(path: Path) -> None:
    if path.is_file():
        Shown().write(path.read_text(encoding="utf-8", errors="replace"))


def _follow(path: Path) -> None:
    with path.open(encoding="utf-8", errors="replace") as file:
        file.seek(0, os.SEEK_END)
        while True:
            text = file.read()
            Shown().write(text)
            sys.stdout.flush()
            if not text:
                time.sleep(0.5)


def retry(
    context: typer.Context,
    runs: list[str] = _RUNS,
    fresh: bool = typer.Option(
        False, "--fresh", help="From the beginning, succeeded runs too; nothing is deleted."
    ),
) -> None:
    """Put failed, diverged, stopped or cancelled runs back into the queue."""
    from ablate.app.lookup import find_runs
    from ablate.render.runs.sentences import why_not_requeued

    with opened(context, write=True) as store:
        found = find_runs(store, runs)
        if fresh:
            moved = start_over(store, settings_of(context), found)
        else:
            moved = store.requeue([run.id for run in found], by=user_name())
    for line in why_not_requeued([run for run in found if run.id not in moved]):
        echo(line)
    echo(f"{len(moved)} of {len(found)} runs queued again")
    if not moved:
        raise typer.Exit(1)
    echo("next: ablate run")


def start_over(store: Store, settings: Settings, runs: Sequence[Run]) -> tuple[str, ...]:
    """Put runs back to their beginning; their own folders are put aside. Return those moved."""
    from ablate.spool.folders import RunFolder

    moved = store.start_over([run.id for run in runs], by=user_name())
    for run_id in moved:
        RunFolder(settings.run_dir(run_id)).set_files_aside()
    return moved


def cancel(context: typer.Context, runs: list[str] = _RUNS) -> None:
    """End queued and running runs; what they logged is kept."""
    from ablate.app.lookup import find_runs

    with opened(context, write=True) as store:
        found = find_runs(store, runs)
        moved = store.cancel([run.id for run in found], by=user_name())
    echo(f"{len(moved)} of {len(found)} runs cancelled")
