"""PostgreSQL goes away in the middle of things: no trainer notices, no point is lost or twice."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ablate.store import open_store
from tests.support.faulty import FaultyProject
from tests.support.faulty import make_project as make_faulty_project
from tests.support.patience import PATIENCE_S
from tests.support.projects import SLOW_STUDY, Project, make_project
from tests.support.proxy import MODES, Proxy
from tests.support.servers import restart
from tests.support.thorough import few_or_many


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
    assert running.wait(PATIENCE_S) == 0
    assert "Traceback" not in (folder / "output.txt").read_text()
    return project


def wait_for_step(url: str, step: int) -> None:
    store = open_store(url, read_only=True)
    deadline = time.monotonic() + PATIENCE_S
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


def test_restarts_of_the_server_are_waited_for(
    own_server: Any, calm: Project, tmp_path: Path
) -> None:
    ways = iter((signal.SIGINT, signal.SIGQUIT))  # "fast" and "immediate"

    own_server.psql("CREATE DATABASE ablate;")
    url = own_server.get_uri(database="ablate")
    run_disturbed(tmp_path / "project", url, lambda: restart(own_server, next(ways)), times=2)

    check_as_calm(url, calm)


TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ablate'
"""
TROUBLE_S = 2.0


def take_all_connections(url: str) -> None:
    with ExitStack() as held:
        for _ in range(3):  # it may come in between
            with suppress(psycopg.OperationalError):
                while True:
                    held.enter_context(closing(psycopg.connect(url))).execute(TERMINATE)
        time.sleep(TROUBLE_S)


def allow_no_writes(url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("ALTER DATABASE ablate SET default_transaction_read_only = on")
        connection.execute(TERMINATE)
        time.sleep(TROUBLE_S)
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER DATABASE ablate SET default_transaction_read_only = off")
        connection.execute(TERMINATE)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(take_all_connections, "too many clients"), (allow_no_writes, "read-only transaction")],
)
def test_server_that_refuses_connections_or_writes_is_waited_for(
    own_server: Any, calm: Project, tmp_path: Path, trouble: Callable[[str], None], said: str
) -> None:
    own_server.psql("CREATE DATABASE ablate;")
    own_server.psql("ALTER SYSTEM SET max_connections = 12;")
    restart(own_server, signal.SIGINT)
    url = own_server.get_uri(database="ablate")

    project = run_disturbed(tmp_path / "project", url, lambda: trouble(url), times=2)

    check_as_calm(url, calm)
    assert said in (project.folder / "output.txt").read_text()
