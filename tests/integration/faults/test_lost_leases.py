"""Every way in which a runner loses a run, with a queue behind it: the others go on."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from ablate.domain import AttemptState, Run, RunState
from ablate.spool.batch import Ending
from ablate.store import open_store
from ablate.store.base import Store
from tests.support.patience import PATIENCE_S
from tests.support.projects import Project, size_of
from tests.support.thorough import few_or_many

N_LOSSES = few_or_many(4, 50)
STUDY = """
study: toy
question: Which rate?
trainer: toytrain:train
base: {{steps: 60, lr: 0.01, sleep_s: 0.02}}
phases:
  slow: {{baseline: true}}
seeds: {seeds}
metrics: {{train/loss/total: min}}
"""


def cancel(store: Store, run: Run) -> None:
    store.cancel([run.id], by="ada")


def steal(store: Store, run: Run) -> None:
    """Be a runner elsewhere that takes the run over, and puts it back into the queue."""
    holds = [hold for hold in store.holds() if hold.attempt_id == newest(store, run)]
    for claim in store.take_over("thief", holds):
        store.finish(claim, Ending(state=AttemptState.LOST, reason="stolen"))


def cancel_and_requeue(store: Store, run: Run) -> None:
    store.cancel([run.id], by="ada")
    store.requeue([run.id], by="ada")


def newest(store: Store, run: Run) -> int:
    return store.attempts(run.id)[-1].id


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_a_lost_run_ends_nothing_but_itself(project: Project, workers: int) -> None:
    rng = random.Random(workers)
    n_runs = N_LOSSES + 2 * workers
    project.write("studies/toy.yaml", STUDY.format(seeds=n_runs))
    project.ablate("study", "create", "toy")
    lost: list[str] = []
    with closing(open_store(str(project.folder / ".ablate" / "ablate.db"))) as store:
        running = project.start("run", "toy", "--workers", str(workers))
        while len(lost) < N_LOSSES and running.poll() is None:
            project.wait_for(lambda: bool(at_work(store)) or running.poll() is not None)
            for run in rng.sample(at_work(store), k=min(1, len(at_work(store)))):
                rng.choice((cancel, steal, cancel_and_requeue))(store, run)
                lost.append(run.id)

        assert len(lost) == N_LOSSES, "the runner ended before all runs were lost"
        assert running.wait(PATIENCE_S) == 0
        states = {run.id: run.state for run in store.runs("toy")}
        assert set(states.values()) <= {RunState.SUCCEEDED, RunState.CANCELLED}
        assert {run for run, state in states.items() if state is RunState.CANCELLED} <= set(lost)
        check_that_all_is_stored(project, store)


def at_work(store: Store) -> list[Run]:
    """Return the runs that are trained and have logged something."""
    return [run for run in store.runs("toy") if run.state is RunState.RUNNING and run.step]


def check_that_all_is_stored(project: Project, store: Store) -> None:
    """Hold every attempt's spool against what is stored of it: nothing is in no table."""
    for run in store.runs("toy"):
        for attempt in store.attempts(run.id):
            folder = project.folder / ".ablate" / "runs" / run.id / f"attempt-{attempt.number}"
            assert attempt.spool_offset == size_of(folder / "spool"), folder
