"""`ablate run` from the outside: processes, signals, the database."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.support.patience import PATIENCE_S
from tests.support.processes import trainers_of
from tests.support.projects import (
    DIGESTS,
    POINTS,
    SLOW_STUDY,
    STUDY,
    TRAINER,
    Project,
    kill,
    make_project,
)


def test_three_sentences_work_with_a_trainer_of_the_users(project: Project) -> None:
    project.ablate("study", "create", "toy")
    project.ablate("run", "--workers", "8")
    table = project.ablate("compare", "slow", "fast")

    assert "At step 200, 4 runs" in table
    assert "fast is better than slow" in table
    states = project.rows("select distinct state from runs")
    assert states == [("succeeded",)]


def test_running_again_trains_nothing_and_compares_to_the_same_bytes(project: Project) -> None:
    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", "--workers", "2")
    first = project.ablate("compare", "--study", "toy", "--format", "json")

    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", "--workers", "2")

    assert project.ablate("compare", "--study", "toy", "--format", "json") == first
    assert project.rows("select count(*) from attempts") == [(4,)]


def test_inline_and_local_executors_log_the_same(project: Project, calm: Project) -> None:
    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", "--executor", "inline")

    assert project.rows(POINTS) == calm.rows(POINTS)


@pytest.mark.parametrize("round_", range(3))
def test_sigkill_of_a_trainer_loses_and_doubles_nothing(
    slow: Project, calm: Project, round_: int
) -> None:
    running = slow.start("run", "toy", "--workers", "2")
    reached = f"select 1 from points where step >= {60 + 45 * round_}"
    slow.wait_for(lambda: bool(trainers_of(running.pid)))
    slow.wait_for(lambda: bool(slow.rows(reached)))
    trainers_of(running.pid)[0].kill()

    assert running.wait(PATIENCE_S) == 0
    assert slow.rows(POINTS) == calm.rows(POINTS)
    assert slow.rows(DIGESTS) == calm.rows(DIGESTS)
    assert slow.rows("select count(*) from attempts where state = 'lost'") == [(1,)]


def test_sigkill_of_ablate_run_is_repaired_by_the_next(slow: Project, calm: Project) -> None:
    running = slow.start("run", "toy", "--workers", "2")
    slow.wait_for(lambda: bool(slow.rows("select 1 from points where step >= 70")))
    below = psutil.Process(running.pid).children(recursive=True)
    kill(running)
    _, alive = psutil.wait_procs(below, timeout=PATIENCE_S)

    assert alive == [], "trainers outlived their runner"
    slow.ablate("run", "toy", "--workers", "2")
    assert slow.rows(POINTS) == calm.rows(POINTS)
    assert slow.rows(DIGESTS) == calm.rows(DIGESTS)
    assert slow.rows("select distinct state from runs") == [("succeeded",)]


KILLS_WHO_IMPORTS_IT = """
import os, pathlib, signal

times = pathlib.Path("times")
times.write_text(times.read_text()[1:])
if times.stat().st_size:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def with_killer(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A study with a package that kills who imports it, as often as a file there is long."""
    packages = Project(tmp_path_factory.mktemp("installed") / "site-packages")
    packages.write("killer.py", KILLS_WHO_IMPORTS_IT)
    monkeypatch.setenv("PYTHONPATH", str(packages.folder))
    project.write("studies/toy.yaml", STUDY + "preload: [killer]\n")
    project.ablate("study", "create", "toy")
    return project


def test_fork_server_that_dies_while_it_imports_is_started_again(
    with_killer: Project, calm: Project
) -> None:
    times = with_killer.write("times", "xxxx")

    with_killer.ablate("run", "toy", "--workers", "2")

    assert times.read_text() == ""
    assert with_killer.rows(POINTS) == calm.rows(POINTS)


def test_fork_server_that_dies_of_what_it_imports_is_an_error(with_killer: Project) -> None:
    with_killer.write("times", "x" * 100)

    told = with_killer.ablate("run", "toy", "--workers", "2", code=1)

    assert "the fork server died 4 times while it imported the trainer" in told
    assert "--executor inline" in told


def test_every_acknowledged_point_of_a_killed_run_reaches_the_database(project: Project) -> None:
    project.write("studies/toy.yaml", SLOW_STUDY.replace("seeds: 2", "seeds: 1"))
    project.ablate("study", "create", "toy")
    running = project.start("run", "toy", "--only", "slow", "--workers", "1")
    project.wait_for(lambda: bool(project.rows("select 1 from points where step >= 80")))
    trainer = trainers_of(running.pid)[0]
    trainer.suspend()  # what it logged until here is acknowledged
    [(run_id,)] = project.rows("select id from runs where state = 'running'")
    spool = project.folder / ".ablate" / "runs" / run_id / "attempt-1" / "spool"
    acknowledged = last_step_of(spool)
    os.kill(running.pid, signal.SIGKILL)
    trainer.kill()
    running.wait(PATIENCE_S)

    project.ablate("run", "toy", "--only", "slow")

    [(count, last)] = project.rows(
        "select count(*), max(step) from points join series on series.id = series_id "
        "join attempts on attempts.id = attempt_id join metric_keys on metric_keys.id = key_id "
        "where number = 1 and metric_keys.name = 'train/loss/total'"
    )
    assert (count, last) == (acknowledged + 1, acknowledged)


def last_step_of(spool: Path) -> int:
    from ablate.spool.spool import SpoolReader

    with SpoolReader(spool) as reader:
        return max(log.step for log in reader.read(10**6).logs)


def test_ctrl_c_pauses_and_the_next_run_carries_on(slow: Project, calm: Project) -> None:
    running = slow.start("run", "toy", "--workers", "2")
    slow.wait_for(lambda: bool(slow.rows("select 1 from points where step >= 70")))

    assert kill(running, signal.SIGINT) == 130
    assert slow.rows("select count(*) from runs where state = 'running'") == [(0,)]
    assert slow.rows("select count(*) from attempts where state = 'paused'") == [(2,)]
    slow.ablate("run", "toy", "--workers", "2")
    assert slow.rows(POINTS) == calm.rows(POINTS)
    assert slow.rows(DIGESTS) == calm.rows(DIGESTS)


def test_sigterm_exits_with_143(slow: Project) -> None:
    running = slow.start("run", "toy", "--workers", "1")
    slow.wait_for(lambda: bool(slow.rows("select 1 from points")))

    assert kill(running, signal.SIGTERM) == 143


def test_a_second_ctrl_c_ends_at_once_and_leaves_the_runs_queued(project: Project) -> None:
    stubborn = STUDY.replace("sleep_s: 0", "sleep_s: 300")
    project.write("studies/toy.yaml", stubborn)
    project.ablate("study", "create", "toy")
    running = project.start("run", "toy", "--workers", "2")
    project.wait_for(lambda: bool(project.rows("select 1 from points")))
    running.send_signal(signal.SIGINT)

    with pytest.raises(Exception, match="timed out"):
        running.wait(1)
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE_S) == 130
    assert project.rows("select distinct state from runs") == [("queued",)]


def test_steps_pauses_runs_and_a_later_run_finishes_them(project: Project, calm: Project) -> None:
    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", "--steps", "60")

    assert project.rows("select max(step) from points") == [(60,)]
    assert project.rows("select distinct state from runs") == [("queued",)]
    assert json.loads(project.ablate("compare", "--format", "json"))["at_step"] == 60
    project.ablate("run", "toy", "--steps", "60")
    assert project.rows("select count(*) from attempts") == [(4,)]
    project.ablate("run", "toy")
    assert project.rows(POINTS) == calm.rows(POINTS)


@pytest.mark.parametrize("limit", [(), ("--steps", "200")])
def test_trainer_that_is_asked_to_stop_at_its_last_step_comes_to_its_end_later(
    project: Project, calm: Project, limit: tuple[str, ...]
) -> None:
    logged = "        if step == config.get"
    asked = "        if step == 200 and not state: os.kill(os.getpid(), signal.SIGTERM)\n"
    project.write("toytrain.py", TRAINER.replace(logged, asked + logged, 1))
    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", *limit)

    project.ablate("run", "toy", *limit)

    assert project.rows("select state, count(*) from runs group by 1") == [("succeeded", 4)]
    assert project.rows(POINTS) == calm.rows(POINTS)
    assert project.rows(DIGESTS) == calm.rows(DIGESTS)


def test_a_trainers_exception_fails_the_run_and_is_kept(project: Project) -> None:
    project.write("studies/toy.yaml", STUDY.replace("set: {lr: 0.1}", "set: {raise_at: 5}"))
    project.ablate("study", "create", "toy")

    project.ablate("run", "toy", code=1)

    assert project.rows("select distinct reason from runs where state = 'failed'") == [
        ("RuntimeError: boom [/red] <b>",)
    ]
    assert "in train\n    raise RuntimeError" in project.ablate("logs", "fast-s0")
    again = project.ablate("run", "toy", code=1)
    assert again.splitlines()[-3:] == [
        "nothing to run: 2 succeeded, 2 failed",
        "why: ablate logs fast-s0",
        "next: ablate retry fast-s0 fast-s1",
    ]
    project.ablate("run", "toy", "--only", "slow")
    project.ablate("retry", "fast")
    assert project.rows("select count(*) from runs where state = 'queued'") == [(2,)]
    project.ablate("cancel", "fast-s0")
    assert project.rows("select count(*) from runs where state = 'cancelled'") == [(1,)]


def test_a_process_that_keeps_dying_is_failed_in_the_end(project: Project) -> None:
    project.write("studies/toy.yaml", STUDY.replace("set: {lr: 0.1}", "set: {die_at: 5}"))
    project.ablate("study", "create", "toy")

    project.ablate("run", "toy", "--only", "fast", code=1)

    [(reason,), _] = project.rows("select reason from runs where state = 'failed'")
    assert reason == "its process was killed by signal 9, in 3 attempts"


def test_a_stopping_guard_ends_the_run_at_the_same_step_after_a_resume(project: Project) -> None:
    guard = "guards: {low: {when: 'train/audio/rms < 0.05', for: 10, do: stop}}\n"
    project.write("studies/toy.yaml", STUDY + guard)
    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", "--only", "fast", "--steps", "20")
    project.ablate("run", "toy", "--only", "fast")
    resumed = project.rows("select reason from runs where state = 'stopped' order by seed")

    calm = make_project(project.folder / "calm", STUDY + guard)
    calm.ablate("study", "create", "toy")
    calm.ablate("run", "toy", "--only", "fast")

    assert len(resumed) == 2
    assert resumed == calm.rows("select reason from runs where state = 'stopped' order by seed")


def test_two_runners_share_the_queue_and_run_nothing_twice(project: Project) -> None:
    project.write("studies/toy.yaml", STUDY.replace("seeds: 2", "seeds: 6"))
    project.ablate("study", "create", "toy")
    both = [project.start("run", "toy", "--workers", "2") for _ in range(2)]

    assert [process.wait(PATIENCE_S) for process in both] == [0, 0]
    assert project.rows("select count(*), count(distinct run_id) from attempts") == [(12, 12)]


def test_a_fresh_process_serves_each_attempt_and_threads_are_divided(project: Project) -> None:
    project.write(
        "toytrain.py",
        "import os\n"
        "def train(config, run):\n"
        "    run.event('process', 0, pid=os.getpid(), threads=run.threads, device=run.device)\n"
        "    run.log({'train/loss/total': 1.0}, 1)\n",
    )
    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", "--workers", "8", "--device", "cpu")

    seen = [json.loads(data) for (data,) in project.rows("select data from events")]
    assert len({event["pid"] for event in seen}) == 4
    assert {event["threads"] for event in seen} == {1}
    assert {event["device"] for event in seen} == {"cpu"}


def test_runs_of_several_studies_are_named_with_theirs(project: Project) -> None:
    for name, steps in (("one", 9), ("two", 10)):
        text = STUDY.replace("study: toy", f"study: {name}").replace("seeds: 2", "seeds: 1")
        text = text.replace("steps: 200", f"steps: {steps}, raise_at: 5")
        project.write(f"studies/{name}.yaml", text)
        project.ablate("study", "create", name)

    told = project.ablate("run", code=1)

    assert "start     one/fast-s0\n" in told
    assert "failed    two/slow-s0 [" in told
    hint = project.ablate("run", "two", code=1)
    assert "next: ablate retry two/slow-s0 two/fast-s0" in hint
    project.ablate("retry", "two/slow-s0", "two/fast-s0")
    states = "SELECT state, count(*) FROM runs GROUP BY 1 ORDER BY 1"
    assert project.rows(states) == [("failed", 2), ("queued", 2)]
