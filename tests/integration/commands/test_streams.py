"""Streams and signals: whatever goes away in the night, runs save or go on."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import time
from typing import Any

import psutil
import pytest

from tests.support.patience import PATIENCE_S, slowness
from tests.support.projects import SLOW_STUDY, Project, environment

DIGESTS = "select data from events where name = 'finished' order by data"
PAUSED = "select count(*) from attempts where state = 'paused'"


def shell(project: Project, command: str, **options) -> subprocess.Popen[Any]:
    """Start what a user types into a shell; ``ablate`` stands for the command."""
    typed = command.replace("ablate", shlex.join(project.command()), 1)
    return subprocess.Popen(
        ["bash", "-c", f"set -o pipefail; {typed}"],
        cwd=project.folder,
        env=environment(),
        start_new_session=True,
        **options,
    )


def logged(project: Project) -> None:
    project.wait_for(lambda: bool(project.rows("select 1 from points where step >= 30")))


def test_closed_terminal_pauses_runs_like_sigterm(slow: Project, calm: Project) -> None:
    main, child = pty.openpty()
    running = subprocess.Popen(
        ["setsid", "--ctty", *slow.command("run", "toy", "--workers", "2")],
        cwd=slow.folder,
        env=environment(),
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    logged(slow)
    os.close(main)  # the kernel sends SIGHUP, and writing gives EIO

    assert running.wait(PATIENCE_S) == 128 + signal.SIGHUP
    assert slow.rows(PAUSED) == [(2,)]
    slow.ablate("run", "toy", "--workers", "2")
    assert slow.rows(DIGESTS) == calm.rows(DIGESTS)


def test_nohup_is_respected(slow: Project, calm: Project) -> None:
    running = shell(slow, "trap '' HUP; exec ablate run toy --workers 2", stderr=subprocess.DEVNULL)
    logged(slow)
    running.send_signal(signal.SIGHUP)

    assert running.wait(PATIENCE_S) == 0
    assert slow.rows(DIGESTS) == calm.rows(DIGESTS)


def test_ctrl_c_that_ends_tee_too_pauses_all_runs(slow: Project, calm: Project) -> None:
    running = shell(slow, "ablate run toy --workers 2 2>&1 | tee log", stdout=subprocess.DEVNULL)
    logged(slow)
    os.killpg(running.pid, signal.SIGINT)  # as the terminal does: to all in the foreground
    running.wait(PATIENCE_S)
    slow.wait_for(lambda: slow.rows("select count(*) from runs where state = 'running'") == [(0,)])

    assert slow.rows(PAUSED) == [(2,)]
    slow.ablate("run", "toy", "--workers", "2")
    assert slow.rows(DIGESTS) == calm.rows(DIGESTS)


@pytest.mark.parametrize(
    "ending", ["2>&1 | head -1", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"]
)
def test_stream_that_is_gone_costs_progress_alone(
    slow: Project, calm: Project, ending: str
) -> None:
    running = shell(slow, f"ablate run toy --workers 2 {ending}")

    assert running.wait(PATIENCE_S) == 0
    assert slow.rows(DIGESTS) == calm.rows(DIGESTS)


def test_reader_that_stands_still_does_not_hold_up_training(slow: Project, calm: Project) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    while True:  # fill the pipe, so that the next line would wait for ever
        try:
            os.write(write, b"x" * 65536)
        except BlockingIOError:
            break
    os.set_blocking(write, True)
    running = shell(slow, "exec ablate run toy --workers 2", stderr=write)
    states = "select count(*) from runs where state = 'succeeded'"

    slow.wait_for(lambda: slow.rows(states) == [(4,)])

    assert slow.rows(DIGESTS) == calm.rows(DIGESTS)
    os.close(write)
    os.close(read)
    running.wait(PATIENCE_S)


def test_each_press_of_ctrl_c_says_what_the_next_does(project: Project) -> None:
    project.write("studies/toy.yaml", SLOW_STUDY.replace("sleep_s: 0.01", "sleep_s: 300"))
    project.ablate("study", "create", "toy")
    running = project.start("run", "toy", "--workers", "2")
    project.wait_for(lambda: bool(project.rows("select 1 from points")))
    output = project.folder / "output.txt"

    running.send_signal(signal.SIGINT)
    project.wait_for(lambda: "Ctrl-C again ends them at once" in output.read_text())
    running.send_signal(signal.SIGINT)
    began = time.monotonic()

    assert running.wait(PATIENCE_S) == 130
    assert time.monotonic() - began < 5 * slowness()
    assert "Ctrl-C once more leaves" in output.read_text()
    assert project.rows("select distinct state from runs") == [("queued",)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_to_all_processes_pauses_all_runs(
    slow: Project, calm: Project, number: signal.Signals
) -> None:
    """As a job scheduler, a container or ``pkill`` does it."""
    running = slow.start("run", "toy", "--workers", "2")
    logged(slow)
    below = psutil.Process(running.pid).children(recursive=True)
    for process in [psutil.Process(running.pid), *below]:
        process.send_signal(number)

    assert running.wait(PATIENCE_S) == 128 + number
    if number is signal.SIGTERM:
        assert slow.rows(PAUSED) == [(2,)]
    slow.ablate("run", "toy", "--workers", "2")
    assert slow.rows(DIGESTS) == calm.rows(DIGESTS)
