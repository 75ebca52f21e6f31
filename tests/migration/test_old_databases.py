"""Databases of every revision, as that version left them: upgraded, continued, killed at it."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path

import pytest

from ablate.domain import AttemptState
from ablate.errors import StoreError
from ablate.spool.batch import Ending
from ablate.store import open_store
from ablate.store.schema.revision import REVISIONS, peek
from ablate.store.upkeep import maintenance
from ablate.store.upkeep.migrate import check, downgrade, upgrade
from ablate.testing.factories import feed, logs, must_claim
from tests.support.databases import ROWS, fetch, make_database, rows_of, upgrade_with
from tests.support.processes import call, call_all
from tests.support.thorough import few_or_many

OLD = REVISIONS[-2]
VIEW = "SELECT * FROM run_metrics ORDER BY run, key, step"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ablate.db"
    return request.getfixturevalue("postgres_url")


def test_there_are_rows_of_every_revision():
    assert tuple(sorted(ROWS)) == REVISIONS


@pytest.mark.parametrize("revision", REVISIONS)
def test_upgrade_keeps_every_row_of_every_revision(empty_url, revision):
    url = make_database(empty_url, revision)
    before, view = rows_of(url), fetch(url, VIEW)
    assert {kind for *_, kind, _ in view} == {"finite", "nan", "+inf", "-inf"}

    upgrade(url)

    assert check(url).is_good
    assert rows_of(url) == before
    assert fetch(url, VIEW) == view


@pytest.mark.parametrize("revision", REVISIONS)
def test_upgraded_database_is_continued(empty_url, revision):
    url = make_database(empty_url, revision)
    upgrade(url)

    with closing(open_store(url)) as store:
        (study,) = store.studies()
        (run, *_) = store.runs(study.name)
        store.requeue([each.id for each in store.runs()], by="ada")
        claim = must_claim(store)
        feed(store, claim, start=None, logs=logs(range(60), {"new": 1.0}))
        store.finish(claim, Ending(state=AttemptState.SUCCEEDED))

        (curve,) = store.curves([claim.run.id], ["new"])
        assert curve.steps == tuple(range(60))
        assert store.means([claim.run.id], ["new"], [(0, 59)])[0].n == 60
        assert store.attempts(run.id)
    assert check(url).is_good


def test_downgrade_and_upgrade_again_give_the_same_rows(empty_url):
    url = make_database(empty_url, REVISIONS[-1])
    before, rollups = rows_of(url), sorted(fetch(url, "SELECT * FROM rollups"), key=repr)

    downgrade(url, OLD)
    assert rows_of(url) == before
    upgrade(url)

    assert rows_of(url) == before
    assert sorted(fetch(url, "SELECT * FROM rollups"), key=repr) == rollups


def places(counts: Path, n: int) -> list[str]:
    """Return kills at ``n`` of the calls that an upgrade makes."""
    found = [
        f"{point}:{action}@{number}"
        for point, calls in sorted(json.loads(counts.read_text()).items())
        for number in range(1, calls + 1)
        for action in ("kill", "killed-after")
    ]
    return random.Random(5).sample(found, min(n, len(found)))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_upgrade_killed_anywhere_leaves_the_old_schema_or_the_new(kind, request, tmp_path):
    def new_url(name: str) -> str:
        if kind == "postgresql":
            return request.getfixturevalue("new_postgres_url")()
        (tmp_path / name).mkdir()
        return f"sqlite:///{tmp_path}/{name}/ablate.db"

    counts = tmp_path / "counts.json"
    assert call(upgrade_with, make_database(new_url("calm"), OLD), "", counts) == 0
    for number, fault in enumerate(places(counts, few_or_many(5, 25))):
        url = make_database(new_url(str(number)), OLD)
        before = rows_of(url)

        assert call(upgrade_with, url, fault) == -9, fault

        assert peek(url).revision in REVISIONS[-2:], fault
        assert rows_of(url) == before, fault
        upgrade(url)
        assert check(url).is_good, fault
        assert rows_of(url) == before, fault
        if kind == "sqlite":
            check_backup(tmp_path / str(number), before)


def check_backup(folder: Path, before: object) -> None:
    """Check that copies are whole and of the revision that they are named after."""
    copies = [f"sqlite:///{path}" for path in folder.glob("*.bak")]
    assert copies
    for copy in copies:
        assert peek(copy).revision == OLD
        assert rows_of(copy) == before


def test_two_upgrades_at_once_change_the_schema_once(empty_url, tmp_path):
    url = make_database(empty_url, OLD)
    before = rows_of(url)

    assert call_all(upgrade_with, [(url, ""), (url, ""), (url, "")]) == [0, 0, 0]

    assert check(url).is_good
    assert rows_of(url) == before
    if url.startswith("sqlite"):
        check_backup(tmp_path, before)
        assert len(list(tmp_path.glob("*.bak"))) == 1


def test_second_upgrade_does_not_write_over_the_copy_of_the_first(tmp_path):
    url = make_database(f"sqlite:///{tmp_path}/ablate.db", OLD)
    upgrade(url)
    first = (tmp_path / f"ablate.db.{OLD}.bak").read_bytes()
    downgrade(url, OLD)

    upgrade(url)

    assert (tmp_path / f"ablate.db.{OLD}.bak").read_bytes() == first
    assert (tmp_path / f"ablate.db.{OLD}.2.bak").exists()


def test_upgrade_that_cannot_be_copied_first_changes_nothing(tmp_path, monkeypatch):
    url = make_database(f"sqlite:///{tmp_path}/ablate.db", OLD)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(maintenance.os, "fsync", refuse)
    with pytest.raises(StoreError, match=rf"{OLD}\.bak cannot be written: .*No space left"):
        upgrade(url)

    assert peek(url).revision == OLD
    assert [path.name for path in tmp_path.iterdir() if "bak" in path.name] == []
