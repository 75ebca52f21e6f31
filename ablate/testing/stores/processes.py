"""What a store promises to several processes at once. Each is a real process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from ablate.domain import AttemptState, RunState
from ablate.errors import LeaseLostError
from ablate.spool.batch import Ending
from ablate.store import open_store
from ablate.store.base import ClaimFilter, Store
from ablate.testing.factories import feed, logs, make_plan, must_claim

# ruff: noqa: D102 - a test's name says what it tests


def claim_all(url: str, runner: str) -> list[str]:
    """Claim and finish runs until none is queued; return their ids."""
    store = open_store(url)
    ids: list[str] = []
    while claim := store.claim(runner, ClaimFilter()):
        ids.append(claim.run.id)
        store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
    store.close()
    return ids


def apply_shared_plan(url: str, study: str) -> list[str]:
    """Open the database, which may be new, and plan cells that other processes plan too."""
    store = open_store(url)
    store.apply_plan(make_plan(study, ("a", "b", "c"), seeds=range(5)))
    ids = [run.id for run in store.runs(study)]
    store.close()
    return ids


def log_a_run(url: str, runner: str) -> str:
    """Claim a run and write many small batches; return its id."""
    store = open_store(url)
    claim = must_claim(store, runner)
    keys = {f"{kind}/{n}": float(n) for kind in ("shared", runner) for n in range(5)}
    feed(store, claim, start=None)
    for step in range(0, 200, 10):
        feed(store, claim, logs=logs(range(step, step + 10), keys))
    store.close()
    return claim.run.id


def finish_once(url: str, runner: str) -> str:
    """Take over whatever is held and end it; return ``won`` or ``lost``."""
    store = open_store(url)
    try:
        claims = store.take_over(runner, store.holds())
        for claim in claims:
            store.finish(claim, Ending(state=AttemptState.LOST))
    except LeaseLostError:
        return "lost"
    finally:
        store.close()
    return "won" if claims else "lost"


class ProcessesContract:
    """Races between processes."""

    n_processes = 3

    def spread(self, work: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> list[Any]:
        """Call a function in fresh processes at the same time."""
        context = get_context("forkserver")
        with ProcessPoolExecutor(len(arguments), mp_context=context) as pool:
            futures = [pool.submit(work, *each) for each in arguments]
            return [future.result(timeout=120) for future in futures]

    def test_every_run_is_claimed_once(self, store: Store, store_url: str) -> None:
        store.apply_plan(make_plan(variants=("a", "b"), seeds=range(50)))

        runners = [(store_url, f"runner-{n}") for n in range(self.n_processes)]
        claimed = Counter(run_id for ids in self.spread(claim_all, runners) for run_id in ids)

        assert claimed == Counter({run.id: 1 for run in store.runs()})
        assert {run.state for run in store.runs()} == {RunState.SUCCEEDED}

    def test_new_database_is_made_once_and_cells_are_shared(self, store_url: str) -> None:
        studies = [(store_url, f"study-{n}") for n in range(self.n_processes)]

        ids = self.spread(apply_shared_plan, studies)

        assert len(set(ids[0])) == 15
        assert all(each == ids[0] for each in ids)

    def test_writers_do_not_disturb_each_other(self, store: Store, store_url: str) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=range(self.n_processes)))

        runners = [(store_url, f"runner-{n}") for n in range(self.n_processes)]
        ids = self.spread(log_a_run, runners)

        for (_, runner), run_id in zip(runners, ids, strict=True):
            for key in ("shared/3", f"{runner}/3"):
                (curve,) = store.curves([run_id], [key])
                assert curve.steps == tuple(range(200))
                assert set(curve.values) == {3.0}

    def test_dead_runner_is_taken_over_by_one(self, store: Store, store_url: str) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        claim = must_claim(store, "dead")

        runners = [(store_url, f"runner-{n}") for n in range(self.n_processes)]
        results = self.spread(finish_once, runners)

        assert sorted(results) == ["lost"] * (self.n_processes - 1) + ["won"]
        with pytest.raises(LeaseLostError):
            store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
