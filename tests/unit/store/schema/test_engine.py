import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from ablate.errors import StoreError, StoreUnavailableError, UsageError
from ablate.store import open_store
from ablate.store.schema.engine import connect, parse_url
from ablate.testing.factories import make_plan


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "some folder" / "ablate #1?.db"
    open_store(str(path)).close()
    return path


@pytest.mark.parametrize("url", ["ablate.db", "sqlite:///ablate.db", "/x/y.db"])
def test_path_alone_is_an_sqlite_url(url):
    assert parse_url(url).drivername == "sqlite"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_postgres_urls_use_psycopg_3(scheme):
    assert parse_url(f"{scheme}://u@h/d").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///a.db?x=1", "mysql://u@h/d", "ftp://x", ""]
)
def test_other_databases_are_refused_with_the_forms_that_work(url):
    with pytest.raises(UsageError) as caught:
        connect(url)
    assert "sqlite:///PATH" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cret@127.0.0.1:1/nothing",
        "postgresql://ada@127.0.0.1:1/nothing?password=s3cret",
    ],
)
def test_unreachable_server_is_named_without_its_password(url):
    with pytest.raises(StoreUnavailableError) as caught:
        open_store(url)
    assert "127.0.0.1:1/nothing" in caught.value.message
    assert "s3cret" not in str(caught.value) + str(caught.value.hint) + repr(caught.value)
    assert "server" in (caught.value.hint or "")


def test_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("something that somebody wrote down " * 10)

    with pytest.raises(StoreError, match=r"notes\.db.*not a database"):
        open_store(str(path))
    assert path.read_text().startswith("something")


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="file/below"):
        open_store(f"{tmp_path}/file/below/ablate.db")


def test_locked_database_is_reported_after_the_time_to_wait(path):
    store = open_store(str(path), wait_s=0.2)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked") as caught:
            store.apply_plan(make_plan())
        other.execute("ROLLBACK")
    assert "another process" in (caught.value.hint or "")
    store.apply_plan(make_plan())
    store.close()


def test_readers_do_not_wait_for_a_writer(path):
    store = open_store(str(path), read_only=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE studies SET name = 'x'")
        assert store.studies() == ()
        other.execute("ROLLBACK")
    store.close()


def test_read_only_store_cannot_write(path):
    store = open_store(str(path), read_only=True)

    with pytest.raises(StoreError, match="readonly"):
        store.apply_plan(make_plan())
    store.close()


def test_read_only_server_store_cannot_write(postgres_url):
    open_store(postgres_url).close()
    store = open_store(postgres_url, read_only=True)

    with pytest.raises(StoreError, match="read-only"):
        store.apply_plan(make_plan())
    store.close()


READ_AS_NOBODY = """
import os, sys
from ablate.store import open_store
open_store(sys.argv[1]).close()  # also loads all modules, which nobody may not read
os.setgroups([])
os.setuid(65534)
assert not os.access(os.path.dirname(sys.argv[1]), os.W_OK)
print(open_store(sys.argv[1], read_only=True).studies())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody who may not write")
def test_read_only_store_opens_in_a_folder_that_may_not_be_written():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ablate.db")
        open_store(str(path)).close()
        Path(folder).chmod(0o755)
        path.chmod(0o644)
        command = [sys.executable, "-c", READ_AS_NOBODY, str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "()", done.stderr


def test_database_survives_loss_of_its_connection(postgres_server, postgres_url):
    store = open_store(postgres_url)
    name = postgres_url.split("/")[3].split("?")[0]

    postgres_server.psql(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';"
    )

    store.apply_plan(make_plan())
    assert len(store.runs()) == 4
    store.close()


def test_new_sqlite_database_is_wal_and_strict(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        tables = connection.execute("PRAGMA table_list").fetchall()
    ours = [row for row in tables if row[2] == "table" and not row[1].startswith("sqlite_")]
    assert {row[1] for row in ours if not row[5]} == {"ablate_alembic_version"}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("ablate.store", {"sqlalchemy", "alembic", "pandas", "numpy", "torch", "psycopg"}),
        ("ablate.spool.spool", {"sqlalchemy", "alembic", "pandas", "numpy", "torch", "psycopg"}),
        ("ablate.store.sql", {"alembic", "pandas", "torch"}),
    ],
)
def test_importing_is_light(module, heavy):
    script = f"import sys, {module}; print(*(set(sys.modules) & {heavy!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


def test_opening_an_existing_database_does_not_load_alembic(path):
    script = "import sys; from ablate.store import open_store; open_store(sys.argv[1]); \
        print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_what_libraries_log_is_not_printed():
    lines = """
import logging
import ablate.store.schema.engine

try:
    raise ConnectionError("the server closed the connection")
except ConnectionError:
    for name in ("sqlalchemy.pool.impl.QueuePool", "psycopg"):
        logging.getLogger(name).error("Exception during reset or similar", exc_info=True)
"""

    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
