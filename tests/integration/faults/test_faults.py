"""SIGKILL in the middle of writes: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ablate.store import open_store
from tests.support.faulty import METRICS, FaultyProject, copy_of, make_project
from tests.support.thorough import few_or_many

SIGKILLED = -9


def sample(calls: Counter[str], n: int, seed: int) -> list[str]:
    """Return kills at ``n`` of the places that were counted, each point in turn."""
    rng = random.Random(seed)
    places = {point: list(range(1, count + 1)) for point, count in calls.items()}
    chosen: list[str] = []
    while len(chosen) < n and any(places.values()):
        for point in sorted(point for point, left in places.items() if left):
            number = places[point].pop(rng.randrange(len(places[point])))
            chosen.append(f"{point}:{rng.choice(('kill', 'killed-after'))}@{number}")
    return chosen[:n]


class Figures:
    """Counts what was tried, for whoever runs the tests with ``-rP``."""

    def __init__(self) -> None:
        self._kills: Counter[str] = Counter()
        self._points = 0
        self.missed = 0
        """Runs that ended before their fault came."""

    def add(self, fault: str, project: FaultyProject) -> None:
        self._kills[fault.partition("@")[0]] += 1
        self._points += len(project.acknowledged())

    @property
    def kills(self) -> int:
        return self._kills.total()

    def tell(self) -> None:
        print(f"{self.kills} kills, {self._points} acknowledged points, all stored once")
        for point, count in sorted(self._kills.items()):
            print(f"{count:4} {point}")


@pytest.fixture
def figures() -> Iterator[Figures]:
    """Return figures to add to; they are told at the end."""
    made = Figures()
    yield made
    made.tell()


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> FaultyProject:
    return make_project(tmp_path_factory.mktemp("planned") / "project")


@pytest.fixture(scope="module")
def calm(planned: FaultyProject, tmp_path_factory: pytest.TempPathFactory) -> FaultyProject:
    """A project whose run was never disturbed."""
    made = copy_of(planned, tmp_path_factory.mktemp("calm") / "project")
    assert made.run() == 0
    return made


def strike(project, calm, fault, figures, *, executor="inline") -> None:
    """Kill a run at a call, and run again.

    How often it stores depends on the machine's speed, so it may end before that call.
    """
    code = project.run(executor, faults=fault)
    assert code in (SIGKILLED, 0), fault
    assert project.run(executor) == 0, fault
    project.check_whole(calm)
    if code == SIGKILLED:
        figures.add(fault, project)
    else:
        figures.missed += 1


def test_killed_in_one_process_with_its_runner(planned, calm, figures, tmp_path: Path) -> None:
    counted = copy_of(planned, tmp_path / "counted").calls()
    for number, fault in enumerate(sample(counted, few_or_many(12, 120), seed=1)):
        project = copy_of(planned, tmp_path / str(number))
        strike(project, calm, fault, figures)
    assert figures.kills > figures.missed


def test_killed_trainer_is_tried_again(planned, calm, figures, tmp_path: Path) -> None:
    counted = copy_of(planned, tmp_path / "counted").calls("local")
    for number, fault in enumerate(sample(counted, few_or_many(4, 40), seed=2)):
        project = copy_of(planned, tmp_path / str(number))
        assert project.run("local", of_trainer=fault) == 0, fault
        project.check_whole(calm)
        killed = project.rows("SELECT exit_code FROM attempts WHERE state = 'lost'")
        assert killed == [(SIGKILLED,)], fault
        figures.add(fault, project)


def test_killed_runner_takes_its_trainer_along(planned, calm, figures, tmp_path: Path) -> None:
    counted = copy_of(planned, tmp_path / "counted").calls()
    of_database = Counter({p: n for p, n in counted.items() if p.startswith("sqlite3:")})
    for number, fault in enumerate(sample(of_database, few_or_many(2, 25), seed=3)):
        project = copy_of(planned, tmp_path / str(number))
        strike(project, calm, fault, figures, executor="local")


def test_killed_writing_to_a_server(calm, new_postgres_url, figures, tmp_path: Path) -> None:
    counted = make_project(tmp_path / "counted", new_postgres_url()).calls()
    of_database = Counter({p: n for p, n in counted.items() if p.startswith("psycopg:")})
    for number, fault in enumerate(sample(of_database, few_or_many(4, 30), seed=4)):
        project = make_project(tmp_path / str(number), new_postgres_url())
        strike(project, calm, fault, figures)
    assert figures.kills > figures.missed


@pytest.mark.parametrize(
    "fault",
    [
        "os:write:ENOSPC@5-9",
        "os:fdatasync:EDQUOT@2-3",
        "os:fsync:ENOSPC@3",
        "pathlib:Path.write_text:ENOSPC@1",
        "pathlib:Path.write_text:ENOSPC@2-4",
    ],
)
def test_disk_that_is_full_for_a_while_is_waited_for(planned, calm, tmp_path, fault) -> None:
    project = copy_of(planned, tmp_path / "project")

    assert project.run(faults=fault) == 0

    project.check_whole(calm)
    assert project.rows("SELECT count(*) FROM attempts") == [(1,)]
    assert [path.name for path in project.folder.rglob("*.tmp")] == []


def test_damaged_spool_fails_its_run_and_a_retry_goes_on(planned, calm, tmp_path: Path) -> None:
    project = copy_of(planned, tmp_path / "project")
    assert project.run(faults="os:write:killed-after@32") == SIGKILLED
    [(stored,)] = project.rows("SELECT spool_offset FROM attempts")
    (spool,) = project.folder.rglob("spool")
    data = bytearray(spool.read_bytes())
    data[stored + 30] ^= 1
    spool.write_bytes(data)

    assert project.run() == 0

    [(state, reason)] = project.rows("SELECT state, reason FROM runs")
    assert (state, "is damaged at byte" in reason) == ("failed", True)
    with closing(open_store(project.url)) as store:
        store.requeue([store.runs("toy")[0].id], by="ada")
    assert project.run() == 0
    assert project.rows("SELECT state FROM runs") == [("succeeded",)]
    assert project.rows(METRICS) == calm.rows(METRICS)
