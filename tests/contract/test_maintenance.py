"""Backups and compaction of a database that is in use."""

import sqlite3
from contextlib import closing

import pytest

from ablate.errors import NotFoundError, StoreError, UsageError
from ablate.store import open_store
from ablate.store.upkeep.maintenance import back_up, vacuum
from ablate.store.upkeep.migrate import check
from ablate.testing.factories import feed, logs, make_plan, must_claim


def filled(url: str):
    store = open_store(url)
    store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
    claim = must_claim(store)
    feed(store, claim, start=None, logs=logs(range(2000), {"x": 1.0}))
    return store, claim


def test_backup_of_a_database_in_use_is_whole_and_its_own(tmp_path):
    store, claim = filled(str(tmp_path / "a.db"))

    copy = back_up(str(tmp_path / "a.db"), tmp_path / "copy.db")
    feed(store, claim, logs=logs([3000], {"x": 2.0}))

    assert check(str(copy)).is_good
    with closing(open_store(str(copy), read_only=True)) as copied:
        assert copied.run(claim.run.id).step == 1999
    assert store.run(claim.run.id).step == 3000
    store.close()


def test_backup_without_a_name_lies_beside_the_database(tmp_path):
    filled(str(tmp_path / "a.db"))[0].close()

    copy = back_up(str(tmp_path / "a.db"))

    assert copy.parent == tmp_path
    assert copy.name.startswith("a.db.")
    assert copy.suffix == ".bak"


def test_backup_overwrites_nothing_and_leaves_nothing_half_made(tmp_path):
    filled(str(tmp_path / "a.db"))[0].close()
    (tmp_path / "kept").write_text("mine")

    with pytest.raises(UsageError, match="exists already"):
        back_up(str(tmp_path / "a.db"), tmp_path / "kept")
    with pytest.raises(StoreError, match="cannot be written"):
        back_up(str(tmp_path / "a.db"), tmp_path / "nowhere" / "copy.db")

    assert (tmp_path / "kept").read_text() == "mine"
    assert not list(tmp_path.glob("*.part"))


def test_backup_and_vacuum_need_a_database_of_ours(tmp_path):
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE experiments (name TEXT)")
    for use in (back_up, vacuum):
        with pytest.raises(NotFoundError):
            use(str(tmp_path / "none.db"))
        with pytest.raises(StoreError, match="something else"):
            use(str(tmp_path / "other.db"))
    assert not (tmp_path / "none.db").exists()


def test_backup_of_a_server_names_its_own_tool(postgres_url):
    with pytest.raises(UsageError) as caught:
        back_up(postgres_url)

    assert "pg_dump" in (caught.value.hint or "")


def test_vacuum_gives_space_back_and_keeps_what_is_there(tmp_path):
    store, claim = filled(str(tmp_path / "a.db"))
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE junk AS SELECT randomblob(1000000) AS x")
        connection.execute("DROP TABLE junk")
    (before,) = store.curves([claim.run.id], ["x"])
    store.close()

    sizes = vacuum(str(tmp_path / "a.db"))

    assert sizes.before_bytes - sizes.after_bytes > 900_000
    with closing(open_store(str(tmp_path / "a.db"))) as store:
        assert store.curves([claim.run.id], ["x"]) == (before,)
    assert check(str(tmp_path / "a.db")).is_good


def test_vacuum_of_a_server_keeps_what_is_there(postgres_url):
    store, claim = filled(postgres_url)
    before = store.curves([claim.run.id], ["x"])

    assert vacuum(postgres_url).after_bytes > 0

    assert store.curves([claim.run.id], ["x"]) == before
    store.close()
