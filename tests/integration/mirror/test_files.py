"""A run's artifacts in MLflow: each once, and their trouble holds nothing else back."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.app.mirroring import standings
from ablate.attempt.artifacts import artifacts_of, keep
from ablate.domain import Run
from ablate.errors import MirrorError
from ablate.mirrors.process import mirror_name, sync
from ablate.settings import Settings
from ablate.spool.folders import RunFolder
from ablate.store.base import Store
from ablate.testing.factories import must_claim
from ablate.testing.tracking_server import FaultyProxy, ServerFault
from tests.support.mirrored import in_mlflow, in_sql, summarise, train, train_all

mlflow = pytest.importorskip("mlflow")
# Warnings are MLflow's own, about the libraries it uses.
pytestmark = pytest.mark.filterwarnings("default")

WAV = "samples/step-000000700/u0-output.wav"
PNG = "samples/step-000000700/u 0.png"


def keep_text(settings: Settings, run: Run, name: str, text: str, attempt: int = 1) -> None:
    source = settings.project / "source"
    source.write_text(text)
    keep(RunFolder(settings.run_dir(run.id)).attempt(attempt).artifacts, source, name)


def files_in_mlflow(store: Store, settings: Settings, run: Run) -> dict[str, str]:
    """Return name -> content of what the server holds for a run."""
    cursors = store.mirror_cursors(f"{mirror_name(settings)}:{run.study}")
    remote = next(c.remote_id for c in cursors if c.run_id == run.id)
    client = mlflow.MlflowClient(tracking_uri=settings.mlflow_uri)

    def walk(folder: str | None) -> list[str]:
        found = client.list_artifacts(remote, folder)
        return [n for f in found for n in (walk(f.path) if f.is_dir else [f.path])]

    return {n: Path(client.download_artifacts(remote, n)).read_text() for n in walk(None)}


def kept(settings: Settings, run: Run) -> dict[str, str]:
    return {a.name: a.path.read_text() for a in artifacts_of(settings.run_dir(run.id))}


def test_files_are_copied_once_while_a_run_trains_and_anew_when_replaced(
    store: Store, settings: Settings, study: str
) -> None:
    claim = must_claim(store)
    run = claim.run
    train(store, claim, 0, 400)
    keep_text(settings, run, WAV, "first")

    first = sync(store, settings, summarise).files
    again = sync(store, settings, summarise).files
    early = files_in_mlflow(store, settings, run)
    keep_text(settings, run, WAV, "second", attempt=2)
    keep_text(settings, run, PNG, "picture")
    later = sync(store, settings, summarise).files

    assert (first, again, later) == (1, 0, 2)
    assert early == {WAV: "first"}
    assert files_in_mlflow(store, settings, run) == kept(settings, run)
    assert kept(settings, run) == {WAV: "second", PNG: "picture"}


def test_a_rebuild_copies_the_files_to_the_new_runs(
    store: Store, settings: Settings, study: str
) -> None:
    train_all(store)
    runs = store.runs(study)
    for run in runs:
        keep_text(settings, run, WAV, run.label)

    first = sync(store, settings, summarise).files
    rebuilt = sync(store, settings, summarise, rebuild=True).files

    assert (first, rebuilt) == (len(runs), len(runs))
    assert all(files_in_mlflow(store, settings, run) == {WAV: run.label} for run in runs)


def test_a_refused_file_is_parked_and_the_rest_goes_on(
    store: Store, settings: Settings, study: str, server: tuple[int, Path], proxy: FaultyProxy
) -> None:
    train_all(store)
    run = store.runs(study)[0]
    for name in (WAV, PNG):
        keep_text(settings, run, name, name)

    proxy.fault = lambda path, _: ServerFault(status=400) if path.endswith(".wav") else None
    sync(store, settings, summarise)
    parked = [s for s in standings(store, settings) if s.state == "parked"]
    rest = files_in_mlflow(store, settings, run)
    points = in_mlflow(server[1], study)
    proxy.fault = lambda _path, _body: None
    sync(store, settings, summarise)

    assert [s.what for s in parked] == [f"{run.label} {WAV}"]
    assert "400" in str(parked[0].reason)
    assert rest == {PNG: PNG}
    assert points == in_sql(store, study)
    assert files_in_mlflow(store, settings, run) == {WAV: WAV, PNG: PNG}
    assert not [s for s in standings(store, settings) if s.state == "parked"]


def test_trouble_that_may_pass_with_a_file_ends_the_sync_and_the_next_goes_on(
    store: Store, settings: Settings, study: str, proxy: FaultyProxy
) -> None:
    train_all(store)
    run = store.runs(study)[0]
    keep_text(settings, run, WAV, "kept")

    proxy.fault = lambda path, _: ServerFault(status=503) if path.endswith(".wav") else None
    with pytest.raises(MirrorError, match="cannot take the copy now"):
        sync(store, settings, summarise)
    proxy.fault = lambda _path, _body: None
    copied = sync(store, settings, summarise)

    assert copied.files == 1
    assert files_in_mlflow(store, settings, run) == {WAV: "kept"}
