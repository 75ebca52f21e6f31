"""``ablate status | logs | retry | cancel``: look at runs and change their state by hand."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

import typer

from ablate.cli import completion
from ablate.cli.shared import (
    FORMAT,
    Shown,
    echo,
    flush_stdout,
    opened,
    say_changed_files,
    settings_of,
    show,
    terminal_width,
)
from ablate.domain import RunState
from ablate.errors import NotFoundError
from ablate.settings import user_name
from ablate.spool.folders import RunFolder

if TYPE_CHECKING:
    from ablate.domain import Attempt, Run
    from ablate.settings import Settings
    from ablate.store.base import Store

_RUNS = typer.Argument(
    help="Run ids (a prefix will do), labels such as phase_a-s0, or phases.",
    autocompletion=completion.runs,
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (status, logs, retry, cancel):
        app.command()(command)


def status(
    context: typer.Context,
    study: str | None = typer.Argument(
        None, help="A study; all by default.", autocompletion=completion.studies
    ),
    watch: bool = typer.Option(False, "--watch", help="Look again every 2 s until interrupted."),
    every: bool = typer.Option(False, "--all", help="List every run, however many."),
    form: str = FORMAT,
) -> None:
    """Show runs: state, step, who trains them, why they ended or wait. Writes nothing."""
    from ablate.analysis.newest import ending_in_no_number
    from ablate.app.code_check import by_other_code
    from ablate.render.runs.table import Remarks, runs_table, worth_listing

    while True:
        with opened(context) as store:
            studies = [store.study(study)] if study else store.studies()
            runs = store.runs(studies[0].name if study else None)
            others = by_other_code(store, settings_of(context).project, runs)
            no_numbers = ending_in_no_number(store, studies, runs)
        if watch and sys.stdout.isatty():
            sys.stdout.write("\x1b[2J\x1b[H")
        remarks = Remarks(
            other_code={other.run.id: other.changes for other in others},
            no_numbers=no_numbers,
            gone={run.id for run in runs if _is_gone(run)},
        )
        is_short = form == "table" and terminal_width() is not None and not every
        listed, others = worth_listing(runs, remarks) if is_short else (runs, ())
        show(runs_table(listed, time.time(), remarks, others), form, "status")
        if not watch:
            say_changed_files(settings_of(context), studies)
            return
        time.sleep(2)


def _is_gone(run: Run) -> bool:
    """Whether a run counts as running though its runner, of this machine, has ended."""
    from ablate.attempt.runners import Life, life_of

    is_running = run.state is RunState.RUNNING and run.runner is not None
    return is_running and life_of(run.runner or "") is Life.DEAD


def logs(
    context: typer.Context,
    run: str = typer.Argument(
        help="A phase, for all its seeds; a label such as phase_a-s0; or the prefix of a run id.",
        autocompletion=completion.runs,
    ),
    follow: bool = typer.Option(False, "-f", "--follow", help="Wait for more."),
) -> None:
    """Print what the trainers of runs printed, and why their attempts ended."""
    from ablate.app.lookup import find_runs
    from ablate.render.runs.sentences import log_title

    with opened(context) as store:
        found = find_runs(store, [run])
        attempts = {each.id: store.attempts(each.id) for each in found}
    if not any(attempts.values()):
        raise NotFoundError(f"{run} was never started", hint="run: ablate run")
    newest: dict[str, Path] = {}
    for each in found:
        if not attempts[each.id]:
            Shown().write(f"{log_title(each)}\n")
        folder = RunFolder(settings_of(context).run_dir(each.id))
        for attempt in attempts[each.id]:
            log = folder.attempt(attempt.number).log
            title = log_title(each, attempt)
            Shown().write(f"{title}\n")
            _print_log(log, attempt)
            if attempt is attempts[each.id][-1] and log.is_file():
                newest[title] = log
    if follow:
        _follow(newest)


def _print_log(path: Path, attempt: Attempt) -> None:
    """Print a log and the traceback, each to a whole line; say where it is if it is not here."""
    from ablate.render.runs.sentences import where_log_is

    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for part in (text, attempt.traceback or ""):
        Shown().write(part if part.endswith("\n") or not part else f"{part}\n")
    if not path.is_file():
        flush_stdout()
        echo(f"note: {where_log_is(attempt, path)}")


def _follow(logs: Mapping[str, Path]) -> NoReturn:
    """Print what is added to logs, by their titles; of several it is said which one goes on."""
    with ExitStack() as stack:
        files: dict[str, TextIO] = {}
        for title, path in logs.items():
            files[title] = stack.enter_context(path.open(encoding="utf-8", errors="replace"))
            files[title].seek(0, os.SEEK_END)
        last = next(reversed(files), None)
        while True:
            added = {title: text for title, file in files.items() if (text := file.read())}
            for title, text in added.items():
                Shown().write(text if title == last else f"{title}\n{text}")
                last = title
            flush_stdout()
            if not added:
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
