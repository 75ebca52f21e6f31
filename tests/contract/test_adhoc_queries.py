"""A query that somebody typed can read all and change nothing, on both databases."""

import pytest

from ablate.domain import POINT_COLUMNS
from ablate.errors import StoreError, UsageError
from ablate.store import open_store
from ablate.store.adhoc import querying
from ablate.testing.factories import feed, logs, make_plan, must_claim


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = f"{tmp_path}/ablate.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_store_url")
    store = open_store(url)
    store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
    feed(store, must_claim(store), start=None, logs=logs(range(9_000), {"x": 1.0, "%s": 2.0}))
    store.close()
    return url


def ask(url: str, query: str, **options: float) -> list[tuple]:
    with querying(url, query, **options) as answer:
        return list(answer.rows)


def test_answer_streams_with_its_columns(url):
    query = "SELECT key, count(*) AS n FROM run_metrics WHERE key LIKE '%' GROUP BY 1 ORDER BY 1;"
    with querying(url, query) as answer:
        assert answer.columns == ("key", "n")
        assert list(answer.rows) == [("%s", 9_000), ("x", 9_000)]

    assert len(ask(url, "SELECT * FROM run_metrics")) == 18_000
    assert ask(url, "WITH a AS (SELECT 1 AS b) SELECT b FROM a -- done") == [(1,)]


WRITES = [
    "INSERT INTO metric_keys (name) VALUES ('x')",
    "UPDATE studies SET name = 'x'",
    "DELETE FROM points",
    "DROP VIEW run_metrics",
    "CREATE TABLE t (x int)",
    "CREATE TEMP TABLE t (x int)",
    "SELECT 1; DELETE FROM points",
    "COMMIT; DELETE FROM points",
    "VACUUM",
    "COMMIT",
    "WITH gone AS (DELETE FROM points RETURNING 1) SELECT * FROM gone",
    "WITH a AS (SELECT 1) DELETE FROM points",
    "",
    " ; ",
    "SELEC 1",
    "SELECT * FROM nowhere",
    # SQLite
    "PRAGMA query_only = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA user_version = 7",
    "ATTACH 'stray' AS other",
    "ATTACH 'file:stray?mode=rwc' AS other",
    "VACUUM INTO 'stray'",
    "SELECT load_extension('stray')",
    # PostgreSQL
    "COPY points TO '{folder}/stray'",
    "COPY points TO PROGRAM 'touch {folder}/stray'",
    "SELECT * INTO t FROM points",
    "SELECT nextval('studies_id_seq')",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SET TRANSACTION READ WRITE",
    "DO $$ BEGIN DELETE FROM points; END $$",
]


def test_columns_of_the_view_are_those_that_a_hint_names(url):
    with querying(url, "select * from run_metrics") as answer:
        assert answer.columns == POINT_COLUMNS


@pytest.mark.parametrize("column", ["vairant", "m.vairant"])
def test_column_that_is_not_there_is_told_with_the_one_that_was_meant(url, column):
    with (
        pytest.raises(UsageError) as caught,
        querying(url, f"select {column} from run_metrics m") as answer,
    ):
        list(answer.rows)

    assert str(caught.value.hint).startswith("did you mean variant? run_metrics has study, ")


def test_table_that_is_not_there_is_told_with_the_one_that_was_meant(url):
    with pytest.raises(UsageError) as caught:
        ask(url, "select seed from rnus")

    assert str(caught.value.hint).startswith("did you mean runs? ")


def test_what_writes_is_refused_and_nothing_is_changed(url, tmp_path):
    for query in WRITES:
        with pytest.raises(UsageError) as caught:
            ask(url, query.format(folder=tmp_path))

        assert "\n" not in caught.value.message
        assert ask(url, "SELECT count(*) FROM points") == [(18_000,)], query
        assert list(tmp_path.glob("*stray*")) == [], query


def test_query_that_takes_too_long_is_ended(url):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    with pytest.raises(UsageError, match=r"longer than 0\.1 s"):
        ask(url, endless, timeout_s=0.1)


def test_foreign_database_is_refused(tmp_path):
    path = tmp_path / "other.db"
    path.write_bytes(b"not a database, but long enough to look at" * 40)

    with pytest.raises(StoreError):
        ask(str(path), "SELECT 1")
