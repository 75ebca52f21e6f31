"""MLflow as a copy of the store: one experiment for each study, one flat run for each run.

Only what can no longer change is copied: of a run that still trains, the points up to its newest
checkpoint, since a resume replaces what comes later. Points carry their original time, so that
sending them twice leaves one row; that is why a cursor which moves after every page, and a
process that may be killed anywhere, are enough.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# MLflow's own retries keep a call for up to 244 s; whoever calls `sync` tries again instead.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

from ablate.addresses import masked, no_answer
from ablate.attempt.artifacts import Artifact
from ablate.domain import Run, Study
from ablate.errors import MirrorDeniedError, MirrorError
from ablate.files import make_empty
from ablate.mirrors.copied_files import CopiedFiles
from ablate.mirrors.mlflow_files import put_file
from ablate.mirrors.mlflow_run import RunCopy, active_runs
from ablate.mirrors.mlflow_summary import put_note, put_summaries
from ablate.mirrors.parked import ParkedItems
from ablate.mirrors.records import Copied, Limits, StudySummary
from ablate.store.base import MirrorCursor, Store

for _talkative in ("alembic", "mlflow.store.db"):
    logging.getLogger(_talkative).setLevel(logging.WARNING)

_PASSING = ("ENDPOINT_NOT_FOUND", "RESOURCE_ALREADY_EXISTS")
"""Not the item's fault: no MLflow answers there yet, or another mirror was faster."""


def make_database(path: Path) -> None:
    """Make MLflow's own database if there is none yet; one process at a time.

    It appears whole: MLflow cannot go on where it was killed while it made its tables.
    """
    if path.exists():
        return
    aside = path.with_suffix(".new")
    for left in (aside, aside.with_name(f"{aside.name}-journal")):
        left.unlink(missing_ok=True)
    make_empty(aside)
    MlflowClient(tracking_uri=f"sqlite:///{aside}")
    aside.replace(path)


def _not_now(reason: str) -> MirrorError:
    return MirrorError(
        f"MLflow cannot take the copy now: {reason}",
        hint="nothing is lost; later: ablate mlflow sync",
    )


class MlflowMirror:
    """Copies the store to one MLflow server or database.

    Args:
        uri: Of MLflow's own server or database; never the store's.
        name: Of the mirror, before those of studies, in the store's cursors.
        artifacts: Folder for MLflow's artifacts, None where the server has its own.
        limits: How much of a run is copied.
        parked: What was refused.
        kept_by: Returns the files that a run, by its id, has kept.
        copied_files: Which of them are in MLflow.
        summarise: Returns what a study's comparison says, None when there is nothing yet.
    """

    def __init__(
        self,
        uri: str,
        *,
        name: str,
        artifacts: Path | None,
        limits: Limits,
        parked: ParkedItems,
        kept_by: Callable[[str], tuple[Artifact, ...]],
        copied_files: CopiedFiles,
        summarise: Callable[[str], StudySummary | None],
    ) -> None:
        self._uri = uri
        self._client = MlflowClient(tracking_uri=uri)
        self._name = name
        self._artifacts = artifacts
        self._limits = limits
        self._parked = parked
        self._kept_by = kept_by
        self._copied_files = copied_files
        self._summarise = summarise
        self._experiments: dict[str, str] = {}
        self._aside: frozenset[tuple[str, str]] = frozenset()
        self._ended: set[str] = set()
        self._whole: set[tuple[str, int]] = set()
        """Runs, with their attempts, that will keep no more files, and whose files were copied."""
        self._stumbled = "", ""

    def sync(self, store: Store, copied: Copied, *, is_asked: bool, rebuild: bool = False) -> None:
        """Copy what is new since the last sync, or everything with ``rebuild``.

        Args:
            store: Where truth lives.
            copied: Counts what is copied, also when this raises.
            is_asked: By a user: parked items are tried again, runs that were deleted or doubled in
                MLflow are mended, every summary is brought up to date. Else a summary follows when
                a run has ended.
            rebuild: Copy everything anew.

        Raises:
            MirrorError: If MLflow cannot be reached, has no room now, or does not let us in.
        """
        studies = store.studies(with_archived=True)
        if studies and (why := no_answer(self._uri)):
            raise _not_now(f"{masked(self._uri)} cannot be reached: {why}")
        if rebuild:
            for study in studies:
                store.forget_mirror(self._cursors_of(study))
        self._aside = frozenset() if is_asked else frozenset(self._parked.read())
        # What MLflow stumbled over comes last, so that it holds nobody else back.
        for study in sorted(studies, key=lambda study: study.name == self._stumbled[0]):
            if (study.name, "experiment") not in self._aside:
                with self._parking(study, "experiment", study.name):
                    self._sync_study(store, study, copied, is_asked)

    def _cursors_of(self, study: Study) -> str:
        return f"{self._name}:{study.name}"

    def _sync_study(self, store: Store, study: Study, copied: Copied, is_asked: bool) -> None:
        runs = [run for run in store.runs(study.name) if run.attempts]
        if is_asked and runs:
            self._mend(store, study)
        cursors = {c.run_id: c for c in store.mirror_cursors(self._cursors_of(study))}
        for run in sorted(runs, key=lambda run: run.id == self._stumbled[1]):
            copy = RunCopy(self._client, store, study, run, self._limits)
            cursor = cursors.get(run.id)
            if copy.is_behind(cursor) and (study.name, run.id) not in self._aside:
                self._copy_run(copy, cursor, copied)
        self._copy_files(store, study, {run.id: run for run in runs}, copied)
        if runs and (is_asked or study.name in self._ended):
            self._bring_summary_up_to_date(store, study)

    def _copy_run(self, copy: RunCopy, cursor: MirrorCursor | None, copied: Copied) -> None:
        study, run = copy.study, copy.run
        self._stumbled = study.name, run.id
        with self._parking(study, run.id, run.label):
            experiment = self._experiment(copy.store, study)
            before = copied.points
            copy.bring_up_to_date(experiment, self._cursors_of(study), cursor, copied)
            copied.runs += copied.points > before
        self._stumbled = "", ""
        if run.state.is_finished:
            self._ended.add(study.name)

    def _copy_files(
        self, store: Store, study: Study, runs: Mapping[str, Run], copied: Copied
    ) -> None:
        """Copy the files that are not there yet, of the runs that are; each is an item."""
        for cursor in store.mirror_cursors(self._cursors_of(study)):
            run = runs.get(cursor.run_id)
            if run is None or (run.id, run.attempts) in self._whole:
                continue
            missing = self._copied_files.missing(cursor.remote_id, self._kept_by(run.id))
            for artifact in missing:
                what = f"{run.id}/{artifact.name}"
                if (study.name, what) not in self._aside:
                    with self._parking(study, what, f"{run.label} {artifact.name}"):
                        put_file(self._client, cursor.remote_id, artifact)
                        self._copied_files.add(cursor.remote_id, artifact)
                        copied.files += 1
            if run.state.is_finished and not missing:
                self._whole.add((run.id, run.attempts))

    def _bring_summary_up_to_date(self, store: Store, study: Study) -> None:
        summary = self._summarise(study.name)
        if summary is not None:
            experiment = self._experiment(store, study)
            with self._parking(study, "note", "the experiment's note"):
                put_note(self._client, experiment, summary)
            with self._parking(study, "summaries", "the phases' summaries"):
                put_summaries(self._client, experiment, study, summary)
        self._ended.discard(study.name)

    @contextmanager
    def _parking(self, study: Study, what: str, label: str) -> Generator[None]:
        """Park the item if MLflow refuses it; what may pass ends the sync as `MirrorError`."""
        try:
            yield
        except MlflowException as error:
            reason = masked(" ".join(str(error.message).split())[:300])
            match error.get_http_status_code():
                case 401 | 403:
                    raise MirrorDeniedError(
                        f"MLflow does not let us in: {reason}",
                        hint="set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD",
                    ) from error
                case 400 | 404 | 409 if error.error_code not in _PASSING:
                    self._experiments.pop(study.name, None)  # perhaps it was deleted
                    self._parked.park(study.name, what, label=label, reason=reason)
                case _:
                    raise _not_now(reason) from error
        else:
            self._parked.release(study.name, what)

    def _experiment(self, store: Store, study: Study) -> str:
        """Return the experiment's id; where it has to be made, nothing was copied before."""
        if known := self._experiments.get(study.name):
            return known
        name = f"ablate/{study.name}"
        found: Experiment | None = self._client.get_experiment_by_name(name)
        if found is None:
            folder = self._artifacts and (self._artifacts / study.name).as_uri()
            # The tag has the UI open with training runs; without it, with pages about prompts.
            tags = {"mlflow.experimentKind": "custom_model_development"}
            made = self._client.create_experiment(name, folder, tags=tags)
            store.forget_mirror(self._cursors_of(study))
            self._experiments[study.name] = made
            return made
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        self._experiments[study.name] = found.experiment_id
        return found.experiment_id

    def _mend(self, store: Store, study: Study) -> None:
        """Delete runs of ours that no cursor knows; forget the cursors of those that are gone."""
        experiment = self._experiment(store, study)
        mirror = self._cursors_of(study)
        cursors = {c.remote_id: c.run_id for c in store.mirror_cursors(mirror)}
        for remote in active_runs(self._client, experiment, "tags.`ablate.run` LIKE '%'"):
            if cursors.pop(remote.info.run_id, None) is None:
                self._client.delete_run(remote.info.run_id)
        store.forget_mirror(mirror, list(cursors.values()))
