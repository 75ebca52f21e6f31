"""One run on its way to MLflow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from ablate import keys
from ablate.domain import Attempt, Json, Run, RunState, Study
from ablate.identity import canonical_json, flatten
from ablate.mirrors.names import accepted
from ablate.mirrors.records import Copied, Limits
from ablate.mirrors.thinning import Kept, lasts, others, stride_of
from ablate.store.base import MirrorCursor, Store
from ablate.store.curves import Curve

_BATCH = 1000
_BATCH_BYTES = 900_000
"""MLflow takes a million."""
_PAGE = 10_000
"""Points that are read at once, more or less."""
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

_PREFERRED = (
    keys.SYSTEM.prefix(),
    *(
        group.prefix(split)
        for group in (keys.LOSS, keys.AUDIO)
        for split in (keys.TRAIN, keys.VALID)
    ),
    keys.RVQ.prefix(),
)


class RunCopy:
    """Copies one run: what is new, in pages, and its end.

    Args:
        client: Of MLflow.
        store: Where truth lives.
        study: The run's.
        run: As just read.
        limits: How much of it is copied.
    """

    def __init__(
        self, client: MlflowClient, store: Store, study: Study, run: Run, limits: Limits
    ) -> None:
        self._client = client
        self.store = store
        self.study = study
        self.run = run
        self._limits = limits
        last = run.step if run.state.is_finished else run.checkpoint_step
        self._last = -1 if last is None else last
        self._stride = stride_of(run, self._last, limits.max_points)

    def is_behind(self, cursor: MirrorCursor | None) -> bool:
        """Whether there is something to copy; reads nothing."""
        if self.run.state.is_finished:
            return not (cursor and cursor.is_finished and cursor.attempt == self.run.attempts)
        if cursor is None or cursor.attempt != self.run.attempts:
            return self._last >= 0
        return not cursor.is_finished and self._until > cursor.step

    def bring_up_to_date(
        self, experiment: str, mirror: str, cursor: MirrorCursor | None, copied: Copied
    ) -> None:
        """Copy what is new.

        Args:
            experiment: The id of the study's.
            mirror: Where the store keeps the cursor, which is moved after every page.
            cursor: How far the last copy came.
            copied: Counts the points, also when this raises.

        Raises:
            MlflowException: If MLflow does not take it.
        """
        attempts = self.store.attempts(self.run.id)
        keys = self._chosen_keys()
        recipe = self._recipe(keys)
        if cursor and (_is_replaced(cursor, attempts) or self._recipe_of(cursor) != recipe):
            cursor = None
        if cursor is None:
            remote_id = self._create(experiment, attempts, recipe)
            cursor = MirrorCursor(
                run_id=self.run.id, remote_id=remote_id, attempt=0, step=-1, is_finished=False
            )
        started = max((a.number for a in attempts if a.spool_offset), default=0)
        cursor = replace(cursor, attempt=started)
        self._send_names(cursor.remote_id, keys)
        for until, curves in self._pages(keys, cursor.step + 1):
            self._send(cursor.remote_id, lasts(curves, self._stride), copied)
            cursor = replace(cursor, step=until)
            self.store.move_mirror_cursor(mirror, cursor)
        if self.run.state.is_finished:
            self._send(cursor.remote_id, self._left_out(keys), copied)
            self._end(experiment, cursor.remote_id, attempts)
            cursor = replace(cursor, attempt=self.run.attempts, is_finished=True)
        else:
            self._client.update_run(cursor.remote_id, _STATUS[self.run.state])
        self.store.move_mirror_cursor(mirror, cursor)

    @property
    def _until(self) -> int:
        """The step up to which it is decided which points are copied."""
        if self.run.state.is_finished or self._last < 0:
            return self._last
        return self._last // self._stride * self._stride

    def _chosen_keys(self) -> list[str]:
        """Return the keys to copy: what the study declares, the machine, losses, level, codes.

        They are chosen run by run, so that what another run logs later changes nothing here.
        """
        spec = self.study.plan.spec
        declared = [*spec.get("metrics", {}), *spec.get("targets", {})]
        rank = {key: index for index, key in enumerate(declared)}

        def order(key: str) -> tuple[int, int, str]:
            prefix = (i for i, p in enumerate(_PREFERRED) if key.startswith(p))
            return rank.get(key, len(rank)), next(prefix, len(_PREFERRED)), key

        logged = self.store.metric_keys([self.run.id])
        return sorted(logged, key=order)[: self._limits.max_keys]

    def _recipe(self, keys: Sequence[str]) -> str:
        """Return what decides which points are copied; with another one, all are copied anew."""
        chosen = ""
        if len(keys) == self._limits.max_keys:
            chosen = " " + hashlib.sha256(json.dumps(sorted(keys)).encode()).hexdigest()[:8]
        return f"{self._limits.max_points} points, every {self._stride} steps{chosen}"

    def _create(self, experiment: str, attempts: Sequence[Attempt], recipe: str) -> str:
        """Create the run; others that say they are it go first."""
        self._delete_others(experiment)
        created: MlflowRun = self._client.create_run(
            experiment,
            start_time=round(attempts[0].started_at * 1000),
            run_name=self.run.label,
            tags={
                "ablate.study": self.study.name,
                "ablate.variant": self.run.variant,
                "ablate.seed": str(self.run.seed),
                "ablate.run": self.run.id,
                "ablate.recipe": recipe,
                "mlflow.note.content": self.study.plan.question,
            },
        )
        self._client.log_batch(created.info.run_id, params=self._params())
        return created.info.run_id

    def _params(self) -> list[Param]:
        """Return factors first, then the config keys in which the study's variants differ."""
        variants = self.study.plan.variants
        own = next(v for v in variants if v.name == self.run.variant)
        flat = [flatten(v.config) for v in variants]
        differing = [
            key
            for key in flatten(own.config)
            if len({canonical_json(config.get(key)) for config in flat}) > 1
        ]
        values: dict[str, Json] = {"variant": own.name, "seed": self.run.seed}
        values |= {f"factor/{name}": level for name, level in own.factors.items()}
        values |= {key: flatten(own.config)[key] for key in differing}
        return [
            Param(accepted(key), str(value)[:_MAX_PARAM_LENGTH])
            for key, value in list(values.items())[:_MAX_PARAMS]
        ]

    def _pages(self, keys: Sequence[str], first: int) -> Iterator[tuple[int, Sequence[Curve]]]:
        """Yield (last step, curves) of whole strides, wide enough for `_PAGE` points."""
        strides = max(1, _PAGE // (max(1, len(keys)) * self._stride))
        while first <= self._until:
            end = (first - 1) // self._stride + strides
            until = min(end * self._stride, self._until)
            curves = self.store.curves([self.run.id], keys, first_step=first, last_step=until)
            yield until, curves
            found = sum(len(curve.steps) for curve in curves)
            strides = strides * 2 if found < _PAGE // 2 else max(1, strides * _PAGE // found)
            first = until + 1

    def _left_out(self, keys: Sequence[str]) -> list[Kept]:
        """Return what thinning left out of keys that are short enough to be copied whole."""
        if self._stride == 1 or self._last < 0:
            return []
        counts = self.store.means([self.run.id], keys, [(0, self._last)])
        short = [found.key for found in counts if found.n <= self._limits.max_points]
        return others(self.store.curves([self.run.id], short), self._stride)

    def _recipe_of(self, cursor: MirrorCursor) -> str | None:
        """Return by what the copy in MLflow was made, None when it was deleted there."""
        try:
            found: MlflowRun = self._client.get_run(cursor.remote_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        is_active = found.info.lifecycle_stage == "active"
        return found.data.tags.get("ablate.recipe") if is_active else None

    def _send_names(self, remote_id: str, keys: Sequence[str]) -> None:
        """Say which names stand for which keys."""
        names = [(accepted(key), key) for key in keys]
        tags = [RunTag(f"ablate.key.{name}", key) for name, key in names if name != key]
        self._client.log_batch(remote_id, tags=tags)

    def _send(self, remote_id: str, points: Iterable[Kept], copied: Copied) -> None:
        """Send points in as few requests as MLflow takes."""
        waiting = iter(points)
        while found := list(islice(waiting, _BATCH)):
            longest = max(len(json.dumps(point.key)) for point in found)
            size = min(_BATCH, _BATCH_BYTES // (longest + 150))
            for first in range(0, len(found), size):
                metrics = [
                    Metric(accepted(p.key), p.value, round(p.time * 1000), p.step)
                    for p in found[first : first + size]
                ]
                self._client.log_batch(remote_id, metrics=metrics)
                copied.points += len(metrics)

    def _end(self, experiment: str, remote_id: str, attempts: Sequence[Attempt]) -> None:
        # A slow server may have created a run after we had stopped to wait for it.
        self._delete_others(experiment, but=remote_id)
        if self.run.reason:
            self._client.set_tag(remote_id, "ablate.reason", self.run.reason)
        ends = [a.finished_at for a in attempts if a.finished_at]
        end_ms = round(max(ends) * 1000) if ends else None
        self._client.set_terminated(remote_id, _STATUS[self.run.state], end_ms)

    def _delete_others(self, experiment: str, *, but: str | None = None) -> None:
        """Delete what says it is a copy of this run."""
        says_so = f"tags.`ablate.run` = '{self.run.id}'"
        for found in active_runs(self._client, experiment, says_so):
            if found.info.run_id != but:
                self._client.delete_run(found.info.run_id)


def active_runs(client: MlflowClient, experiment: str, filter_string: str) -> list[MlflowRun]:
    """Return all runs of an experiment that are not deleted and pass the filter."""
    found: list[MlflowRun] = []
    token: str | None = ""
    while token is not None:
        page = client.search_runs([experiment], filter_string, page_token=token or None)
        found += page
        token = page.token or None
    return found


def _is_replaced(cursor: MirrorCursor, attempts: Sequence[Attempt]) -> bool:
    """Whether a later attempt began before points that were copied from an earlier one."""
    later = [a for a in attempts if a.number > cursor.attempt and a.spool_offset]
    return any(
        cursor.is_finished or a.start_step is None or a.start_step < cursor.step for a in later
    )
