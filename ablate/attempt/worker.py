"""One attempt, from its job to its ending. Runs in the training process."""

from __future__ import annotations

import atexit
import dataclasses
import faulthandler
import importlib
import inspect
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from ablate.attempt.checkpoints.files import collect_strays
from ablate.attempt.context import RunContext
from ablate.attempt.job import Job
from ablate.attempt.patience import Patience, echo, is_full
from ablate.attempt.runners import this_runner
from ablate.attempt.signals import DUMP, StopSignal
from ablate.domain import AttemptState
from ablate.protocol import Diverged
from ablate.spool.batch import ASKED, GPU_FULL, Ending
from ablate.spool.spool import SpoolWriter


def work(job_file: Path) -> int:
    """Do all that a training process does: run the job of a file, with its output in its log.

    Until it runs, the process should hold back SIGTERM and ignore `DUMP`: a request must not be
    lost, and none may end it.

    Args:
        job_file: What `Job.write` has written.

    Returns:
        The exit code: 0 where the spool has an ending.
    """
    job = Job.read(job_file)
    terminal = os.dup(2)
    log = os.open(job.folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    faulthandler.enable(2)
    faulthandler.register(DUMP, 2, all_threads=True)
    if job.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, job.gpus))
    try:
        run_job(job, warn=lambda text: _show(terminal, f"{job.label}: {text}"))
    except BaseException:
        traceback.print_exc()  # into the log: the attempt has no ending in its spool
        return 1
    finally:
        # What a script may rely on at its end: its threads are waited for, its exit functions run.
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def run_job(
    job: Job,
    *,
    on_step: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = echo,
    is_guest: bool = False,
) -> None:
    """Train one attempt and write its ending into its spool.

    SIGTERM, in a process of its own also Ctrl-C and SIGHUP, asks the trainer to save and return at
    the next step boundary; the handler does no work of its own. A trainer's exception ends the
    attempt; it is not raised.

    Args:
        job: The attempt.
        on_step: Called after every logged step.
        is_guest: Whether the process is that of the command: its Ctrl-C is raised.
        warn: Shows a line to whoever watches, while the trainer waits for a full disk.
    """
    _say_who(job)
    collect_strays(job.run_dir, job.attempt)
    with _open_spool(job, on_step, warn) as spool:
        context = RunContext(job, spool, on_step=on_step, warn=warn)
        others = () if is_guest else (signal.SIGINT, signal.SIGHUP)
        with StopSignal(partial(context.request_stop, ASKED), others=others) as stop:
            context.end(_train(job, context, stop, is_guest=is_guest))


def _show(terminal: int, text: str) -> None:
    with suppress(OSError):  # whoever watched may be gone, or their terminal stands still
        if select.select([], [terminal], [], 0)[1]:
            os.write(terminal, f"{text}\n".encode())


def _say_who(job: Job) -> None:
    """Let whoever takes over on this machine find, and end, this process."""
    with suppress(OSError):  # the spool will say that the disk is full
        job.folder.process.write_text(this_runner(), encoding="utf-8")


def _open_spool(job: Job, on_step: Callable[[], None], warn: Callable[[str], None]) -> SpoolWriter:
    def may_wait() -> bool:
        on_step()
        return True

    patiently = Patience(job.run_dir, warn, may_wait)
    return patiently(partial(SpoolWriter, job.folder.spool, attempt_id=job.attempt_id))


def _train(job: Job, context: RunContext, stop: StopSignal, *, is_guest: bool) -> Ending:
    try:
        return _trained(job, context, stop)
    except Diverged as error:
        _save_points(context)
        return Ending(state=AttemptState.DIVERGED, reason=str(error))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and is_guest:
            raise
        if context.is_stopping and is_full(error):
            return Ending(state=AttemptState.PAUSED, reason=f"{ASKED} while its disk was full")
        _save_points(context)
        return Ending(
            state=AttemptState.FAILED,
            reason=f"{GPU_FULL}: {_one_line(error)}" if _is_gpu_full(error) else _one_line(error),
            traceback="".join(traceback.format_exception(error)),
        )


def _trained(job: Job, context: RunContext, stop: StopSignal) -> Ending:
    """Return how the trainer ends; to leave for the signal, or without an error, is to return."""
    try:
        train = _load(job)
        context.note_code()
        _refuse_unrun(job.train, train(_as_annotated(train, job.config), context))
        was_asked = stop.is_taken
    except KeyboardInterrupt:
        was_asked = stop.is_taken
        if not was_asked:
            raise
    except SystemExit as error:
        was_asked = stop.has_come  # some libraries leave so behind our handler
        if not was_asked and error.code not in (None, 0):
            raise
    if was_asked:
        context.tell_stop(ASKED)
    return context.ending


def _refuse_unrun(name: str, returned: object) -> None:
    if inspect.isgenerator(returned) or inspect.isawaitable(returned):
        raise TypeError(f"{name} returned a {type(returned).__name__}, which nothing runs")


def _save_points(context: RunContext) -> None:
    """Keep what was logged and is still on a device, unless what ended the run hinders that too."""
    with suppress(Exception):
        context.flush()


def _load(job: Job) -> Callable[[Any, RunContext], object]:
    module, _, function = job.train.partition(":")
    if job.project is not None:
        _add_project(job.project)
    return getattr(importlib.import_module(module), function)


def _as_annotated(train: Callable[..., Any], config: dict[str, Any]) -> Any:
    """Return the config as what the trainer's first parameter is annotated with.

    A dataclass or a pydantic model is made of it; anything else gets the mapping.
    """
    try:
        parameters = list(inspect.signature(train).parameters)
        model: Any = get_type_hints(train).get(parameters[0]) if parameters else None
    except (TypeError, ValueError, NameError):
        return config
    if hasattr(model, "model_validate"):
        return model.model_validate(config)
    return _made(model, config) if dataclasses.is_dataclass(model) else config


def _made(model: Any, values: Mapping[str, Any]) -> Any:
    hints = get_type_hints(model)
    return model(
        **{
            name: _made(hints[name], value)
            if isinstance(value, Mapping) and dataclasses.is_dataclass(hints.get(name))
            else value
            for name, value in values.items()
        }
    )


def _is_gpu_full(error: BaseException) -> bool:
    kind = type(error)  # torch is not imported for that
    return kind.__name__ == "OutOfMemoryError" and kind.__module__.partition(".")[0] == "torch"


def _one_line(error: BaseException) -> str:
    if isinstance(error, SystemExit) and isinstance(error.code, str):
        return " ".join(error.code.split())[:500]  # what `sys.exit("no data")` says
    try:
        text = " ".join(str(error).split())
    except Exception:  # of the error's own `__str__`
        text = ""
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def _add_project(project: Path) -> None:
    """Put the project's folder first on the import path, once."""
    if str(project) not in sys.path:
        sys.path.insert(0, str(project))
