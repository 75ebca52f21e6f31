"""The names that the Tab key offers are those of the store, on both databases, and only read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.store import open_store
from ablate.store.names import metric_keys, run_names, study_names, variant_names
from ablate.testing.factories import feed, logs, make_plan, must_claim


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/ablate.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_store_url")
    store = open_store(url)
    store.apply_plan(make_plan(study="one", variants=("a", "b%s?"), seeds=(0, 1)))
    store.apply_plan(make_plan(study="two", variants=("c",), seeds=(7,)))
    store.apply_plan(make_plan(study="old", variants=("d",), seeds=(0,)))
    store.set_archived("old", is_archived=True)
    feed(store, must_claim(store), start=None, logs=logs(range(3), {"valid/x": 1.0, "%s": 2.0}))
    store.close()
    return url


def test_names_are_those_of_the_store(url: str) -> None:
    with_store = open_store(url, read_only=True)
    runs = [(run.label, run.id) for run in with_store.runs()]
    with_store.close()

    assert study_names(url) == ["one", "two"]
    assert sorted(variant_names(url)) == ["a", "b%s?", "c"]
    assert variant_names(url, "two") == ["c"]
    assert variant_names(url, "old") == ["d"]
    assert sorted(run_names(url)) == sorted(runs)
    assert [label for label, _ in run_names(url, "two")] == ["c-s7"]
    assert sorted(metric_keys(url)) == ["%s", "valid/x"]


def test_nothing_is_made_where_no_database_is(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="unable to open"):
        study_names(f"sqlite:///{tmp_path}/none.db")

    assert not list(tmp_path.iterdir())


def test_no_file_appears_beside_a_database_that_is_closed(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/ablate.db").close()
    before = sorted(tmp_path.iterdir())

    assert study_names(f"sqlite:///{tmp_path}/ablate.db") == []

    assert sorted(tmp_path.iterdir()) == before
