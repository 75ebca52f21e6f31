"""The copy against servers that are down, slow or ill, and killed mirrors."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import socket
import sqlite3
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ablate.app.mirroring import standings
from ablate.domain import AttemptState
from ablate.errors import MirrorDeniedError, MirrorError
from ablate.mirrors import process
from ablate.mirrors.process import parked_path, sync
from ablate.mirrors.records import Copied
from ablate.settings import Settings
from ablate.spool.batch import Ending
from ablate.store import open_store
from ablate.store.base import Store
from ablate.testing.factories import (
    must_claim,
)
from ablate.testing.tracking_server import FaultyProxy, ServerFault
from tests.support.mirrored import (
    REQUEST_S,
    in_mlflow,
    in_sql,
    summarise,
    train,
    train_all,
)
from tests.support.patience import PATIENCE_S, slowness
from tests.support.present import present
from tests.support.projects import SLOW_STUDY, make_project
from tests.support.thorough import few_or_many

pytest.importorskip("mlflow")
# Warnings are MLflow's own, about the libraries it uses.
pytestmark = pytest.mark.filterwarnings("default")


KILLS = few_or_many(5, 100)


FAULTS = {
    "a gateway's 500": ServerFault(status=500),
    "MLflow's 500": ServerFault(status=500, error_code="INTERNAL_ERROR"),
    "429": ServerFault(status=429, error_code="REQUEST_LIMIT_EXCEEDED"),
    "503": ServerFault(status=503),
    "404": ServerFault(status=404),
    "late": ServerFault(delay_s=1.3 * REQUEST_S),
    "cut": ServerFault(is_cut=True),
    "unanswered": ServerFault(is_unanswered=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_fault_that_may_pass_ends_the_sync_and_the_next_goes_on(
    store: Store, settings: Settings, study: str, server, proxy: FaultyProxy, fault: ServerFault
) -> None:
    train_all(store)
    draw = random.Random(1)
    proxy.fault = lambda _path, _body: fault if draw.random() < 0.5 else None
    for _ in range(2):
        with contextlib.suppress(MirrorError):
            sync(store, settings, summarise)
    proxy.fault = lambda _path, _body: None
    sync(store, settings, summarise)

    assert in_mlflow(server[1], study) == in_sql(store, study)
    assert {s.state for s in standings(store, settings)} == {"whole"}


def test_outage_makes_few_requests_and_says_what_to_do(
    store: Store, settings: Settings, study: str, server: tuple[int, Path], proxy: FaultyProxy
) -> None:
    train_all(store)
    proxy.fault = lambda _path, _body: ServerFault(status=500)
    with pytest.raises(MirrorError, match="cannot take the copy now"):
        sync(store, settings, summarise)
    assert proxy.requests <= 5

    proxy.down()
    with pytest.raises(MirrorError, match="cannot take the copy now"):
        sync(store, settings, summarise)
    proxy.up()
    proxy.fault = lambda _path, _body: ServerFault(status=401)
    proxy.requests = 0
    with pytest.raises(MirrorDeniedError) as caught:
        sync(store, settings, summarise)
    assert proxy.requests <= 2
    assert "MLFLOW_TRACKING_TOKEN" in str(caught.value.hint)


def test_address_that_drops_packets_is_told_soon(
    store: Store, settings: Settings, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_all(store)
    monkeypatch.setattr("ablate.addresses._PATIENCE_S", 0.2)
    with closing(socket.socket()) as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # who comes when the queue is full gets no answer
        for _ in range(4):
            waiting.enter_context(closing(connecting := socket.socket()))
            connecting.setblocking(False)
            connecting.connect_ex(full.getsockname())
        address = f"http://127.0.0.1:{full.getsockname()[1]}"

        with pytest.raises(MirrorError, match=rf"{address} cannot be reached: timed out"):
            sync(store, replace(settings, mlflow_uri=address), summarise)


def test_follower_asks_less_and_less_and_complains_once(
    store: Store,
    settings: Settings,
    study: str,
    proxy: FaultyProxy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_all(store)
    proxy.fault = lambda _path, _body: ServerFault(status=401)
    end, closes = os.pipe()
    monkeypatch.setattr(process, "_EVERY_S", 0.02)
    monkeypatch.setattr(process, "_SELDOM_S", 0.4)
    monkeypatch.setattr(os, "nice", lambda _by: 0)
    monkeypatch.setattr("sys.stdin", os.fdopen(end))
    threading.Timer(2.0, os.close, [closes]).start()
    process.follow(store, settings, summarise)
    process.sys.stdin.close()

    # After 0.02, 0.04, ... 0.4, 0.4 s; and the last copy.
    assert 6 / slowness() <= proxy.requests <= 12
    assert capsys.readouterr().err.count("MLFLOW_TRACKING_TOKEN") == 1


def test_refused_run_is_parked_with_its_reason_and_the_rest_goes_on(
    store: Store, settings: Settings, study: str, server: tuple[int, Path], proxy: FaultyProxy
) -> None:
    train_all(store)
    bad = store.runs(study)[0]

    def refuse(path: str, body: bytes) -> ServerFault | None:
        is_its_creation = path.endswith("runs/create") and bad.id.encode() in body
        return (
            ServerFault(status=400, error_code="INVALID_PARAMETER_VALUE")
            if is_its_creation
            else None
        )

    proxy.fault = refuse
    sync(store, settings, summarise)
    parked = [s for s in standings(store, settings) if s.state == "parked"]
    proxy.requests = 0
    sync(store, settings, summarise)
    still = [s for s in standings(store, settings) if s.state == "parked"]
    expected = in_sql(store, study)
    rest = in_mlflow(server[1], study)
    proxy.fault = lambda _path, _body: None
    sync(store, settings, summarise)

    assert [(s.what, s.study) for s in parked] == [(bad.label, study)]
    assert "injected" in str(parked[0].reason)
    assert [s.since for s in still] == [s.since for s in parked]
    assert rest == {label: points for label, points in expected.items() if label != bad.label}
    assert in_mlflow(server[1], study) == expected
    assert parked_path(settings).read_text() == "[]"


def test_second_copy_of_a_run_is_gone_when_the_run_has_ended(
    store: Store, settings: Settings, study: str, server: tuple[int, Path]
) -> None:
    from mlflow import MlflowClient

    claim = must_claim(store)
    train(store, claim, 0, 600)
    mirror = process._mirror(store, settings, summarise)
    mirror.sync(store, Copied(), is_asked=False)
    client = MlflowClient(settings.mlflow_uri)
    experiment = present(client.get_experiment_by_name(f"ablate/{study}")).experiment_id
    (run,) = client.search_runs([experiment])
    client.create_run(experiment, tags=run.data.tags)
    store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
    mirror.sync(store, Copied(), is_asked=False)

    label = claim.run.label
    assert in_mlflow(server[1], study) == {label: in_sql(store, study)[label]}
    assert set(in_mlflow(server[1], study, "ablate.summary")) == {"calm"}  # wild has no values


def test_answer_that_comes_too_late_leaves_no_second_run(
    store: Store, settings: Settings, study: str, server: tuple[int, Path], proxy: FaultyProxy
) -> None:
    train_all(store)
    late = iter([ServerFault(delay_s=1.5 * REQUEST_S)])
    proxy.fault = lambda path, _body: next(late, None) if path.endswith("runs/create") else None
    sync(store, settings, summarise)  # the first creation lands behind the second
    time.sleep(0.8 * REQUEST_S)
    sync(store, settings, summarise)

    assert in_mlflow(server[1], study) == in_sql(store, study)


def _sync_again_and_again(settings: Settings) -> None:
    store = open_store(settings.db_url)
    while True:
        sync(store, settings, summarise)
        sync(store, settings, summarise, rebuild=True)


def test_mirror_killed_anywhere_loses_and_doubles_nothing(
    store: Store, settings: Settings, study: str, server: tuple[int, Path]
) -> None:
    import ablate.mirrors.mlflow  # noqa: F401 - once here, and not in each child

    train_all(store)
    store.close()
    draw = random.Random(KILLS)
    children = multiprocessing.get_context("fork")
    steps: list[int] = []
    for _ in range(KILLS):
        child = children.Process(target=_sync_again_and_again, args=(settings,))
        child.start()
        time.sleep(draw.uniform(0.05, 2.0 * REQUEST_S))
        child.kill()
        child.join()
        reader = open_store(settings.db_url, read_only=True)
        steps.append(sum((s.copied or 0) for s in standings(reader, settings)))
        reader.close()
    after = open_store(settings.db_url)
    sync(after, settings, summarise)
    expected = in_sql(after, study)
    after.close()

    assert len(set(steps)) > 1, "every kill came before the first point or after the last"
    assert in_mlflow(server[1], study) == expected
    assert set(in_mlflow(server[1], study, "ablate.summary")) == {"calm", "wild"}


def test_runs_are_the_same_whatever_the_server_does_meanwhile(
    tmp_path: Path, server: tuple[int, Path], proxy: FaultyProxy
) -> None:
    project = make_project(tmp_path, SLOW_STUDY.replace("steps: 200", "steps: 400"))
    project.write("ablate.toml", f'mlflow_uri = "{proxy.url}"\nmlflow_max_points = 10000\n')
    project.ablate("study", "create", "toy")
    proxy.down()
    running = project.start("run", "toy", "--workers", "2", "--mlflow")
    logged = "select count(*) from run_metrics"
    project.wait_for(lambda: project.rows(logged)[0][0] > 100)
    proxy.up()
    proxy.fault = lambda _path, _body: ServerFault(status=500)
    children = psutil.Process(running.pid).children()
    (mirror,) = [c for c in children if "--follow" in c.cmdline()]
    project.wait_for(lambda: proxy.requests > 0)
    mirror.kill()
    assert running.wait(PATIENCE_S) == 0
    behind = project.ablate("mlflow", "status")
    proxy.fault = lambda _path, _body: None
    assert project.ablate("mlflow", "sync") == ""  # stdout is data, and there is none

    states = project.rows("select state, count(*) from runs group by 1")
    in_sql = project.rows("select variant || '-s' || seed, key, step, value from run_metrics")
    in_copy = in_mlflow(server[1], "toy")
    copied = [(run, *point[:3]) for run, points in in_copy.items() for point in points]
    assert states == [("succeeded", 4)]
    assert "4 behind" in behind
    assert sorted(copied) == sorted(in_sql)
    assert len(copied) == 4 * 401 * 2
    answer = json.loads(project.ablate("mlflow", "status", "--format", "json"))
    assert answer["schema"] == "ablate.mirror/1"
    assert [(row["state"], row["copied_step"], row["reason"]) for row in answer["rows"]] == [
        ("whole", 400, None)
    ] * 4


def test_first_copies_at_once_and_after_a_kill_make_one_database(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    folder = project.folder / ".ablate" / "mlflow"
    folder.mkdir(parents=True)
    (folder / "mlflow.new").write_text("what a killed process left")
    project.ablate("study", "create", "toy")

    copies = [project.start("mlflow", "sync") for _ in range(2)]

    for copy in copies:
        assert copy.wait(PATIENCE_S) == 0
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    assert not (folder / "mlflow.new").exists()
