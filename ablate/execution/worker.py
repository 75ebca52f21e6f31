"""One attempt, from its job to its ending. Runs in the training process."""

from __future__ import annotations

import importlib
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from ablate.domain import AttemptState
from ablate.execution.context import RunContext
from ablate.execution.job import Job
from ablate.execution.patience import Patience, is_full, say
from ablate.planning.trainers import add_project
from ablate.protocol import Diverged
from ablate.store.base import Ending
from ablate.store.spool import SpoolWriter


def run_job(
    job: Job,
    *,
    on_step: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = say,
) -> None:
    """Train one attempt and write its ending into its spool.

    SIGTERM asks the trainer to save and return at the next step boundary; the handler does no
    work of its own. A trainer's exception ends the attempt; it is not raised.

    Args:
        job: The attempt.
        on_step: Called after every logged step.
        warn: Shows a line to whoever watches, while the trainer waits for a full disk.
    """
    with _open_spool(job, on_step, warn) as spool:
        context = RunContext(job, spool, on_step=on_step, warn=warn)

        def on_sigterm(_number: int, _frame: FrameType | None) -> None:
            context.request_stop("asked to stop")

        signal.signal(signal.SIGTERM, on_sigterm)
        context.end(_train(job, context))


def _open_spool(job: Job, on_step: Callable[[], None], warn: Callable[[str], None]) -> SpoolWriter:
    def may_wait() -> bool:
        on_step()
        return True

    patiently = Patience(job.run_dir, warn, may_wait)
    return patiently(partial(SpoolWriter, job.spool, attempt_id=job.attempt_id))


def _train(job: Job, context: RunContext) -> Ending:
    try:
        _load(job)(job.config, context)
    except Diverged as error:
        _save_points(context)
        return Ending(state=AttemptState.DIVERGED, reason=str(error))
    except Exception as error:
        if context.is_stopping and is_full(error):
            return Ending(state=AttemptState.PAUSED, reason="asked to stop while its disk was full")
        _save_points(context)
        return Ending(
            state=AttemptState.FAILED,
            reason=_one_line(error),
            traceback="".join(traceback.format_exception(error)),
        )
    return context.ending


def _save_points(context: RunContext) -> None:
    """Keep what was logged and is still on a device, unless what ended the run hinders that too."""
    with suppress(Exception):
        context.flush()


def _load(job: Job) -> Callable[[Any, RunContext], None]:
    module, _, function = job.train.partition(":")
    if job.project is not None:
        add_project(job.project)
    return getattr(importlib.import_module(module), function)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__
