"""A night in small: short runs, two runners, and a fault every few seconds."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from ablate.store import open_store
from ablate.store.schema.engine import connect, reading
from ablate.testing.tracking_server import FaultyProxy
from tests.support.commands import Started
from tests.support.disks import SmallDisk, mounted
from tests.support.mirrored import in_mlflow, in_sql
from tests.support.patience import PATIENCE_S, slowness
from tests.support.processes import servers_of, trainers_of, wait_until_none, whole_tree
from tests.support.projects import (
    STUDY,
    TRAINER,
    Project,
    kill,
    make_project,
    size_of,
)
from tests.support.servers import lock, restart
from tests.support.thorough import few_or_many

pytest.importorskip("mlflow")
# Warnings are MLflow's own, about the libraries it uses.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(4000)]

N_SEEDS = few_or_many(12, 100)
EVERY_S = few_or_many(1.5, 10.0)
"""From one fault to the next."""
LASTS_S = few_or_many(2.5, 8.0)
"""How long what passes lasts: longer than a lease."""
LEASE_S = few_or_many(2.0, 5.0)
CALM = STUDY.replace("seeds: 2", f"seeds: {N_SEEDS}").replace(
    "steps: 200", f"steps: {few_or_many(100, 200)}"
)
NIGHT = CALM.replace("sleep_s: 0", f"sleep_s: 0.08, save_every: {few_or_many(10, 20)}")
NIGHT += f"stall_timeout_s: {2 * LASTS_S * slowness()}\n"
N_RUNS = 2 * N_SEEDS
HANGS = """
import threading


def hang_if_asked():
    try:
        os.rename("hang", f"hung-{os.getpid()}")
    except FileNotFoundError:
        return
    threading.Event().wait()


def train("""
KEYS = ("train/loss/total", "train/audio/rms")
POINTS = "select variant, seed, key, step, value, kind from run_metrics"
DIGESTS = "select distinct data from events where name = 'finished'"
"""Distinct: who is killed behind its last word says it again."""
HELD_BY_ANOTHER = 5
ENDS = {0, HELD_BY_ANOTHER, 128 + signal.SIGTERM, -signal.SIGKILL}
"""Exit codes of a runner that had nothing left to do, was asked to stop, or was killed."""
AT_WORK = "on 2 workers"
"""In the first line of a runner that has found something to do."""


class Night:
    """A study, two runners that are started again whenever they are gone, and what befalls them."""

    def __init__(
        self,
        project: Project,
        url: str,
        proxy: FaultyProxy,
        *,
        disk: SmallDisk | None,
        server: Any,
    ) -> None:
        self.project = project
        self.url = url
        self.proxy = proxy
        self._runners: list[Started] = []
        self._rng = random.Random(url.partition(":")[0])
        self.study = f"night-{url.partition(':')[0]}"
        self.done: Counter[str] = Counter()
        self.faults: dict[str, Callable[[], None]] = {
            "trainer killed": lambda: self._kill(lambda runner: trainers_of(runner)[:1]),
            "runner killed": lambda: self._kill(lambda runner: [psutil.Process(runner)]),
            "fork server killed": lambda: self._kill(servers_of),
            "all of a runner killed": lambda: self._kill(whole_tree),
            "trainer suspended": lambda: self._suspend(lambda runner: trainers_of(runner)[:1]),
            "runner suspended": lambda: self._suspend(lambda runner: [psutil.Process(runner)]),
            "all of a runner suspended": lambda: self._suspend(whole_tree),
            "runner asked to stop": lambda: self._one().send_signal(signal.SIGTERM),
            "trainer hangs": self._ask_for_a_hang,
            "database locked": lambda: lock(self.url, LASTS_S),
            "MLflow down": self._take_mlflow_away,
        }
        if disk:
            self.faults["disk full"] = lambda: self._fill(disk)
        if server:
            ways = (signal.SIGINT, signal.SIGQUIT)  # "fast" and "immediate"
            again = lambda: restart(server, self._rng.choice(ways))  # noqa: E731 - it is one of many
            self.faults["database restarted"] = again

    def _one(self) -> Started:
        """Return one of the runners that have not ended."""
        return self._rng.choice([runner for runner in self._runners if runner.poll() is None])

    def _kill(self, whom: Callable[[int], list[psutil.Process]]) -> None:
        for process in whom(self._one().pid):
            with suppress(psutil.NoSuchProcess):  # some end with the one before
                process.kill()

    def _suspend(self, whom: Callable[[int], list[psutil.Process]]) -> None:
        suspended = whom(self._one().pid)
        for process in suspended:
            process.suspend()
        time.sleep(LASTS_S)
        for process in suspended:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def _ask_for_a_hang(self) -> None:
        self.project.write("hang", "")

    def _take_mlflow_away(self) -> None:
        self.proxy.down()
        time.sleep(LASTS_S)
        self.proxy.up()

    def _fill(self, disk: SmallDisk) -> None:
        disk.fill()
        time.sleep(LASTS_S)
        disk.clear()

    def live_through(self) -> None:
        """Make every fault in turn, in another order each time, until no run is left."""
        order: list[str] = []
        while self._keep_two_runners():
            time.sleep(EVERY_S)
            order = order or self._rng.sample(sorted(self.faults), k=len(self.faults))
            fault = order.pop()
            # Who was chosen may have ended by itself.
            with suppress(psutil.NoSuchProcess, IndexError):
                self.faults[fault]()
                self.done[fault] += 1
        for runner in self._runners:
            assert runner.wait(PATIENCE_S) in ENDS, self.output()

    def _keep_two_runners(self) -> bool:
        """Start again what was ended; whether there are runs left."""
        gone = [runner for runner in self._runners if runner.poll() is not None]
        assert {runner.returncode for runner in gone} <= ENDS, self.output()
        self._runners = [runner for runner in self._runners if runner not in gone]
        [(left,)] = self.rows("select count(*) from runs where state in ('queued', 'running')")
        while left and len(self._runners) < 2:
            self._add_runner()
        return bool(left)

    def _add_runner(self) -> None:
        """Start a runner, and wait until it is at work: what begins in a fault is another test."""
        at_work = self.output().count(AT_WORK)
        runner = self.start("run", self.study, "--workers", "2")
        self._runners.append(runner)
        self.project.wait_for(
            lambda: self.output().count(AT_WORK) > at_work or runner.poll() is not None
        )

    def start(self, *arguments: str) -> Started:
        """Start a command that knows the database and the MLflow server."""
        return self.project.start(
            *("--db", self.url, *arguments),
            ABLATE_MLFLOW="1",
            ABLATE_MLFLOW_URI=self.proxy.url,
            ABLATE_LEASE_S=str(LEASE_S),
        )

    def output(self) -> str:
        path = self.project.folder / "output.txt"
        return path.read_text() if path.exists() else ""

    def rows(self, query: str) -> list[tuple]:
        with closing(connect(self.url, read_only=True)) as database, reading(database) as opened:
            return sorted(tuple(row) for row in opened.execute(text(query)))

    def end(self) -> None:
        for runner in self._runners:
            if runner.poll() is None:
                kill(runner)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_project(tmp_path_factory.mktemp("calm"), CALM)
    made.ablate("study", "create", "toy")
    made.ablate("run", "toy", "--executor", "inline", timeout_s=2 * PATIENCE_S)
    return made


@pytest.fixture
def mlflow(server: tuple[int, Path]) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(server[0])
    proxy.up()
    yield proxy
    proxy.down()


@pytest.fixture(params=["sqlite", "postgresql"])
def night(request: pytest.FixtureRequest, tmp_path: Path, mlflow: FaultyProxy) -> Iterator[Night]:
    project = make_project(tmp_path / "project")
    trainer = TRAINER.replace("def train(", HANGS, 1)
    project.write(
        "toytrain.py",
        trainer.replace("        step += 1\n", "        step += 1\n        hang_if_asked()\n", 1),
    )
    server, url = None, f"sqlite:///{project.folder}/.ablate/ablate.db"
    if request.param == "postgresql":
        server = request.getfixturevalue("own_server")
        server.psql("CREATE DATABASE ablate;")
        url = server.get_uri(database="ablate")
    with mounted(project.folder / ".ablate", few_or_many("32m", "256m")) as disk:
        made = Night(project, url, mlflow, disk=disk, server=server)
        project.write(f"studies/{made.study}.yaml", NIGHT.replace("toy", made.study, 1))
        project.ablate("--db", url, "study", "create", made.study)
        yield made
        made.end()


def test_every_run_ends_once_with_the_numbers_of_a_calm_night(
    night: Night, undisturbed: Project, server: tuple[int, Path]
) -> None:
    began = time.monotonic()

    night.live_through()

    print(f"{N_RUNS} runs, {time.monotonic() - began:.0f} s, {dict(night.done)}")
    assert set(night.done) == set(night.faults)
    states = "select state, count(*) from {} where state = 'succeeded' group by state"
    for table in ("runs", "attempts"):
        assert night.rows(states.format(table)) == [("succeeded", N_RUNS)]
    assert night.rows(POINTS) == sorted(undisturbed.rows(POINTS))
    assert night.rows(DIGESTS) == sorted(undisturbed.rows(DIGESTS))
    wait_until_none(night.project.folder)
    check_second_copies(night, server[1])
    assert "Traceback" not in night.output()


def check_second_copies(night: Night, mlflow: Path) -> None:
    """Hold the spools, the journal and MLflow against the database."""
    for command in (("db", "check"), ("mlflow", "sync")):
        assert night.start(*command).wait(PATIENCE_S) == 0, night.output()
    with closing(open_store(night.url, read_only=True)) as store:
        for run in store.runs(night.study):
            folder = night.project.folder / ".ablate" / "runs" / run.id
            for attempt in store.attempts(run.id):
                spool = folder / f"attempt-{attempt.number}" / "spool"
                assert attempt.spool_offset == size_of(spool)
        assert in_mlflow(mlflow, night.study) == in_sql(
            store, night.study, keys=KEYS, max_points=2000
        )
