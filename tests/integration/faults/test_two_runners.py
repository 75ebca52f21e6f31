"""Two runners on one study: only the dead lose their runs, whatever happens to who lives."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from ablate.store import open_store
from ablate.store.schema.engine import connect, reading
from tests.support.commands import Started
from tests.support.patience import PATIENCE_S, slowness
from tests.support.processes import servers_of, trainers_of, whole_tree
from tests.support.projects import STUDY, Project, environment, kill, make_project, size_of
from tests.support.servers import lock
from tests.support.thorough import few_or_many

LEASE_S = few_or_many(2.0, 30.0)
OUTAGES_S = few_or_many((5.0,), (10.0, 45.0, 120.0))
SUSPENDED_S = few_or_many(5.0, 90.0)
STEPS = 200
# The first two runs last until the second runner has started.
STEP_S = few_or_many(0.05 * max(1.0, slowness() / 2), 0.9)
STUDY_2 = STUDY.replace("sleep_s: 0", f"sleep_s: {STEP_S}")
POINTS = "select variant, seed, key, step, value, kind from run_metrics order by 1, 2, 3, 4"
ELSEWHERE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Begins a command in a pid namespace of its own, as containers do."""


class Pair:
    """A study, and runners at work on it."""

    def __init__(self, project: Project, url: str) -> None:
        self.project = project
        self.url = url
        self.runners: list[Started | subprocess.Popen[bytes]] = []
        project.ablate("--db", url, "study", "create", "toy")

    def start(
        self, *arguments: str, before: Sequence[str] = (), **variables: str
    ) -> Started | subprocess.Popen[bytes]:
        command = ["--db", self.url, "run", "toy", "--workers", "2", *arguments]
        variables = {"ABLATE_LEASE_S": str(LEASE_S), **variables}
        output = f"output-{len(self.runners)}.txt"
        if before:
            started = self._start_behind(before, command, variables, output)
        else:
            started = self.project.start(*command, output=output, **variables)
        self.runners.append(started)
        return started

    def _start_behind(
        self, before: Sequence[str], command: list[str], variables: dict[str, str], output: str
    ) -> subprocess.Popen[bytes]:
        """Start a runner by a program that changes what it sees."""
        with (self.project.folder / output).open("ab") as file:
            return subprocess.Popen(
                [*before, *self.project.command(*command)],
                cwd=self.project.folder,
                env={**environment(), **variables},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def output(self, number: int) -> str:
        return (self.project.folder / f"output-{number}.txt").read_text()

    def rows(self, query: str) -> list[tuple]:
        with closing(connect(self.url, read_only=True)) as database, reading(database) as opened:
            return [tuple(row) for row in opened.execute(text(query))]

    def wait_for_step(self, step: int, n_runs: int = 4) -> None:
        query = f"select count(*) from attempts where state = 'running' and last_step >= {step}"
        self.project.wait_for(lambda: self.rows(query)[0][0] >= n_runs)

    def check_whole(self, calm: Project, *, n_lost: int = 0) -> None:
        """Hold what is stored against a study that nobody disturbed, and against the spools."""
        for number, runner in enumerate(self.runners):
            assert runner.wait(PATIENCE_S) == 0, self.output(number)
        assert self.rows(POINTS) == calm.rows(POINTS)
        lost = "select count(*) from attempts where state <> 'succeeded'"
        assert self.rows(lost) == [(n_lost,)]
        with closing(open_store(self.url, read_only=True)) as store:
            for run in store.runs("toy"):
                for attempt in store.attempts(run.id):
                    folder = self.project.folder / ".ablate" / "runs" / run.id
                    spool = folder / f"attempt-{attempt.number}" / "spool"
                    assert attempt.spool_offset == size_of(spool)


@pytest.fixture(params=few_or_many(["sqlite"], ["sqlite", "postgresql"]))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    project = make_project(tmp_path / "project", STUDY_2)
    url = f"sqlite:///{project.folder}/.ablate/ablate.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    made = Pair(project, url)
    yield made
    for runner in made.runners:
        if runner.poll() is None:
            kill(runner)


@pytest.fixture
def elsewhere() -> tuple[str, ...]:
    """The start of a command in another pid namespace."""
    if shutil.which("unshare") is None or os.getuid() != 0:
        pytest.skip("needs the right to make a pid namespace")
    if subprocess.run([*ELSEWHERE, "true"], capture_output=True).returncode != 0:
        pytest.skip("pid namespaces cannot be made here")
    return ELSEWHERE


@pytest.mark.parametrize("seconds", OUTAGES_S)
@pytest.mark.parametrize("is_elsewhere", few_or_many([True], [False, True]))
def test_locked_database_steals_nothing_from_the_living(
    pair: Pair, calm: Project, request: pytest.FixtureRequest, seconds: float, is_elsewhere: bool
) -> None:
    before = request.getfixturevalue("elsewhere") if is_elsewhere else ()
    pair.start()
    pair.start(before=before)
    pair.wait_for_step(10)

    lock(pair.url, seconds)

    pair.check_whole(calm)
    assert "taken over" not in pair.output(0) + pair.output(1)


@pytest.mark.parametrize("shift", ["+1h", "-1h"])
def test_clock_that_is_wrong_steals_nothing(pair: Pair, calm: Project, shift: str) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("needs faketime")
    pair.start()
    pair.start(before=["faketime", "-f", shift])

    pair.check_whole(calm)


def test_runner_in_another_pid_namespace_steals_nothing(
    pair: Pair, calm: Project, elsewhere: tuple[str, ...]
) -> None:
    pair.start()
    pair.wait_for_step(5, n_runs=2)
    pair.start(before=elsewhere)

    pair.check_whole(calm)


SUSPENDED: dict[str, Callable[[int], list[psutil.Process]]] = {
    "runner": lambda runner: [psutil.Process(runner)],
    "trainer": lambda runner: trainers_of(runner)[:1],
    "fork server": servers_of,
    "all": whole_tree,
}


@pytest.mark.parametrize("who", few_or_many(["runner", "fork server"], list(SUSPENDED)))
def test_who_is_suspended_loses_nothing_to_a_runner_of_this_machine(
    pair: Pair, calm: Project, who: str
) -> None:
    first = pair.start()
    pair.wait_for_step(10, n_runs=2)
    pair.start()
    pair.wait_for_step(5)

    stopped = SUSPENDED[who](first.pid)
    for process in stopped:
        process.suspend()
    time.sleep(SUSPENDED_S)
    for process in stopped:
        process.resume()

    pair.check_whole(calm)


def test_trainer_of_a_suspended_runner_stops_and_keeps_what_others_need(
    pair: Pair, calm: Project, elsewhere: tuple[str, ...]
) -> None:
    first = pair.start()
    pair.wait_for_step(60, n_runs=2)
    first.send_signal(signal.SIGSTOP)
    time.sleep(LEASE_S + 1)
    logged = spool_sizes(pair.project)
    kept = checkpoints(pair.project)
    time.sleep(1)
    assert spool_sizes(pair.project) == logged, "it trains on although its runner is not heard of"

    pair.start(before=elsewhere)
    pair.project.wait_for(lambda: "taken over" in pair.output(1), timeout_s=4 * LEASE_S)
    assert kept <= checkpoints(pair.project)
    first.send_signal(signal.SIGCONT)

    pair.check_whole(calm, n_lost=2)
    assert pair.output(0).count("cancelled, or taken over by another") == 2


def spool_sizes(project: Project) -> dict[Path, int]:
    spools = project.folder.glob(".ablate/runs/*/attempt-*/spool")
    return {path: path.stat().st_size for path in spools}


def checkpoints(project: Project) -> set[Path]:
    return set(project.folder.glob(".ablate/runs/*/attempt-1/checkpoints/*"))
