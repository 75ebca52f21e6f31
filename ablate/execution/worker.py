"""One attempt, from its job to its ending. Runs in the training process."""

from __future__ import annotations

import importlib
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from ablate.domain import AttemptState
from ablate.execution.context import RunContext
from ablate.execution.job import Job
from ablate.planning.trainers import add_project
from ablate.protocol import Diverged
from ablate.store.base import Ending
from ablate.store.spool import SpoolWriter


def run_job(job: Job, *, on_step: Callable[[], None] = lambda: None) -> None:
    """Train one attempt and write its ending into its spool.

    SIGTERM asks the trainer to save and return at the next step boundary; the handler does no
    work of its own. A trainer's exception ends the attempt; it is not raised.

    Args:
        job: The attempt.
        on_step: Called after every logged step.
    """
    with SpoolWriter(job.spool, attempt_id=job.attempt_id) as spool:
        context = RunContext(job, spool, on_step=on_step)

        def on_sigterm(_number: int, _frame: FrameType | None) -> None:
            context.request_stop("asked to stop")

        signal.signal(signal.SIGTERM, on_sigterm)
        spool.ended(_train(job, context))
        spool.sync()


def _train(job: Job, context: RunContext) -> Ending:
    try:
        _load(job)(job.config, context)
    except Diverged as error:
        _save_points(context)
        return Ending(state=AttemptState.DIVERGED, reason=str(error))
    except Exception as error:
        _save_points(context)
        return Ending(
            state=AttemptState.FAILED,
            reason=_one_line(error),
            traceback="".join(traceback.format_exception(error)),
        )
    return context.ending


def _save_points(context: RunContext) -> None:
    """Keep what was logged and is still on a device, unless that is what failed."""
    with suppress(RuntimeError):
        context.flush()


def _load(job: Job) -> Callable[[Any, RunContext], None]:
    module, _, function = job.train.partition(":")
    if job.project is not None:
        add_project(job.project)
    return getattr(importlib.import_module(module), function)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__
