"""MLflow as a copy of the store: one experiment for each study, one flat run for each run.

Only what can no longer change is copied: of a run that still trains, the points up to its newest
checkpoint, since a resume replaces what comes later. Points carry their original time, so that
sending them twice leaves one row.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun

from ablate.domain import Json, Run, RunState, Study
from ablate.identity import canonical_json, flatten
from ablate.store.base import Curve, MirrorCursor, Store

MAX_KEYS = 50
"""MLflow's UI draws one card for each key and stalls with hundreds."""
_BATCH = 1000
_MAX_PARAMS = 100
_MAX_PARAM_LENGTH = 6000

_STATUS = {
    RunState.QUEUED: "SCHEDULED",
    RunState.RUNNING: "RUNNING",
    RunState.SUCCEEDED: "FINISHED",
    RunState.STOPPED: "KILLED",
    RunState.CANCELLED: "KILLED",
    RunState.FAILED: "FAILED",
    RunState.DIVERGED: "FAILED",
}

_PREFERRED = ("train/loss/", "valid/loss/", "train/audio/", "valid/audio/", "train/rvq/")


@dataclass(frozen=True, slots=True)
class Copied:
    """What one sync did."""

    uri: str
    runs: int
    points: int


class MlflowMirror:
    """Copies the store to one MLflow tracking database.

    Args:
        uri: Of MLflow's own database; never the store's.
        artifacts: Folder for MLflow's artifacts.
    """

    def __init__(self, uri: str, artifacts: Path) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self._uri = uri
        self._artifacts = artifacts
        self._client = MlflowClient(tracking_uri=uri)

    def sync(self, store: Store, *, rebuild: bool = False) -> Copied:
        """Copy what is new since the last sync, or everything with ``rebuild``."""
        runs = points = 0
        for study in store.studies(with_archived=True):
            mirror = f"mlflow:{study.name}"
            if rebuild:
                store.forget_mirror(mirror)
            cursors = {c.run_id: c for c in store.mirror_cursors(mirror)}
            experiment = self._experiment(study)
            keys = _chosen_keys(study, store)
            for run in store.runs(study.name):
                if run.attempts == 0:
                    continue
                copy = _Copy(self._client, store, study, run, mirror, keys)
                copied = copy.bring_up_to_date(experiment, cursors.get(run.id))
                runs += copied > 0
                points += copied
        return Copied(self._uri, runs, points)

    def _experiment(self, study: Study) -> str:
        name = f"ablate/{study.name}"
        found: Experiment | None = self._client.get_experiment_by_name(name)
        if found is None:
            # The tag has the UI open with training runs; without it, with pages about prompts.
            return self._client.create_experiment(
                name,
                (self._artifacts / study.name).as_uri(),
                tags={"mlflow.experimentKind": "custom_model_development"},
            )
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return found.experiment_id


class _Copy:
    """One run on its way to MLflow."""

    def __init__(
        self,
        client: MlflowClient,
        store: Store,
        study: Study,
        run: Run,
        mirror: str,
        keys: Sequence[str],
    ) -> None:
        self._client = client
        self._store = store
        self._study = study
        self._run = run
        self._mirror = mirror
        self._keys = keys

    def bring_up_to_date(self, experiment: str, cursor: MirrorCursor | None) -> int:
        """Copy what is new; return how many points that was."""
        if cursor is not None and self._is_replaced(cursor):
            self._client.delete_run(cursor.remote_id)
            cursor = None
        final = self._run.state.is_finished
        if cursor is not None and cursor.is_finished and final:
            return 0
        last = None if final else self._run.checkpoint_step
        if not final and (last is None or (cursor is not None and cursor.step >= last)):
            return 0
        remote = self._new_run(experiment) if cursor is None else cursor.remote_id
        curves = self._store.curves(
            [self._run.id],
            self._keys,
            first_step=0 if cursor is None else cursor.step + 1,
            last_step=last,
        )
        copied = self._send(remote, curves)
        self._end(remote, curves)
        steps = [c.steps[-1] for c in curves]
        self._store.move_mirror_cursor(
            self._mirror,
            MirrorCursor(
                run_id=self._run.id,
                remote_id=remote,
                attempt=self._run.attempts,
                step=last if last is not None else max(steps, default=-1),
                is_finished=final,
            ),
        )
        return copied

    def _is_replaced(self, cursor: MirrorCursor) -> bool:
        """Whether a later attempt began before points that were copied from an earlier one."""
        return any(
            attempt.number > cursor.attempt and (attempt.start_step or -1) < cursor.step
            for attempt in self._store.attempts(self._run.id)
        )

    def _new_run(self, experiment: str) -> str:
        """Create the run; one that was created and then forgotten by a crash goes first."""
        left = f"tags.`ablate.run` = '{self._run.id}'"
        for found in self._client.search_runs([experiment], filter_string=left):
            self._client.delete_run(found.info.run_id)
        started = self._store.attempts(self._run.id)[0].started_at
        created: MlflowRun = self._client.create_run(
            experiment,
            start_time=round(started * 1000),
            run_name=self._run.label,
            tags={
                "ablate.study": self._study.name,
                "ablate.variant": self._run.variant,
                "ablate.seed": str(self._run.seed),
                "ablate.run": self._run.id,
                "mlflow.note.content": self._study.plan.question,
            },
        )
        self._client.log_batch(created.info.run_id, params=self._params())
        return created.info.run_id

    def _params(self) -> list[Param]:
        """Return factors first, then the config keys in which the study's variants differ."""
        variants = self._study.plan.variants
        own = next(v for v in variants if v.name == self._run.variant)
        flat = [flatten(v.config) for v in variants]
        differing = [
            key
            for key in flatten(own.config)
            if len({canonical_json(config.get(key)) for config in flat}) > 1
        ]
        values: dict[str, Json] = {"variant": own.name, "seed": self._run.seed}
        values |= {f"factor/{name}": level for name, level in own.factors.items()}
        values |= {key: flatten(own.config)[key] for key in differing}
        return [
            Param(_accepted(key), str(value)[:_MAX_PARAM_LENGTH])
            for key, value in list(values.items())[:_MAX_PARAMS]
        ]

    def _send(self, remote: str, curves: Sequence[Curve]) -> int:
        names = {curve.key: _accepted(curve.key) for curve in curves}
        renamed = [RunTag(f"ablate.key.{n}", k) for k, n in names.items() if n != k]
        if renamed:
            self._client.log_batch(remote, tags=renamed[:_MAX_PARAMS])
        count = 0
        for batch in _batches(_metrics(curves, names)):
            self._client.log_batch(remote, metrics=batch)
            count += len(batch)
        return count

    def _end(self, remote: str, curves: Sequence[Curve]) -> None:
        status = _STATUS[self._run.state]
        if self._run.state.is_finished:
            ends = [a.finished_at for a in self._store.attempts(self._run.id) if a.finished_at]
            end_ms = round(max(ends) * 1000) if ends else None
            self._client.set_terminated(remote, status, end_ms)
            if self._run.reason:
                self._client.set_tag(remote, "ablate.reason", self._run.reason)
        else:
            self._client.update_run(remote, status)


def _metrics(curves: Sequence[Curve], names: dict[str, str]) -> Iterator[Metric]:
    for curve in curves:
        for step, value, time in zip(curve.steps, curve.values, curve.times, strict=True):
            # MLflow would show an infinity as 1.8e308, which is a lie; NaN it can hold.
            if not math.isinf(value):
                yield Metric(names[curve.key], value, round(time * 1000), step)


def _batches(metrics: Iterator[Metric]) -> Iterator[list[Metric]]:
    batch: list[Metric] = []
    for metric in metrics:
        batch.append(metric)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _chosen_keys(study: Study, store: Store) -> list[str]:
    """Return at most `MAX_KEYS`: what the study declares, then losses, level and codes."""
    logged = store.metric_keys([run.id for run in store.runs(study.name) if run.attempts])
    spec = study.plan.spec
    declared = [*spec.get("metrics", {}), *spec.get("targets", {})]
    rank = {key: index for index, key in enumerate(declared)}

    def order(key: str) -> tuple[int, int, str]:
        prefix = next((i for i, p in enumerate(_PREFERRED) if key.startswith(p)), len(_PREFERRED))
        return rank.get(key, len(rank)), prefix, key

    return sorted(logged, key=order)[:MAX_KEYS]


def _accepted(name: str) -> str:
    """Return a name that MLflow takes: letters, digits, ``_ - . space : /``, at most 250 long."""
    return re.sub(r"[^\w\-. :/]", "_", name).replace("..", "__")[:250]
