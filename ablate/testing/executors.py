"""The contract of an executor as a suite of tests, for our executors and for those of others.

Subclass `ExecutorContract` and give it a fixture ``make_executor``: a function from an
`ExecutorRequest` to an executor that is not open yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ablate.attempt.job import Job
from ablate.attempt.permit import Permit, clock
from ablate.attempt.runners import Life, life_of
from ablate.domain import AttemptState
from ablate.errors import UsageError
from ablate.execution.executors.base import Executor, ExecutorRequest, Preparation
from ablate.spool.batch import Ending
from ablate.spool.folders import AttemptFolder, RunFolder
from ablate.spool.spool import SpoolReader

MakeExecutor = Callable[[ExecutorRequest], Executor]

_PATIENCE_S = 120.0
"""A machine under load starts an interpreter in seconds; one that never does is a fault."""
_LONG: dict[str, Any] = {"steps": 100_000, "pause_s": 0.01}
"""An attempt that is still at work whenever a test looks."""


class ExecutorContract:
    """Every sentence of `ablate.execution.executors.base` that a test can hold an executor to."""

    @pytest.fixture
    def make_executor(self) -> MakeExecutor:
        """Return what makes the executor of a request."""
        raise NotImplementedError("a subclass says how")

    @pytest.fixture
    def executor(self, make_executor: MakeExecutor, tmp_path: Path) -> Iterator[Executor]:
        """Open an executor for one attempt at a time, on the CPU."""
        with opened(make_executor(ExecutorRequest(workers=1, device="cpu")), tmp_path) as made:
            yield made

    def test_an_attempt_runs_to_its_end_and_is_told_once(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        """What it did is in its spool."""
        job = job_for(executor, tmp_path, steps=3)

        executor.start(job, lambda: None)

        assert ended(executor, 1) == [job.attempt_id]
        assert executor.poll(0) == []
        assert logged(job) == [1.0, 2.0, 3.0]
        assert ending_of(job).state is AttemptState.SUCCEEDED

    def test_attempts_one_after_the_other_are_told_apart(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        """Each by its own id, with a spool of its own."""
        for number in (1, 2):
            job = job_for(executor, tmp_path, number=number, steps=number)
            executor.start(job, lambda: None)

            assert ended(executor, 1) == [job.attempt_id]
            assert len(logged(job)) == number

    def test_a_trainer_that_raises_fails_its_attempt_alone(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        """The executor goes on."""
        bad = job_for(executor, tmp_path, steps=5, raise_at=2)
        good = job_for(executor, tmp_path, number=2, steps=2)
        executor.start(bad, lambda: None)
        ended(executor, 1)

        executor.start(good, lambda: None)

        assert ended(executor, 1) == [good.attempt_id]
        assert ending_of(bad).state is AttemptState.FAILED
        assert "asked to fail" in (ending_of(bad).reason or "")
        assert ending_of(good).state is AttemptState.SUCCEEDED

    def test_an_attempt_that_is_asked_to_stop_saves_and_pauses(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        """At its next step; what it saved is in its spool."""
        job = job_for(executor, tmp_path, **_LONG)

        run_until_begun(executor, [job], lambda: executor.stop(job.attempt_id, now=False))

        assert ended(executor, 1) == [job.attempt_id]
        assert ending_of(job).state is AttemptState.PAUSED
        assert 0 < len(logged(job)) < 100_000
        with SpoolReader(job.folder.spool) as reader:
            assert len(reader.read().checkpoints) == 1

    def test_an_attempt_is_ended_at_once(self, executor: Executor, tmp_path: Path) -> None:
        """It leaves no ending, or that of a process that was ended, and saves nothing."""
        job = job_for(executor, tmp_path, **_LONG)

        with suppress(KeyboardInterrupt):  # one that blocks leaves in this way
            run_until_begun(executor, [job], lambda: executor.stop(job.attempt_id, now=True))
            ended(executor, 1)

        with SpoolReader(job.folder.spool) as reader:
            batch = reader.read()
        assert batch.checkpoints == ()
        assert batch.ending is None or batch.ending.state is not AttemptState.SUCCEEDED

    def test_slots_are_given_out_once(self, executor: Executor) -> None:
        """And given out again when they were given back."""
        slots = executor.slots
        taken = [slots.take() for _ in range(slots.number)]

        assert slots.take() is None
        assert not slots.is_idle
        assert sorted(slot for slot in taken if slot is not None) == list(range(slots.number))
        assert all(slots.binding(slot or 0).threads >= 1 for slot in taken)
        for slot in taken:
            slots.give_back(slot or 0)
        assert slots.is_idle
        assert slots.take() is not None

    def test_slots_are_never_all_taken_away(self, executor: Executor) -> None:
        """Where memory is short less runs at once, but something does."""
        first = executor.slots.take()
        assert first is not None

        assert executor.slots.run_less() >= 1

        executor.slots.give_back(first)
        assert executor.slots.take() is not None

    def test_an_attempt_runs_in_the_projects_folder_on_what_its_slot_is_bound_to(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        """Whatever the folder in which the command was typed."""
        job = job_for(executor, tmp_path, train="ablate.testing.trainers:whereabouts", steps=1)

        executor.start(job, lambda: None)
        ended(executor, 1)

        where = (job.run_dir / "files" / "where.txt").read_text(encoding="utf-8").splitlines()
        assert where == [str(tmp_path / "project"), str(job.threads), "cpu"]

    def test_asking_for_stacks_harms_nothing(self, executor: Executor, tmp_path: Path) -> None:
        """The attempt runs on."""
        job = job_for(executor, tmp_path, steps=30, pause_s=0.01)

        run_until_begun(executor, [job], lambda: executor.dump(job.attempt_id))

        assert ended(executor, 1) == [job.attempt_id]
        assert ending_of(job).state is AttemptState.SUCCEEDED

    def test_nothing_outlives_it(self, make_executor: MakeExecutor, tmp_path: Path) -> None:
        """Whoever is running when it is closed."""
        executor = make_executor(ExecutorRequest(workers=1, device="cpu"))
        job = job_for(executor, tmp_path, **_LONG)
        with opened(executor, tmp_path), suppress(KeyboardInterrupt):
            run_until_begun(executor, [job], _leave)

        name = job.folder.process.read_text(encoding="utf-8")
        is_ours = name.split("/")[2] == str(os.getpid())
        assert is_ours or life_of(name) is Life.DEAD

    def test_as_many_run_at_once_as_there_are_slots(
        self, make_executor: MakeExecutor, tmp_path: Path
    ) -> None:
        """Each is told apart when it ends."""
        with opened(make_executor(ExecutorRequest(workers=2, device="cpu")), tmp_path) as executor:
            slots = range(executor.slots.number)
            jobs = [
                job_for(executor, tmp_path, slot=slot, number=slot + 1, **_LONG) for slot in slots
            ]

            run_until_begun(
                executor, jobs, lambda: [executor.stop(job.attempt_id, now=False) for job in jobs]
            )

            assert sorted(ended(executor, len(jobs))) == [job.attempt_id for job in jobs]
        assert {ending_of(job).state for job in jobs} == {AttemptState.PAUSED}

    def test_nothing_outlives_an_owner_that_is_killed(
        self, make_executor: MakeExecutor, tmp_path: Path
    ) -> None:
        """However it dies. For this test ``make_executor`` has to be picklable, as a class is."""
        owner = get_context("forkserver").Process(target=_own, args=(make_executor, tmp_path))
        owner.start()
        attempt = RunFolder(tmp_path / "runs" / "run1").attempt(1)
        wait_until(lambda: attempt.process.exists() and has_begun(attempt))

        owner.kill()
        owner.join()

        name = attempt.process.read_text(encoding="utf-8")
        wait_until(lambda: life_of(name) is Life.DEAD)

    def test_it_can_be_closed_without_having_been_opened(self, make_executor: MakeExecutor) -> None:
        """As where something else goes wrong before."""
        make_executor(ExecutorRequest(device="cpu")).close()

    def test_what_it_cannot_do_is_refused_before_anything_starts(
        self, make_executor: MakeExecutor
    ) -> None:
        """With an error that names what was asked for."""
        with pytest.raises(UsageError, match="tpu"):
            make_executor(ExecutorRequest(device="tpu"))


@contextmanager
def opened(executor: Executor, folder: Path) -> Generator[Executor]:
    """Open an executor in a project below a folder; close it at the end."""
    project = folder / "project"
    project.mkdir(exist_ok=True)
    try:
        executor.open(Preparation(folder=project))
        yield executor
    finally:
        executor.close()


def job_for(
    executor: Executor,
    folder: Path,
    *,
    number: int = 1,
    slot: int = 0,
    train: str = "ablate.testing.trainers:counting",
    **config: Any,
) -> Job:
    """Return the job of a new attempt, written and permitted as a scheduler does it."""
    binding = executor.slots.binding(slot)
    job = Job(
        attempt_id=number,
        attempt=1,
        label=f"run{number}-s0",
        run_dir=folder / "runs" / f"run{number}",
        project=None,
        train=train,
        config=config,
        seed=0,
        device=binding.device,
        gpus=binding.gpus,
        threads=binding.threads,
        guards=(),
        gates=(),
        step_limit=None,
        resume_from=(),
    )
    job.write()
    Permit(job.folder.permit).extend(clock() + _PATIENCE_S)
    return job


def run_until_begun(executor: Executor, jobs: Sequence[Job], act: Callable[[], object]) -> None:
    """Start attempts, and act once all have logged; whether `start` blocks or not."""
    acted = False

    def on_step() -> None:
        nonlocal acted
        if not acted and all(has_begun(job.folder) for job in jobs):
            acted = True
            act()

    def have_acted() -> bool:
        on_step()
        return acted

    for job in jobs:
        executor.start(job, on_step)
    wait_until(have_acted)


def wait_until(is_true: Callable[[], bool]) -> None:
    """Return once it is true; half of our patience, so that no permit ends meanwhile."""
    deadline = time.monotonic() + _PATIENCE_S / 2
    while not is_true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def has_begun(attempt: AttemptFolder) -> bool:
    """Whether an attempt has logged anything."""
    if not attempt.spool.exists():
        return False
    with SpoolReader(attempt.spool) as reader:
        return next(iter(reader.read().points), None) is not None


def ended(executor: Executor, number: int) -> list[int]:
    """Return the attempts that ended, once there are so many."""
    found: list[int] = []
    deadline = time.monotonic() + _PATIENCE_S
    while len(found) < number:
        assert time.monotonic() < deadline, "the attempt never ended"
        found += [exited.attempt_id for exited in executor.poll(0.05)]
    return found


def logged(job: Job) -> list[float]:
    """Return what an attempt has logged, in its order."""
    with SpoolReader(job.folder.spool) as reader:
        return [point.value for point in reader.read().points]


def ending_of(job: Job) -> Ending:
    """Return the ending that an attempt has left in its spool."""
    with SpoolReader(job.folder.spool) as reader:
        found = reader.read().ending
    assert found is not None, "its spool says nothing of its end"
    return found


def _own(make_executor: MakeExecutor, folder: Path) -> None:
    """Be the process that owns an executor, with an attempt at work, until it is killed."""
    with opened(make_executor(ExecutorRequest(workers=1, device="cpu")), folder) as executor:
        executor.start(job_for(executor, folder, **_LONG), lambda: None)
        while True:
            time.sleep(1)


def _leave() -> None:
    raise KeyboardInterrupt
