"""MLflow: a run for each run of an experiment, with whole histories, by its own client."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ablate.addresses import masked, no_answer
from ablate.errors import AblateError, NotFoundError
from ablate.importers.base import Importer, ImportRequest, Reading, SourceRun, unfinished
from ablate.importers.formats import mlruns
from ablate.importers.points import Points

_INFINITE = 1.7976931348623157e308
"""What MLflow's SQL store keeps for an infinity. No loss has this value otherwise."""


_MARK = b"SQLite format 3\0"
FILES = "file:"
"""How the URI of a folder ``mlruns`` begins."""


def is_store(path: Path) -> bool:
    """Whether a file is an SQLite database of MLflow's, or describes a run in ``mlruns``."""
    if path.name == mlruns.META:
        return True
    if path.suffix not in (".db", ".sqlite", ".sqlite3"):
        return False
    with path.open("rb") as file:
        if file.read(len(_MARK)) != _MARK:
            return False
    query = "SELECT count(*) FROM sqlite_master WHERE name IN ('experiments', 'latest_metrics')"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchone()[0] == 2
    except sqlite3.Error:  # damaged
        return False


def read(request: ImportRequest) -> Reading:
    """Return the runs of an experiment that are not deleted, the oldest first.

    They are at a server, in a database, or in a folder ``mlruns``, which MLflow no longer reads.

    Raises:
        AblateError: If mlflow is not installed or its server cannot be reached.
        NotFoundError: If there is no such experiment, with the closest name.
        UsageError: If a folder holds no run.
    """
    if request.uri:
        return _from_server(request, request.uri)
    databases = [path for path in request.files if path.name != mlruns.META]
    reading = Reading()
    for path in databases:
        reading.add(_from_server(request, f"sqlite:///{path}"))
    return reading if databases else mlruns.read(request)


def _from_server(request: ImportRequest, uri: str) -> Reading:
    _refuse_missing(uri)
    if why := no_answer(uri):
        raise AblateError(f"MLflow at {masked(uri)} cannot be reached: {why}", hint=_WHERE)
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
    try:
        with _in_environment(_PATIENCE):
            client: Any = MlflowClient(tracking_uri=uri)
            found = list(_runs(client, _experiment(client, request.experiment)))
            runs = [_source_run(client, request, run) for run in found]
    except AblateError:
        raise
    except Exception as error:  # MLflow's own, and its drivers' for a damaged database
        kind = "" if isinstance(error, MlflowException) else f"{type(error).__name__}: "
        said = masked(" ".join(str(error).split()))
        raise AblateError(f"MLflow at {masked(uri)}: {kind}{said}", hint=_WHERE) from error
    parents = {run.data.tags.get(mlruns.PARENT, "") for run in found}
    return mlruns.without_parents(runs, parents)


_WHERE = "check that the address is right and the server runs"
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""MLflow's own retries keep a call for minutes; whoever typed the command waits for it."""


@contextmanager
def _in_environment(defaults: Mapping[str, str]) -> Generator[None]:
    """Set what is not set, for a while: a mirror in this process has a patience of its own."""
    missing = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


def _refuse_missing(uri: str) -> None:
    """Refuse an SQLite file that is not there: MLflow would make it."""
    path = uri.removeprefix("sqlite:///")
    if path != uri and not Path(path).is_file():
        raise NotFoundError(f"there is no file {path}")


def _experiment(client: Any, name: str | None) -> str:
    known = {e.name: e.experiment_id for e in client.search_experiments()}
    if name is None:
        known = {n: e for n, e in known.items() if client.search_runs([e], max_results=1)}
    return mlruns.chosen(known, name)


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


def _source_run(client: Any, request: ImportRequest, run: Any) -> SourceRun:
    points = Points(time=(run.info.start_time or 0) / 1000)
    for key in sorted(run.data.metrics):
        for metric in client.get_metric_history(run.info.run_id, key):  # page by page
            value = float(metric.value)
            if abs(value) >= _INFINITE:
                value = float("inf") if value > 0 else float("-inf")
            points.add(key, metric.step, value, metric.timestamp / 1000)
    points.settle()
    config = dict(sorted(run.data.params.items()))
    state, reason = mlruns.ENDINGS.get(run.info.status) or unfinished(points, request.now)
    return SourceRun(
        source=f"mlflow:{run.info.run_id}",
        title=run.info.run_name or run.info.run_id,
        points=points,
        config=config,
        state=state,
        reason=reason,
    )


IMPORTER = Importer(read, "mlflow.db, mlruns/", is_store)
