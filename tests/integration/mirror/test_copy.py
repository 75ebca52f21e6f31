"""What is copied, and that it follows what is in SQL."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ablate.domain import AttemptState
from ablate.errors import UsageError
from ablate.mirrors.process import require_local, sync
from ablate.mirrors.records import Copied
from ablate.settings import Settings
from ablate.spool.batch import Ending
from ablate.store.base import Store
from ablate.testing.factories import (
    feed,
    logs,
    make_checkpoint,
    must_claim,
)
from tests.support.mirrored import (
    KEYS,
    in_mlflow,
    in_sql,
    logs_of,
    summarise,
    train,
    train_all,
)
from tests.support.present import present

pytest.importorskip("mlflow")
# Warnings are MLflow's own, about the libraries it uses.
pytestmark = pytest.mark.filterwarnings("default")


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
    from ablate.render.comparison.text import render

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
    experiment = present(client.get_experiment_by_name(f"ablate/{study}")).experiment_id
    one, *_, last = client.search_runs([experiment], "tags.`ablate.run` LIKE '%'")
    client.delete_run(one.info.run_id)
    client.create_run(experiment, tags=last.data.tags)
    sync(store, settings, summarise)

    assert in_mlflow(server[1], study) == in_sql(store, study)


@pytest.mark.parametrize("what", ["deleted", "renamed"])
def test_experiment_that_is_not_where_it_was_is_there_again(
    store: Store, settings: Settings, study: str, server: tuple[int, Path], what: str
) -> None:
    from mlflow import MlflowClient

    train_all(store)
    sync(store, settings, summarise)
    client = MlflowClient(settings.mlflow_uri)
    experiment = present(client.get_experiment_by_name(f"ablate/{study}")).experiment_id
    if what == "deleted":
        client.delete_experiment(experiment)
    else:
        client.rename_experiment(experiment, f"{study} of last week")
    sync(store, settings, summarise)

    assert in_mlflow(server[1], study) == in_sql(store, study)


def test_copy_imported_again_leaves_out_the_summaries(
    store: Store, settings: Settings, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ablate.importers.base import ImportRequest
    from ablate.importers.formats.mlflow import read

    train_all(store)
    sync(store, settings, summarise)
    uri = str(settings.mlflow_uri)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    found = read(ImportRequest(uri=uri, experiment=f"ablate/{study}"))

    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ  # a mirror here has its own patience
    titles = sorted(run.title for run in found.runs)
    assert titles == ["calm-s0", "calm-s1", "wild-s0", "wild-s1"]


def test_mirror_on_a_server_has_no_ui_of_its_own_here(settings: Settings) -> None:
    with pytest.raises(UsageError, match="not on this machine"):
        require_local(settings)
