"""MLflow through its own client: a run for each run of an experiment, histories page by page."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablate.domain import AttemptState
from ablate.errors import AblateError, NotFoundError, did_you_mean
from ablate.importers.base import Points, Reading, Request, SourceRun
from ablate.importers.names import split_seed

_STATES = {
    "FINISHED": (AttemptState.SUCCEEDED, None),
    "FAILED": (AttemptState.FAILED, "failed, by MLflow"),
    "KILLED": (AttemptState.CANCELLED, "killed, by MLflow"),
}
_UNFINISHED = (AttemptState.STOPPED, "it had not ended at its source when it was imported")
_INFINITE = 1.7976931348623157e308
"""What MLflow's SQL store keeps for an infinity. No loss has this value otherwise."""


def read(request: Request) -> Reading:
    """Return the runs of an experiment that are not deleted, the oldest first.

    Raises:
        AblateError: If mlflow is not installed or its server cannot be reached.
        NotFoundError: If there is no such experiment, with the closest name.
    """
    _refuse_missing(request.source)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise AblateError(
            "importing from MLflow needs the package mlflow",
            hint="pip install 'ablate-studies[mlflow]'",
        ) from error
    reading = Reading()
    try:
        client: Any = MlflowClient(tracking_uri=request.source)
        for run in _runs(client, _experiment(client, request.experiment)):
            reading.runs.append(_source_run(client, request, run))
    except MlflowException as error:
        said = " ".join(str(error).split())
        raise AblateError(f"MLflow at {request.source}: {said}") from error
    return reading


def _refuse_missing(uri: str) -> None:
    """Refuse an SQLite file that is not there: MLflow would make it."""
    path = uri.removeprefix("sqlite:///")
    if path != uri and not Path(path).is_file():
        raise NotFoundError(f"there is no file {path}")


def _experiment(client: Any, name: str | None) -> str:
    known = {e.name: e.experiment_id for e in client.search_experiments()}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[name]
    if name in known.values():
        return str(name)
    if name is None:
        raise NotFoundError(
            "which experiment?", hint="--experiment NAME; known: " + ", ".join(sorted(known))
        )
    raise NotFoundError(f"there is no experiment '{name}'", hint=did_you_mean(name, known))


def _runs(client: Any, experiment: str) -> Iterator[Any]:
    token = None
    while True:
        order = ["attributes.start_time ASC", "attributes.run_id ASC"]
        page = client.search_runs([experiment], order_by=order, max_results=500, page_token=token)
        # In a copy of our own, phases have runs that sum up the others.
        yield from (run for run in page if "ablate.summary" not in run.data.tags)
        token = page.token
        if not token:
            return


def _source_run(client: Any, request: Request, run: Any) -> SourceRun:
    points = Points(request.names, time=(run.info.start_time or 0) / 1000)
    for key in sorted(run.data.metrics):
        for metric in client.get_metric_history(run.info.run_id, key):  # page by page
            value = float(metric.value)
            if abs(value) >= _INFINITE:
                value = float("inf") if value > 0 else float("-inf")
            points.add(key, metric.step, value, metric.timestamp / 1000)
    points.settle()
    name, seed = split_seed(run.info.run_name or run.info.run_id)
    param = run.data.params.get("seed", "")
    state, reason = _STATES.get(run.info.status, _UNFINISHED)
    return SourceRun(
        source=f"mlflow:{run.info.run_id}",
        name=name,
        seed=int(param) if param.isdecimal() and int(param) < 2**31 else seed,
        points=points,
        config=dict(sorted(run.data.params.items())),
        state=state,
        reason=reason,
    )
