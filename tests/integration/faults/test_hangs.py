"""Runs that hang, that run out of memory, and runners that want the same GPU."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.processes import trainers_of
from tests.support.projects import Project, environment
from tests.support.thorough import few_or_many

TRAINER = """
import os, threading, time

lock = threading.Lock()


def stuck():
    lock.acquire()
    lock.acquire()


def train(config, run):
    state = run.resume()
    step = state["step"] if state else 0
    if config["mode"] == "gpu":
        run.event("began", 0, gpu=os.environ["CUDA_VISIBLE_DEVICES"], at=time.time())
    while step < 40:
        step += 1
        run.log({"train/loss": 1.0 / step}, step)
        time.sleep(0.2 if config["mode"] == "slow" else 0.02)
        if step % 10 == 0 or run.should_stop:
            run.save(step, {"step": step})
        if run.should_stop:
            return
        if step == 25:
            if config["mode"] == "stuck" or (config["mode"] == "once" and not state):
                stuck()
            if config["mode"] == "greedy":
                taken = [b"x" * 2**24 for _ in range(100)]
            if config["mode"] == "full" and not state:
                raise type("OutOfMemoryError", (RuntimeError,), {"__module__": "torch"})("CUDA")
    if config["mode"] == "gpu":
        run.event("ended", 40, gpu=os.environ["CUDA_VISIBLE_DEVICES"], at=time.time())
"""
STUDY = """
study: toy
trainer: toytrain:train
base: {mode: fine}
stall_timeout_s: 2
phases:
  fine: {baseline: true}
  other: {set: {mode: MODE}}
seeds: SEEDS
metrics: {train/loss: min}
"""


@pytest.fixture
def with_mode(project: Project):
    def make(mode: str, seeds: int = 1) -> Project:
        project.write("toytrain.py", TRAINER)
        study = STUDY.replace("MODE", mode).replace("SEEDS", str(seeds))
        project.write("studies/toy.yaml", study)
        project.ablate("study", "create", "toy")
        return project

    return make


ATTEMPTS = """
    select attempts.state, error, start_step from attempts join run_metrics on run = run_id
    where variant = 'other' group by attempts.id order by number
"""


def test_run_that_hangs_once_goes_on_from_its_checkpoint(with_mode) -> None:
    project = with_mode("once")

    told = project.ablate("run", "toy", "--workers", "2")

    assert told == ""
    (lost, done) = project.rows(ATTEMPTS)
    assert (lost[0], done[0], done[2]) == ("lost", "succeeded", 20)
    assert lost[1].startswith("hung: nothing logged for ")
    log = project.ablate("logs", "other-s0")
    assert "in stuck" in log
    assert 'toytrain.py", line ' in log


def test_run_that_hangs_for_ever_is_failed(with_mode) -> None:
    project = with_mode("stuck")

    project.ablate("run", "toy", "--workers", "2", code=1)

    [(reason,)] = project.rows("select reason from runs where state = 'failed'")
    assert "in 3 attempts; `ablate logs` shows where" in reason
    assert project.rows("select count(*) from runs where state = 'succeeded'") == [(1,)]


def test_stopped_trainer_is_woken(with_mode) -> None:
    project = with_mode("slow")
    running = project.start("run", "toy", "--workers", "1", "--only", "other")
    project.wait_for(lambda: bool(project.rows("select 1 from points where step >= 12")))
    trainers_of(running.pid)[0].suspend()

    assert running.wait(PATIENCE_S) == 0
    assert project.rows("select state from attempts") == [("succeeded",)]


def test_status_says_how_long_a_run_has_logged_nothing(with_mode) -> None:
    project = with_mode("slow")
    running = project.start("run", "toy", "--only", "other", "--stall-timeout", "0")
    project.wait_for(lambda: bool(project.rows("select 1 from points where step >= 12")))
    trainers_of(running.pid)[0].suspend()
    time.sleep(1)  # until all that it logged is stored
    database = project.folder / ".ablate" / "ablate.db"
    with sqlite3.connect(database, timeout=30) as connection:  # it was more than a minute ago
        connection.execute("update steps set time = time - 75")

    shown = json.loads(project.ablate("status", "--format", "json"))
    for trainer in trainers_of(running.pid):
        trainer.resume()

    reasons = [row["reason"] or "" for row in shown["rows"]]
    assert any(re.fullmatch(r"no step for (7|8)\d s", reason) for reason in reasons), shown
    assert running.wait(PATIENCE_S) == 0


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program in front that answers as the driver's does on a machine with two GPUs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(folder))  # where the locks are
    assert environment()["TMPDIR"]


@pytest.mark.usefixtures("two_gpus")
def test_two_runners_share_the_gpus_of_a_machine(with_mode) -> None:
    project = with_mode("gpu", seeds=6)
    first = project.start("run", "toy", "--only", "other")
    second = project.start("run", "toy", "--only", "other")

    codes = [first.wait(PATIENCE_S), second.wait(PATIENCE_S)]
    assert set(codes) <= {0, 5}, codes  # 5 when the other was faster each time
    events = project.rows("select name, data from events where name in ('began', 'ended')")
    spans: dict[str, list[tuple[float, str]]] = {}
    for name, data in events:
        seen = json.loads(data)
        spans.setdefault(seen["gpu"], []).append((seen["at"], name))
    assert sorted(spans) == ["0", "1"]
    for times in spans.values():
        names = [name for _, name in sorted(times)]
        assert names == ["began", "ended"] * (len(names) // 2), "two at once on one GPU"


@pytest.mark.usefixtures("two_gpus")
def test_gpu_that_is_full_is_shared_by_fewer(with_mode) -> None:
    project = with_mode("full", seeds=4)

    running = project.start("run", "toy", "--only", "other", "--workers", "4")
    assert running.wait(PATIENCE_S) == 0

    told = (project.folder / "output.txt").read_text()
    assert "ran out of memory: from now on 2 runs at once" in told
    lost = "select error, exit_code from attempts where state = 'lost'"
    assert set(project.rows(lost)) == {("out of GPU memory: OutOfMemoryError: CUDA", None)}
    assert project.rows("select count(*) from runs where state = 'succeeded'") == [(4,)]


@pytest.fixture
def small_memory(tmp_path: Path) -> Iterator[Path]:
    """A control group that may hold 400 MiB."""
    version_1 = Path("/sys/fs/cgroup/memory")
    parent, limit = Path("/sys/fs/cgroup"), "memory.max"
    if version_1.is_dir():
        parent, limit = version_1, "memory.limit_in_bytes"
    group = parent / f"ablate-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(400 * 2**20))
        if (swap := group / "memory.swap.max").exists():
            swap.write_text("0")
    except OSError:
        with suppress(OSError):
            group.rmdir()
        pytest.skip("needs the right to make a control group with a limit")
    yield group
    group.rmdir()


def test_what_the_kernel_kills_for_lack_of_memory_is_said_so(with_mode, small_memory: Path) -> None:
    seeds = few_or_many(1, 7)
    project = with_mode("greedy", seeds=seeds)
    enter = f'echo $$ > {small_memory}/cgroup.procs; exec "$@"'
    run = project.command("run", "toy", "--only", "other", "--stall-timeout", "0")

    done = subprocess.run(
        ["sh", "-c", enter, "sh", *run],
        cwd=project.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )

    assert done.returncode == 1, done.stderr
    reason = "out of memory: its process was killed by the kernel"
    ends = project.rows("select error, count(*) from attempts group by error order by error")
    # The first attempt began elsewhere than those that go on from its checkpoint.
    assert ends == [(reason, 3 * seeds), (f"{reason}, in 3 attempts", seeds)]
