"""A database file that goes away under whoever writes to it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ablate.domain import AttemptState
from ablate.errors import StoreGoneError, StoreUnavailableError
from ablate.spool.batch import Ending
from ablate.store import open_store
from ablate.testing.factories import feed, logs, make_plan, must_claim
from tests.support.patience import slowness


def delete(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def replace(path: Path) -> None:
    shutil.copy(path, path.with_name("other.db"))
    path.with_name("other.db").replace(path)


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("harm", [delete, move, replace, delete_folder])
def test_file_that_goes_away_is_noticed_by_the_next_write(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "here" / "ablate.db"
    with closing(open_store(str(path))) as store:
        store.apply_plan(make_plan())
        claim = must_claim(store)
        feed(store, claim, start=None, logs=logs(range(5), {"x": 1.0}))

        harm(path)

        began = time.monotonic()
        for write in (
            lambda: store.finish(claim, Ending(state=AttemptState.SUCCEEDED)),
            lambda: store.apply_plan(make_plan("other")),
        ):
            with pytest.raises(StoreGoneError, match=f"database {path} was ") as caught:
                write()
            assert not isinstance(caught.value, StoreUnavailableError)
            assert "ablate db rebuild" in (caught.value.hint or "")
        assert time.monotonic() - began < slowness()
    if harm is not replace:
        assert not path.exists()  # and no empty one was made


def test_file_that_comes_back_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "ablate.db"
    with closing(open_store(str(path))) as store:
        move(path)
        with pytest.raises(StoreGoneError):
            store.apply_plan(make_plan())
        path.with_name("elsewhere.db").rename(path)

        store.apply_plan(make_plan())

    with closing(open_store(str(path))) as store:
        assert len(store.runs()) == 4
