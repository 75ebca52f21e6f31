"""The copy in MLflow against a real server, behind a proxy that misbehaves."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import random
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ablate.domain import AttemptState, Claim
from ablate.errors import MirrorDeniedError, MirrorError, UsageError
from ablate.mirroring import standings, summarise
from ablate.mirrors import process
from ablate.mirrors.names import accepted
from ablate.mirrors.process import parked_path, require_local, sync
from ablate.mirrors.records import Copied
from ablate.settings import Settings
from ablate.store import open_store
from ablate.store.base import Ending, StepValues, Store
from ablate.testing.factories import (
    feed,
    logs,
    make_checkpoint,
    make_plan,
    make_variant,
    must_claim,
)
from ablate.testing.tracking_server import Fault, FaultyProxy, tracking_server
from tests.integration.conftest import SLOW_STUDY, make_project
from tests.thorough import few_or_many

pytest.importorskip("mlflow")
# Warnings are MLflow's own, about the libraries it uses.
pytestmark = pytest.mark.filterwarnings("default")

KILLS = few_or_many(5, 100)
MAX_POINTS = 100
KEYS = ("train/loss/l1", "train/loss/<odd>", "train/audio/rms")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Yield the port of an MLflow server and its database."""
    folder = tmp_path_factory.mktemp("server")
    with tracking_server(folder) as port:
        yield port, folder / "mlflow.db"


@pytest.fixture
def proxy(server: tuple[int, Path]) -> Iterator[FaultyProxy]:
    made = FaultyProxy(server[0])
    made.up()
    yield made
    made.down()


@pytest.fixture
def settings(tmp_path: Path, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(process, "_RETRIES_S", (0.1, 0.1))
    return Settings(
        project=tmp_path,
        db_url=f"sqlite:///{tmp_path}/ablate.db",
        mlflow=True,
        mlflow_uri=proxy.url,
        mlflow_max_points=MAX_POINTS,
    )


@pytest.fixture
def store(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Store]:
    made = open_store(settings.db_url)
    yield made
    made.close()


@pytest.fixture
def study(store: Store, request: pytest.FixtureRequest) -> str:
    """Return the name of a study of two phases with two seeds, every run in the queue."""
    name = request.node.name[:60]
    spec = {"study": name, "metrics": {KEYS[0]: "min"}, "targets": {KEYS[2]: ">= 0.5"}}
    variants = [
        make_variant(v, config={"steps": 1000, "study": name, "v": v}, is_baseline=v == "calm")
        for v in ("calm", "wild")
    ]
    store.apply_plan(make_plan(name, variants, spec=spec))
    return name


def values_of(step: int) -> dict[str, float]:
    """Return what is logged at a step: one key at each, one seldom, one odd in every way."""
    values = {KEYS[0]: math.exp(-step / 500)}
    if step % 20 == 0:
        values[KEYS[2]] = 0.1 + step / 1000
    if step % 7 == 0:
        values[KEYS[1]] = {0: math.nan, 7: math.inf, 14: -0.0}.get(step % 21, 1.0)
    return values


def logs_of(first: int, last: int) -> tuple[StepValues, ...]:
    return tuple(
        StepValues(step, 1.7e9 + step, tuple(found), tuple(found.values()))
        for step in range(first, last + 1)
        if (found := values_of(step))
    )


def train(store: Store, claim: Claim, first: int, last: int) -> None:
    """Log steps; the last is a checkpoint."""
    made = logs_of(first, last)
    content: dict[str, Any] = {"start": None if first == 0 else first - 1}
    feed(store, claim, logs=made, checkpoints=(make_checkpoint(last),), **content)


def train_all(store: Store) -> None:
    """Train every run to its end: one diverges, one is resumed."""
    for number in range(4):
        claim = must_claim(store)
        if number == 1:
            train(store, claim, 0, 400)
            store.finish(claim, Ending(state=AttemptState.LOST))
            claim = must_claim(store)
            train(store, claim, 401, 1000)
        else:
            train(store, claim, 0, 1000 if number else 700)
        states = AttemptState.SUCCEEDED, AttemptState.DIVERGED
        store.finish(claim, Ending(state=states[number == 0]))


Content = dict[str, list[tuple[str, int, float, int]]]
"""Run's name -> (key, step, value, time in ms), sorted; NaN as a word."""


def in_mlflow(database: Path, study: str, tag: str = "ablate.run") -> Content:
    """Return what is in MLflow's tables of runs that are not deleted; every doubled row counts."""
    query = """
        SELECT runs.name, runs.run_uuid, metrics.key, step, metrics.value, is_nan, timestamp
        FROM runs JOIN experiments USING (experiment_id)
        JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = ?
        LEFT JOIN metrics ON metrics.run_uuid = runs.run_uuid
        WHERE experiments.name = ? AND runs.lifecycle_stage = 'active'
    """
    found: Content = defaultdict(list)
    ids: dict[str, str] = {}
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        for name, id_, key, step, value, is_nan, time_ms in connection.execute(
            query, (tag, f"ablate/{study}")
        ):
            assert ids.setdefault(name, id_) == id_, f"{name} is there twice"
            if key is not None:
                found[name].append((key, step, "nan" if is_nan else value, time_ms))
    return {name: sorted(points) for name, points in found.items()}


def in_sql(store: Store, study: str, *, max_points: int = MAX_POINTS) -> Content:
    """Return what should be in MLflow, by the rule of the documents, from SQL."""
    found: Content = {}
    for run in store.runs(study):
        stride = math.ceil(1000 / (max_points - 1))
        points: list[tuple[str, int, float, int]] = []
        for curve in store.curves([run.id], KEYS):
            rows = list(zip(curve.steps, curve.values, curve.times, strict=True))
            kept = [row for row in rows if not math.isinf(row[1])]
            if len(rows) > max_points:
                kept = list({math.ceil(row[0] / stride): row for row in kept}.values())
            points += [
                (accepted(curve.key), s, "nan" if math.isnan(v) else v, round(t * 1000))
                for s, v, t in kept
            ]
        found[run.label] = sorted(points)
    return found


def test_copy_is_whole_and_thinned_and_a_rebuild_gives_the_same(
    store: Store, settings: Settings, study: str, server: tuple[int, Path]
) -> None:
    train_all(store)

    copied = sync(store, settings, summarise)
    first = in_mlflow(server[1], study)
    again = sync(store, settings, summarise)
    rebuilt = sync(store, settings, summarise, rebuild=True)

    assert first == in_sql(store, study)
    assert max(len([p for p in points if p[0] == KEYS[0]]) for points in first.values()) <= 100
    assert copied.points == rebuilt.points == sum(map(len, first.values()))
    assert again == Copied(runs=0, points=0)
    assert in_mlflow(server[1], study) == first


def test_copy_grows_while_a_run_trains_into_what_a_rebuild_gives(
    store: Store, settings: Settings, study: str, server: tuple[int, Path]
) -> None:
    claim = must_claim(store)
    label = claim.run.label
    steps = [0, 3, 250, 251, 260, 777, 1000]
    for before, last in zip([-1, *steps], steps, strict=False):
        found = logs_of(before + 1, last)
        start: dict[str, Any] = {"start": None} if before < 0 else {}
        feed(store, claim, logs=found, checkpoints=(make_checkpoint(last),), **start)
        sync(store, settings, summarise)
        grown = in_mlflow(server[1], study)
        sync(store, settings, summarise, rebuild=True)
        assert in_mlflow(server[1], study) == grown
    store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
    sync(store, settings, summarise)

    assert in_mlflow(server[1], study)[label] == in_sql(store, study)[label]


def test_resume_from_an_earlier_checkpoint_replaces_what_was_copied(
    store: Store, settings: Settings, study: str, server: tuple[int, Path]
) -> None:
    claim = must_claim(store)
    train(store, claim, 0, 600)
    sync(store, settings, summarise)
    store.finish(claim, Ending(state=AttemptState.LOST))
    claim = must_claim(store)
    feed(store, claim, start=300, logs=logs(range(301, 900), {KEYS[0]: 5.0}))
    store.finish(claim, Ending(state=AttemptState.FAILED, reason="boom"))
    sync(store, settings, summarise)
    first = in_mlflow(server[1], study)
    store.requeue([claim.run.id], by="test")
    claim = must_claim(store)
    train(store, claim, 0, 1000)
    store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
    sync(store, settings, summarise)

    label = claim.run.label
    assert any(value == 5.0 for _, _, value, _ in first[label])
    assert in_mlflow(server[1], study)[label] == in_sql(store, study)[label]


def test_only_the_chosen_number_of_keys_is_copied_the_declared_first(
    store: Store, settings: Settings, study: str, server: tuple[int, Path]
) -> None:
    claim = must_claim(store)
    many = {f"train/loss/x{n}": 1.0 for n in range(60)} | {"system/rss_bytes": 2.0, KEYS[2]: 0.7}
    feed(store, claim, start=None, logs=logs(range(3), many))
    store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
    sync(store, settings, summarise)

    keys = {key for key, *_ in in_mlflow(server[1], study)[claim.run.label]}
    assert len(keys) == 50
    assert {KEYS[2], "system/rss_bytes"} < keys


def test_summary_and_note_say_what_compare_says_and_follow_it(
    store: Store, settings: Settings, study: str, server: tuple[int, Path]
) -> None:
    from ablate.analysis.comparison import compare
    from ablate.analysis.loading import load
    from ablate.render.comparison import render

    train_all(store)
    sync(store, settings, summarise)
    shown = compare(load(store, study))
    copies = in_mlflow(server[1], study, "ablate.summary")
    sync(store, settings, summarise)
    ids = run_ids(server[1], study)
    sync(store, settings, summarise, rebuild=True)

    assert set(copies) == {"calm", "wild"}
    for row in shown.rows:
        at = {key: value for key, step, value, _ in copies[row.variant] if step == shown.at_step}
        assert len(at) == len(copies[row.variant])
        found = row.values[KEYS[0]]
        assert at[f"summary/{KEYS[0]}/mean"] == found.mean
        assert at[f"summary/{KEYS[0]}/n"] == found.n
        assert at.get(f"summary/{KEYS[0]}/ci_low") == found.ci_low
        assert at.get(f"summary/{KEYS[0]}/ci_high") == found.ci_high
    assert tag_of(server[1], study) == render(shown, "md")
    assert ids == run_ids(server[1], study)  # nothing changed, so nothing was made anew

    store.requeue([r.id for r in store.runs(study) if r.state == "diverged"], by="test")
    claim = must_claim(store)
    train(store, claim, 0, 1000)
    store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
    sync(store, settings, summarise)

    changed = in_mlflow(server[1], study, "ablate.summary")
    assert changed.keys() == copies.keys()
    assert changed != copies
    assert all(len({p[0] for p in points}) == len(points) for points in changed.values())


def run_ids(database: Path, study: str) -> set[str]:
    query = """
        SELECT runs.run_uuid FROM runs JOIN experiments USING (experiment_id)
        JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'ablate.summary'
        WHERE experiments.name = ? AND runs.lifecycle_stage = 'active'
    """
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        return {row[0] for row in connection.execute(query, (f"ablate/{study}",))}


def tag_of(database: Path, study: str) -> str:
    query = """
        SELECT value FROM experiment_tags JOIN experiments USING (experiment_id)
        WHERE name = ? AND key = 'mlflow.note.content'
    """
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        return connection.execute(query, (f"ablate/{study}",)).fetchone()[0]


def test_run_that_was_deleted_in_mlflow_or_made_twice_is_mended(
    store: Store, settings: Settings, study: str, server: tuple[int, Path]
) -> None:
    from mlflow import MlflowClient

    train_all(store)
    sync(store, settings, summarise)
    client = MlflowClient(settings.mlflow_uri)
    experiment = client.get_experiment_by_name(f"ablate/{study}").experiment_id
    one, *_, last = client.search_runs([experiment], "tags.`ablate.run` LIKE '%'")
    client.delete_run(one.info.run_id)
    client.create_run(experiment, tags=last.data.tags)
    sync(store, settings, summarise)

    assert in_mlflow(server[1], study) == in_sql(store, study)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=500, error_code="INTERNAL_ERROR"),
        Fault(status=429, error_code="REQUEST_LIMIT_EXCEEDED"),
        Fault(status=503),
        Fault(status=404),
        Fault(delay_s=1.3),
        Fault(is_cut=True),
        Fault(is_unanswered=True),
    ],
    ids=str,
)
def test_fault_that_may_pass_ends_the_sync_and_the_next_goes_on(
    store: Store, settings: Settings, study: str, server, proxy: FaultyProxy, fault: Fault
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
    proxy.fault = lambda _path, _body: Fault(status=500)
    with pytest.raises(MirrorError, match="cannot take the copy now"):
        sync(store, settings, summarise)
    assert proxy.requests <= 5

    proxy.down()
    with pytest.raises(MirrorError, match="cannot take the copy now"):
        sync(store, settings, summarise)
    proxy.up()
    proxy.fault = lambda _path, _body: Fault(status=401)
    proxy.requests = 0
    with pytest.raises(MirrorDeniedError) as caught:
        sync(store, settings, summarise)
    assert proxy.requests <= 2
    assert "MLFLOW_TRACKING_TOKEN" in str(caught.value.hint)


def test_follower_asks_less_and_less_and_complains_once(
    store: Store,
    settings: Settings,
    study: str,
    proxy: FaultyProxy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_all(store)
    proxy.fault = lambda _path, _body: Fault(status=401)
    end, closes = os.pipe()
    monkeypatch.setattr(process, "_EVERY_S", 0.02)
    monkeypatch.setattr(process, "_SELDOM_S", 0.4)
    monkeypatch.setattr(os, "nice", lambda _by: 0)
    monkeypatch.setattr("sys.stdin", os.fdopen(end))
    threading.Timer(2.0, os.close, [closes]).start()
    process.follow(store, settings, summarise)
    process.sys.stdin.close()

    # After 0.02, 0.04, ... 0.4, 0.4 s; and the last copy.
    assert 6 <= proxy.requests <= 12
    assert capsys.readouterr().err.count("MLFLOW_TRACKING_TOKEN") == 1


def test_copy_imported_again_leaves_out_the_summaries(
    store: Store, settings: Settings, study: str
) -> None:
    from ablate.importers.base import Request
    from ablate.importers.mlflow import read
    from ablate.importers.names import KeyMap

    train_all(store)
    sync(store, settings, summarise)
    uri = str(settings.mlflow_uri)
    found = read(Request(source=uri, experiment=f"ablate/{study}", names=KeyMap()))

    assert sorted((run.name, run.seed) for run in found.runs) == [
        ("calm", 0),
        ("calm", 1),
        ("wild", 0),
        ("wild", 1),
    ]


def test_refused_run_is_parked_with_its_reason_and_the_rest_goes_on(
    store: Store, settings: Settings, study: str, server: tuple[int, Path], proxy: FaultyProxy
) -> None:
    train_all(store)
    bad = store.runs(study)[0]

    def refuse(path: str, body: bytes) -> Fault | None:
        is_its_creation = path.endswith("runs/create") and bad.id.encode() in body
        return Fault(status=400, error_code="INVALID_PARAMETER_VALUE") if is_its_creation else None

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
    experiment = client.get_experiment_by_name(f"ablate/{study}").experiment_id
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
    late = iter([Fault(delay_s=1.5)])
    proxy.fault = lambda path, _body: next(late, None) if path.endswith("runs/create") else None
    sync(store, settings, summarise)  # the first creation lands behind the second
    time.sleep(0.8)
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
        time.sleep(draw.uniform(0.05, 2.0))
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
    proxy.fault = lambda _path, _body: Fault(status=500)
    children = psutil.Process(running.pid).children()
    (mirror,) = [c for c in children if "--follow" in c.cmdline()]
    project.wait_for(lambda: proxy.requests > 0)
    mirror.kill()
    assert running.wait(60) == 0
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


def test_mirror_on_a_server_has_no_ui_of_its_own_here(settings: Settings) -> None:
    with pytest.raises(UsageError, match="not on this machine"):
        require_local(settings)


def test_first_copies_at_once_and_after_a_kill_make_one_database(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    folder = project.folder / ".ablate" / "mlflow"
    folder.mkdir(parents=True)
    (folder / "mlflow.new").write_text("what a killed process left")
    project.ablate("study", "create", "toy")

    copies = [project.start("mlflow", "sync") for _ in range(2)]

    for copy in copies:
        assert copy.wait(120) == 0
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    assert not (folder / "mlflow.new").exists()
