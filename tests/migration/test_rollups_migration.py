"""A database of revision 0001, as that version left it, gets rollups equal to those of ingest."""

from contextlib import closing

import pytest

from ablate.store import open_store
from ablate.store.schema.revision import peek
from ablate.store.schema.rollups import bucket_of, rollup
from ablate.store.schema.rows import decode
from ablate.store.upkeep.migrate import check, downgrade, upgrade
from tests.support.databases import fetch, make_database, rows_of

ROLLUPS = (
    "SELECT series_id, n, n_nan, n_pos_inf, n_neg_inf, first_at, min_at, max_at, last_at, bucket,"
    " sum, first, min, max, last FROM rollups ORDER BY series_id, bucket"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "postgresql":
        return make_database(request.getfixturevalue("postgres_url"), "0001")
    return make_database(f"sqlite:///{tmp_path}/ablate.db", "0001")


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
