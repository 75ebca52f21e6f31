"""Two schedulers and a clock that a machine of random rules drives: only the dead lose runs."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ablate.attempt.job import Job
from ablate.attempt.permit import Permit
from ablate.attempt.runners import Life
from ablate.domain import AttemptState, Claim, Run, RunState
from ablate.errors import StoreUnavailableError
from ablate.execution.devices import Devices
from ablate.execution.executors.base import Binding, Exited, Preparation
from ablate.execution.progress import ProgressMeter
from ablate.execution.scheduler import Scheduler
from ablate.execution.scheduling import SchedulerOptions
from ablate.execution.slots import MachineSlots
from ablate.spool.batch import Ending
from ablate.spool.spool import SpoolWriter
from ablate.store import open_store
from ablate.store.base import ClaimFilter, Store
from ablate.testing.factories import make_plan
from tests.support.jobs import make_job
from tests.support.thorough import EVERY_HEALTH_CHECK, few_or_many

LEASE_S = 30.0
N_RUNS = 4


class Unreachable:
    """A store that the first call after an outage finds out of reach."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.was_away = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*args: Any, **options: Any) -> Any:
            if self.was_away:
                self.was_away = False
                raise StoreUnavailableError("the database is away")
            return found(*args, **options)

        return call


class Trainers:
    """An executor whose processes live until a rule, or the scheduler, ends them."""

    def __init__(self) -> None:
        self.slots = MachineSlots(2, Devices(()))
        self.jobs: dict[int, Job] = {}
        self._exited: list[Exited] = []

    def open(self, preparation: Preparation) -> None: ...

    def start(self, job: Job, on_step: Callable[[], None]) -> None:
        self.jobs[job.attempt_id] = job

    def poll(self, timeout_s: float) -> list[Exited]:
        exited, self._exited = self._exited, []
        return exited

    def stop(self, attempt_id: int, *, now: bool) -> None:
        assert now, "nobody asks politely here"
        self.end(attempt_id, -9)

    def end(self, attempt_id: int, code: int) -> None:
        if self.jobs.pop(attempt_id, None) is not None:
            self._exited.append(Exited(attempt_id, code))

    def dump(self, attempt_id: int) -> None:
        raise AssertionError("nothing hangs here")

    def close(self) -> None:
        self.jobs.clear()


class Told:
    """Notes which runs a runner was told that it has lost."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    def started(self, run: Run, attempt: int) -> None: ...
    def progressed(self, active: object) -> None: ...
    def ended(self, run: Run, ending: Ending) -> None: ...

    def noted(self, text: str) -> None:
        if text.endswith("cancelled, or taken over by another"):
            self.lost.append(text.partition(":")[0])


class Runner:
    """A scheduler that gets its turns only while it lives, runs and is not cut off."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.world = world
        self.trainers = Trainers()
        self.told = Told()
        self.store = Unreachable(open_store(world.url))
        self.is_dead = self.is_suspended = self.is_cut_off = False
        self.alone_s = 0.0
        """How long others had turns meanwhile, so that they may have taken over."""
        self.scheduler = Scheduler(
            self.store,  # type: ignore[arg-type]
            self.trainers,
            runner=name,
            make_job=world.make_job,
            run_dir=world.run_dir,
            make_meter=lambda claim, _: ProgressMeter(
                claim.run, metric=None, limit=None, stall_s=0
            ),
            options=SchedulerOptions(
                wanted=ClaimFilter(),
                lease_s=LEASE_S,
                now=lambda: world.now,
                life=world.life,
            ),
            observer=self.told,
        )

    @property
    def has_turns(self) -> bool:
        return not (self.is_dead or self.is_suspended or self.is_cut_off)

    def turn(self) -> None:
        """Do what the loop of `Scheduler.run` does once."""
        before = len(self.told.lost)
        self.scheduler._fill()
        for exited in self.trainers.poll(0):
            self.scheduler._conclude(exited)
        self.scheduler._tick()
        lost = [label for label in self.told.lost[before:] if label not in self.world.cancelled]
        may_lose = self.alone_s >= LEASE_S - 8 and not self.world.is_one_machine
        assert not lost or may_lose, f"{self.name} lives and lost {lost}"
        self.alone_s = 0.0

    def die(self) -> None:
        self.is_dead = True
        self.trainers.close()
        self.store._store.close()


class World:
    """What all runners share."""

    def __init__(self, url: str, folder: Path, *, is_one_machine: bool) -> None:
        self.url = url
        self.folder = folder
        self.now = 1000.0
        self.is_one_machine = is_one_machine
        self.cancelled: set[str] = set()
        self.runners: dict[str, Runner] = {}

    def run_dir(self, run_id: str) -> Path:
        return self.folder / run_id

    def make_job(self, claim: Claim, binding: Binding) -> Job:
        return make_job(
            self.run_dir(claim.run.id),
            attempt_id=claim.attempt_id,
            attempt=claim.attempt,
            label=claim.run.label,
        )

    def life(self, name: str) -> Life:
        if not self.is_one_machine:
            return Life.UNKNOWN
        return Life.DEAD if self.runners[name].is_dead else Life.ALIVE


class LeaseMachine(RuleBasedStateMachine):
    """Rules of what can happen to two runners, and what must hold whatever does."""

    def new_url(self) -> str:
        raise NotImplementedError

    @initialize(is_one_machine=st.booleans())
    def begin(self, is_one_machine: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="leases-"))
        url = self.new_url()
        self.world = World(url, self.folder, is_one_machine=is_one_machine)
        self.store = open_store(url)
        self.store.apply_plan(make_plan(variants=("a", "b"), seeds=(0, 1)))
        self.holders: dict[int, tuple[str, Path]] = {}
        for name in ("one", "two"):
            self.world.runners[name] = Runner(self.world, name)

    names = st.sampled_from(["one", "two"])

    @rule(seconds=st.integers(1, 8), times=st.integers(1, 8))
    def time_passes(self, seconds: int, times: int) -> None:
        for _ in range(times):
            self.world.now += seconds
            if any(runner.has_turns for runner in self.world.runners.values()):
                for runner in self.world.runners.values():
                    runner.alone_s += 0 if runner.has_turns else seconds
            for runner in self.world.runners.values():
                if runner.has_turns:
                    runner.turn()
                    self.check_permits()

    @rule(name=names, seconds=st.sampled_from([10, 28, 45, 120]), is_cut_off=st.booleans())
    def away_for_a_while(self, name: str, seconds: int, is_cut_off: bool) -> None:
        (self.cut_off if is_cut_off else self.suspend)(name)
        self.time_passes(5, seconds // 5)
        (self.reach_again if is_cut_off else self.resume)(name)
        self.time_passes(1, 1)

    @rule(seconds=st.sampled_from([10, 28, 45, 120]), first=names)
    def database_away_for_all(self, seconds: int, first: str) -> None:
        for name in ("one", "two"):
            self.cut_off(name)
        self.time_passes(5, seconds // 5)
        for name in ("one", "two"):
            self.reach_again(name)
            self.world.runners[name].is_suspended = name != first
        self.time_passes(1, 1)
        for name in ("one", "two"):
            self.resume(name)
        self.time_passes(1, 1)

    @rule(name=names)
    def suspend(self, name: str) -> None:
        self.world.runners[name].is_suspended = True

    @rule(name=names)
    def resume(self, name: str) -> None:
        self.world.runners[name].is_suspended = False

    @rule(name=names)
    def cut_off(self, name: str) -> None:
        self.world.runners[name].is_cut_off = True

    @rule(name=names)
    def reach_again(self, name: str) -> None:
        runner = self.world.runners[name]
        runner.store.was_away = runner.store.was_away or runner.is_cut_off
        runner.is_cut_off = False

    @rule(name=names)
    def crash_and_start_again(self, name: str) -> None:
        old = self.world.runners[name]
        old.die()
        new = f"{name}-{len(self.world.runners)}"
        self.world.runners[new] = old
        self.world.runners[name] = Runner(self.world, name)
        old.name = new
        for hold in [hold for hold in self.store.holds() if hold.runner == name]:
            self.rename(hold.attempt_id, new)

    def rename(self, attempt_id: int, name: str) -> None:
        """Give the holds of a runner that died its new name: names are never used twice."""
        from sqlalchemy import text

        from ablate.store.schema.engine import connect, writing

        with closing(connect(self.world.url)) as database, writing(database) as connection:
            change = text("UPDATE attempts SET runner = :name WHERE id = :id")
            connection.execute(change, {"name": name, "id": attempt_id})
        if attempt_id in self.holders:
            self.holders[attempt_id] = name, self.holders[attempt_id][1]

    @rule(name=names, pick=st.integers(0, 9), code=st.sampled_from([0, -9]))
    def trainer_ends(self, name: str, pick: int, code: int) -> None:
        runner = self.world.runners[name]
        jobs = list(runner.trainers.jobs.values())
        if jobs and not runner.is_dead:
            job = jobs[pick % len(jobs)]
            if code == 0 and Permit(job.folder.permit).until > self.world.now:
                with SpoolWriter(job.folder.spool, attempt_id=job.attempt_id) as spool:
                    spool.ended(Ending(state=AttemptState.SUCCEEDED))
            runner.trainers.end(job.attempt_id, code)

    @rule(pick=st.integers(0, 9))
    def cancel(self, pick: int) -> None:
        run = self.store.runs()[pick % N_RUNS]
        if run.state is RunState.RUNNING:
            self.store.cancel([run.id], by="ada")
            self.store.requeue([run.id], by="ada")
            self.world.cancelled.add(run.label)

    @rule(seconds=st.sampled_from([-3600.0, 3600.0]))
    def set_the_clock(self, seconds: float) -> None:
        now = time.time() + seconds
        time_before, time.time = time.time, lambda: now
        try:
            self.time_passes(1, 1)
        finally:
            time.time = time_before

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def every_run_has_one_holder(self) -> None:
        for run in self.store.runs():
            states = [attempt.state for attempt in self.store.attempts(run.id)]
            running = states.count(AttemptState.RUNNING)
            assert running == (run.state is RunState.RUNNING), (run.label, states)

    def check_permits(self) -> None:
        """Whoever is taken over has had no permit any more, so its trainer stood still."""
        now_held = {hold.attempt_id: hold.runner for hold in self.store.holds()}
        for attempt_id, (name, permit) in list(self.holders.items()):
            runner = self.world.runners[name]
            ended = attempt_id not in now_held or now_held[attempt_id] != name
            if ended and not runner.is_dead and attempt_id in runner.trainers.jobs:
                label = runner.trainers.jobs[attempt_id].label
                if label not in self.world.cancelled:
                    assert Permit(permit).until <= self.world.now, f"{label} trains twice"
            if ended:
                del self.holders[attempt_id]
        for name, runner in self.world.runners.items():
            for attempt_id, job in runner.trainers.jobs.items():
                if now_held.get(attempt_id) == name:
                    self.holders[attempt_id] = name, job.folder.permit

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        try:
            self.end_well()
        finally:
            for runner in self.world.runners.values():
                if not runner.is_dead:
                    runner.die()
            self.store.close()
            shutil.rmtree(self.folder)

    def end_well(self) -> None:
        """Whatever has happened, every run comes to its end once all live."""
        for name in ("one", "two"):
            self.resume(name)
            self.reach_again(name)
        for _ in range(200):
            self.time_passes(5, 1)
            for name in ("one", "two"):
                self.trainer_ends(name, 0, 0)
            if all(run.state.is_finished for run in self.store.runs()):
                return
        raise AssertionError([(run.label, run.state) for run in self.store.runs()])


def check(make_url: Callable[[], str], examples: int) -> None:
    machine = type("Machine", (LeaseMachine,), {"new_url": lambda _: make_url()})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=EVERY_HEALTH_CHECK,
            print_blob=True,
        ),
    )


def test_only_the_dead_lose_runs_on_sqlite(tmp_path: Path) -> None:
    folders = iter(range(10**6))
    check(lambda: f"sqlite:///{tmp_path}/{next(folders)}.db", few_or_many(8, 300))


@pytest.mark.timeout(3000)
def test_only_the_dead_lose_runs_on_postgresql(new_postgres_url: Callable[[], str]) -> None:
    check(new_postgres_url, few_or_many(3, 100))
