"""``ablate run``: train what is queued."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import (
    AbstractContextManager,
    closing,
    contextmanager,
    nullcontext,
    redirect_stderr,
)
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TextIO, cast

import typer

from ablate.cli import completion
from ablate.cli.commands.runs import start_over
from ablate.cli.shared import echo, opened, say_changed_files, settings_of
from ablate.domain import IMPORTED, RunState
from ablate.errors import HeldError, NotFoundError, UsageError, did_you_mean
from ablate.keys import steps_of
from ablate.text import counted

if TYPE_CHECKING:
    from ablate.app.running import RunRequest
    from ablate.domain import Run, Study
    from ablate.execution.progress import Observer
    from ablate.execution.scheduling import Summary
    from ablate.settings import Settings
    from ablate.store.base import Store


_WAIT_S = 5.0
_LISTED = 8
"""Runs that a suggested command names."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    context: typer.Context,
    studies: list[str] | None = typer.Argument(
        None,
        help="Studies; all that are queued by default.",
        autocompletion=completion.studies,
    ),
    workers: int | None = typer.Option(
        None, "--workers", min=1, help="Runs at once (default: GPUs, else cores)."
    ),
    only: list[str] = typer.Option(
        [], "--only", help="A phase or a run (repeatable).", autocompletion=completion.runs
    ),
    executor: str = typer.Option(
        "local", "--executor", help="local, inline, or another (see ablate doctor)."
    ),
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda or cuda:0,1."),
    gpus_per_run: int = typer.Option(
        1, "--gpus-per-run", min=1, help="GPUs that train one run together."
    ),
    steps: int | None = typer.Option(None, "--steps", min=1, help="Pause every run at this step."),
    fail_fast: bool = typer.Option(False, "--fail-fast", help="Claim no more after a failure."),
    max_failures: int | None = typer.Option(
        None, "--max-failures", min=1, help="Claim no more after this many failures."
    ),
    stall_timeout: float | None = typer.Option(
        None, "--stall-timeout", min=0, help="Seconds without a step after which a run has hung."
    ),
    mlflow: bool | None = typer.Option(
        None, "--mlflow/--no-mlflow", help="Copy metrics to MLflow."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would be run."),
    keep: bool = typer.Option(
        False, "--keep", help="Keep runs that were trained by other code beside new ones."
    ),
    fresh: bool = typer.Option(
        False, "--fresh", help="Train runs anew that were trained by other code."
    ),
) -> None:
    """Train what is queued; typed again, carry on where it stopped."""
    from ablate.app.running import RunRequest
    from ablate.execution.executors.base import ExecutorRequest, Resources
    from ablate.execution.executors.registry import make_executor

    wanted = ExecutorRequest(workers=workers, device=device, resources=Resources(gpus=gpus_per_run))
    request = RunRequest(
        studies=tuple(studies or ()),
        only=tuple(only),
        executor=make_executor(executor, wanted),
        steps=steps,
        max_failures=1 if fail_fast else max_failures,
        stall_timeout_s=stall_timeout,
    )
    if keep and fresh:
        raise UsageError("--keep and --fresh: take one of them")
    code = "keep" if keep else "fresh" if fresh else None
    settings = settings_of(context, mlflow=mlflow)
    train(context, settings, request, dry_run=dry_run, other_code=code)


def train(
    context: typer.Context,
    settings: Settings,
    request: RunRequest,
    *,
    dry_run: bool = False,
    other_code: Literal["keep", "fresh"] | None = None,
) -> None:
    """Run what the request wants; return when all is well, else exit as the contract says."""
    # Whoever trains looks up from a locked database often enough to keep its trainers going.
    with opened(context, write=not dry_run, wait_s=_WAIT_S) as store:
        request = replace(request, only=_resolve_only(store, request.studies, request.only))
        request = replace(request, steps=_pause_of(store, request))
        named = [store.study(name) for name in request.studies]
        say_changed_files(settings, named or store.studies())
        _look_at_code(store, settings, request, other_code, dry_run=dry_run)
        waiting = _waiting(store, request)
        if dry_run:
            _show_waiting(waiting)
        elif not waiting:
            _say_nothing_to_do(store, request)
        else:
            with _steady_stderr():
                _work(store, settings, request, waiting)


@contextmanager
def _steady_stderr() -> Generator[None]:
    """Let nothing that is said stand in the way of what trains."""
    from ablate.cli.steady import SteadyStream

    with (
        closing(SteadyStream(sys.stderr)) as stream,
        redirect_stderr(cast("TextIO", stream)),
    ):
        yield


def _resolve_only(store: Store, studies: Sequence[str], only: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of the runs that ``--only`` means."""
    from ablate.app.lookup import find_among

    if not store.studies():
        raise NotFoundError("there is no study yet", hint="run: ablate study create scale-fix")
    runs = [run for name in studies for run in store.runs(name)] if studies else store.runs()
    return tuple(run.id for run in find_among(store, only, runs))


def _pause_of(store: Store, request: RunRequest) -> int | None:
    """Return where to pause; nowhere if no run goes on behind that.

    A run that was asked to stop at its last step has yet to do what its trainer does then.
    """
    limit = request.steps
    ends = [steps_of(run.config) for run in _asked_for(store, request)]
    is_moot = limit is not None and all(end is not None and end <= limit for end in ends)
    return None if is_moot else limit


def _look_at_code(
    store: Store,
    settings: Settings,
    request: RunRequest,
    decision: Literal["keep", "fresh"] | None,
    *,
    dry_run: bool,
) -> None:
    """Tell of runs that were trained by other code; ask before such runs are mixed with new ones.

    Raises:
        UsageError: If new runs would stand beside them and nobody said that they may, or if the
            code is part of the study and is another.
    """
    from ablate.app.code_check import by_other_code
    from ablate.render.runs.sentences import other_code_lines

    for study in [store.study(name) for name in request.studies] or store.studies():
        own = (run for run in store.runs(study.name) if run.trainer != IMPORTED)
        runs = [run for run in own if not request.only or run.id in request.only]
        others = by_other_code(store, settings.project, runs)
        for line in other_code_lines(study.name, others):
            echo(line)
        _refuse_old_plan(settings, study, runs, decision)
        if not others:
            continue
        if decision == "fresh" and not dry_run:
            moved = start_over(store, settings, [other.run for other in others])
            echo(f"{counted(len(moved), 'run')} of {study.name} to train anew")
        elif decision is None and _would_mix(runs, {other.run.id for other in others}):
            raise UsageError(
                f"training goes on beside results of other code in '{study.name}'",
                hint="--keep them, comparisons then say so; or --fresh, train them anew",
            )


def _refuse_old_plan(
    settings: Settings, study: Study, runs: Sequence[Run], decision: str | None
) -> None:
    """Refuse to train runs that are, with ``code: identity``, those of code that is gone.

    Raises:
        UsageError: With the way out, before anything is put back to its beginning.
    """
    from ablate.app.creating import has_other_code

    will_train = decision == "fresh" or any(not run.state.is_finished for run in runs)
    if will_train and has_other_code(settings, study):
        raise UsageError(
            f"'{study.name}' was created for other code of {study.plan.trainer} than is there now",
            hint=f"run: ablate study create {study.name} --update",
        )


def _would_mix(runs: Sequence[Run], others: Collection[str]) -> bool:
    """Whether runs would be trained beside others by other code, and nobody did so before."""
    waiting = [run for run in runs if not run.state.is_finished]
    has_new = any(run.attempts and run.id not in others for run in runs)
    return any(run.id in others for run in waiting) or (bool(waiting) and not has_new)


def _asked_for(store: Store, request: RunRequest) -> list[Run]:
    """Return the runs of the request, each once, whatever their state."""
    names = request.studies or [study.name for study in store.studies()]
    runs = {run.id: run for name in names for run in store.runs(name)}
    return [run for run in runs.values() if not request.only or run.id in request.only]


def _waiting(store: Store, request: RunRequest) -> list[Run]:
    """Return the runs of the request that are not finished."""
    return [
        run
        for run in _asked_for(store, request)
        if not (run.state.is_finished or run.trainer == IMPORTED)
        and (request.steps is None or run.start_step < request.steps)
    ]


def _show_waiting(waiting: Sequence[Run]) -> None:
    from ablate.cli.shared import show
    from ablate.render.runs.table import runs_table

    show(runs_table(waiting, time.time()), "table", "status")
    echo(f"dry run: {counted(len(waiting), 'run')} to train")


def _say_nothing_to_do(store: Store, request: RunRequest) -> None:
    """Say why nothing is run; exit as after a run with failures where failed runs are left."""
    from ablate.render.runs.table import count_states

    known = [study.name for study in store.studies()]
    chosen = _asked_for(store, request)
    echo(f"nothing to run: {count_states(chosen)}")
    own = (run for run in chosen if run.trainer != IMPORTED)
    failed = [run for run in own if run.state is RunState.FAILED]
    if failed:
        labels = [run.label if len(known) == 1 else f"{run.study}/{run.label}" for run in failed]
        echo(f"why: ablate logs {labels[0]}")
        echo(f"next: ablate retry {' '.join(labels[:_LISTED])}{' ...' * (len(labels) > _LISTED)}")
        raise typer.Exit(1)
    echo(f"next: ablate compare --study {(request.studies or known)[-1]}")


def _work(store: Store, settings: Settings, request: RunRequest, waiting: Sequence[Run]) -> None:
    from ablate.app.running import run_studies
    from ablate.mirrors.process import mirroring
    from ablate.render.runs.sentences import summary_line, waiting_lines

    total = len(waiting)
    slots = request.executor.slots
    where = f"{counted(slots.number, 'worker')} ({slots.kind})"
    echo(f"{counted(total, 'run')} on {where}; Ctrl-C pauses {'it' if total == 1 else 'them'}")
    for line in waiting_lines(waiting):
        echo(line)
    received: list[int] = []
    try:
        with mirroring(settings, is_wanted=settings.mlflow), _progress(waiting) as observer:
            summary = run_studies(store, settings, request, observer, on_signal=received.append)
    except KeyboardInterrupt as error:
        echo("left at once; `ablate run` goes on from the last checkpoints")
        raise typer.Exit(130) from error
    echo(summary_line(summary))
    for note in _never_logged(store, request):
        echo(f"note: {note}")
    stuck = [run for run in _waiting(store, request) if run.waits_for]
    for line in waiting_lines(stuck):
        echo(line)
    _leave(summary, received, request, stuck)


def _never_logged(store: Store, request: RunRequest) -> list[str]:
    """Name the metrics of studies that none of their finished runs has logged."""
    from ablate.planning.study_file.spec import StudySpec

    notes: list[str] = []
    for study in [store.study(name) for name in request.studies] or store.studies():
        done = [run.id for run in store.runs(study.name) if run.state is RunState.SUCCEEDED]
        logged = store.metric_keys(done)
        for key in StudySpec.model_validate(study.plan.spec).named_keys if logged else ():
            if key not in logged:
                hint = did_you_mean(key, logged)
                near = f"; {hint}" if hint and hint.startswith("did") else ""
                notes.append(f"no run of {study.name} has logged {key}{near}")
    return notes


def _progress(waiting: Sequence[Run]) -> AbstractContextManager[Observer]:
    from rich.console import Console

    from ablate.cli.progress import LineProgress, LiveProgress

    total = len(waiting)
    with_study = len({run.study for run in waiting}) > 1
    if sys.stderr.isatty():
        return LiveProgress(Console(stderr=True), total, with_study=with_study)
    return nullcontext(LineProgress(sys.stderr, total, with_study=with_study))


def _leave(
    summary: Summary, received: Sequence[int], request: RunRequest, stuck: Sequence[Run]
) -> None:
    """Say what comes next, and exit as the contract says."""
    study = request.studies[0] if len(request.studies) == 1 else ""
    if received:
        echo(f"stopped; carry on with: ablate run {study}".rstrip())
        raise typer.Exit(128 + received[0])
    if summary.held_elsewhere and not summary.runs:
        raise HeldError(
            "the runs that are left are held by another `ablate run`",
            hint="watch them with: ablate status",
        )
    # Nothing will bring the checkpoint that these wait for, unless the user does.
    in_vain = {RunState.FAILED, RunState.SUCCEEDED}
    if summary.runs[RunState.FAILED] or any(r.parent and r.parent.state in in_vain for r in stuck):
        echo("next: ablate status, ablate logs RUN, ablate retry RUN")
        raise typer.Exit(1)
    echo(f"next: ablate compare --study {study}" if study else "next: ablate compare")
