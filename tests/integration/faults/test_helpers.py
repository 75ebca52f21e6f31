"""What a trainer starts ends with it, however the trainer or one of its ancestors ends."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest

from tests.support.commands import Started
from tests.support.patience import PATIENCE_S
from tests.support.processes import servers_of, trainers_of, wait_until_none
from tests.support.projects import SLOW_STUDY, TRAINER, Project, make_project
from tests.support.thorough import few_or_many

HELPERS = """
import multiprocessing, os, subprocess, sys, time

MARK = "ablate-helper-" + os.path.basename(os.getcwd())
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)", MARK]


def nap():
    time.sleep(600)


def daemonize():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(SLEEP[0], SLEEP)
        os._exit(0)
    os.wait()


def start_helpers():
    for method in ("fork", "spawn"):
        multiprocessing.get_context(method).Process(target=nap, daemon=True).start()
    subprocess.Popen(SLEEP)
    subprocess.Popen(SLEEP, start_new_session=True)
    subprocess.Popen(["sh", "-c", '"$@" & wait', "sh", *SLEEP])
    daemonize()

"""
N_HELPERS = 6
DIGESTS = "select distinct data from events where name = 'finished' order by data"


def one(processes: list[psutil.Process], rng: random.Random) -> list[psutil.Process]:
    return [rng.choice(processes)] if processes else []


WHO: dict[str, Callable[[int, random.Random], list[psutil.Process]]] = {
    "trainer": lambda runner, rng: one(trainers_of(runner), rng),
    "runner": lambda runner, rng: [psutil.Process(runner)],
    "fork server": lambda runner, rng: servers_of(runner),
    "runner and fork server": lambda runner, rng: [psutil.Process(runner), *servers_of(runner)],
    "guardian's children": lambda runner, rng: servers_of(runner) + trainers_of(runner),
}


@pytest.fixture
def with_helpers(tmp_path):
    made = make_project(tmp_path / "with-helpers", SLOW_STUDY)
    text = TRAINER.replace("def train(", HELPERS + "\ndef train(", 1)
    text = text.replace("    step, x = 0, 1.0\n", "    start_helpers()\n    step, x = 0, 1.0\n", 1)
    made.write("toytrain.py", text)
    made.ablate("study", "create", "toy")
    return made


def n_helpers(running: Started) -> int:
    """Return how many helpers there are; more than enough when the command has ended."""
    if running.poll() is not None:
        return 1000
    n = 0
    for trainer in trainers_of(running.pid):
        with suppress(psutil.NoSuchProcess):
            n += len(trainer.children(recursive=True))
    return n


@pytest.mark.parametrize("who", WHO)
def test_nothing_is_left_behind(with_helpers: Project, calm: Project, who: str) -> None:
    project, rng = with_helpers, random.Random(who)
    for _ in range(few_or_many(1, 40)):
        running = project.start("run", "toy", "--workers", "2", "--no-mlflow")
        project.wait_for(lambda running=running: n_helpers(running) >= 2 * N_HELPERS)
        time.sleep(rng.uniform(0, 1))
        if running.poll() is None:
            for process in WHO[who](running.pid, rng):
                with suppress(psutil.NoSuchProcess):  # some end with the one before
                    process.kill()
        if "runner" in who:
            running.wait(PATIENCE_S)
        else:
            assert running.wait(PATIENCE_S) == 0
        wait_until_none(project.folder)
        if project.rows("select count(*) from runs where state = 'succeeded'") == [(4,)]:
            project.ablate("retry", "--fresh", "toy/slow-s0", "toy/slow-s1")

    project.ablate("run", "toy", "--workers", "2")
    assert project.rows(DIGESTS) == calm.rows(DIGESTS)
    wait_until_none(project.folder)


def test_helpers_end_with_a_run_that_ends_well(with_helpers: Project, calm: Project) -> None:
    with_helpers.ablate("run", "toy", "--workers", "2")

    wait_until_none(with_helpers.folder)
    assert with_helpers.rows(DIGESTS) == calm.rows(DIGESTS)
