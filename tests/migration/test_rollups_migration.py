"""A database of revision 0001, as that version left it, gets rollups equal to those of ingest."""

import multiprocessing
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from ablate.store import open_store
from ablate.store.engine import connect, reading, writing
from ablate.store.migrate import check, downgrade, upgrade
from ablate.store.rollups import bucket_of, rollup
from ablate.store.rows import decode
from ablate.store.schema import peek

ROWS = Path(__file__).parent / "revision_0001.sql"
KEPT = ("studies", "variants", "runs", "study_runs", "attempts", "metric_keys", "series", "steps")
KEPT += ("points", "events", "checkpoints", "transitions", "mirror_cursors")
ROLLUPS = (
    "SELECT series_id, n, n_nan, n_pos_inf, n_neg_inf, first_at, min_at, max_at, last_at, bucket,"
    " sum, first, min, max, last FROM rollups ORDER BY series_id, bucket"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """A database with the rows of `revision_0001.sql`."""
    made = f"sqlite:///{tmp_path}/ablate.db"
    if request.param == "postgresql":
        made = request.getfixturevalue("postgres_url")
    upgrade(made, "0001")
    with closing(connect(made)) as database, writing(database) as connection:
        for statement in ROWS.read_text().split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    return made


def fetch(url: str, query: str) -> list[tuple[object, ...]]:
    with closing(connect(url, read_only=True)) as database, reading(database) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def rows_of(url: str) -> dict[str, list[tuple[object, ...]]]:
    return {table: sorted(fetch(url, f"SELECT * FROM {table}"), key=repr) for table in KEPT}


def expected_rollups(url: str) -> list[tuple[object, ...]]:
    buckets: dict[tuple[int, int], list[tuple[int, float]]] = {}
    points = "SELECT series_id, step, value, kind FROM points ORDER BY series_id, step"
    for series_id, step, value, kind in fetch(url, points):
        buckets.setdefault((series_id, bucket_of(step)), []).append((step, decode(value, kind)))
    return [rollup(*at, *zip(*part, strict=True)) for at, part in buckets.items()]


def test_upgrade_keeps_every_row_and_makes_the_rollups(url):
    before = rows_of(url)
    assert len(before["points"]) > 300

    upgrade(url)

    assert check(url).is_good
    assert rows_of(url) == before
    assert fetch(url, ROLLUPS) == expected_rollups(url)


def test_upgraded_database_is_read_and_continued(url):
    upgrade(url)
    with closing(open_store(url)) as store:
        (run, *_) = store.runs("old")
        (curve,) = store.curves([run.id], ["x"])
        (mean,) = store.means([run.id], ["x"], [(1, curve.steps[-1])])

        values = [v for s, v in zip(curve.steps, curve.values, strict=True) if s >= 1]
        assert curve.steps == tuple(range(161))
        assert mean.n == len(values) == 160
        assert mean.mean == pytest.approx(sum(values) / 160, rel=1e-12)


def test_downgrade_keeps_every_row_but_the_rollups(url):
    before = rows_of(url)
    upgrade(url)

    downgrade(url, "0001")

    assert rows_of(url) == before
    assert "rollups" not in peek(url).tables


def die_while_filling(url: str) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def die(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("INSERT INTO rollups"):
            die.count -= 1
            if die.count == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    die.count = 2
    event.listen(Engine, "before_cursor_execute", die)
    upgrade(url)


def test_upgrade_killed_while_it_fills_leaves_the_old_revision(url):
    before = rows_of(url)
    process = multiprocessing.get_context("spawn").Process(target=die_while_filling, args=(url,))
    process.start()
    process.join(60)
    assert process.exitcode == -9

    schema = peek(url)
    assert (schema.revision, "rollups" in schema.tables) == ("0001", False)
    assert rows_of(url) == before
    upgrade(url)
    assert check(url).is_good
    assert fetch(url, ROLLUPS) == expected_rollups(url)
