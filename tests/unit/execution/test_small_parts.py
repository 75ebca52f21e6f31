"""Devices, runners and the meter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ablate.attempt.runners import Life, life_of, this_runner
from ablate.errors import UsageError
from ablate.execution import devices
from ablate.execution.devices import Devices, parse_devices


def test_slots_share_gpus_in_turn() -> None:
    devices = Devices((0, 2))

    assert [devices.gpus_of(slot) for slot in range(4)] == [(0,), (2,), (0,), (2,)]
    assert devices.default_workers == 2
    assert Devices(()).gpus_of(3) == ()


def test_gpus_of_one_run_belong_together() -> None:
    devices = Devices((0, 2, 3, 5, 7), per_run=2)

    assert devices.default_workers == 2
    assert [devices.gpus_of(slot) for slot in range(3)] == [(0, 2), (3, 5), (0, 2)]


def test_more_gpus_for_a_run_than_there_are_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_smi(tmp_path, monkeypatch)

    assert parse_devices("cuda", 2) == Devices((0, 1), per_run=2)
    with pytest.raises(UsageError, match="--gpus-per-run 3: there are 2"):
        parse_devices("auto", 3)
    with pytest.raises(UsageError, match="--gpus-per-run 2: there is none"):
        parse_devices("cpu", 2)


@pytest.mark.parametrize("text", ["gpu", "cpu:0", "cuda:x", "cuda:9", ""])
def test_devices_that_are_not_there_are_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_smi(tmp_path, monkeypatch)

    with pytest.raises(UsageError):
        parse_devices(text)


def test_devices_are_those_that_the_driver_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_smi(tmp_path, monkeypatch)

    assert parse_devices("auto") == parse_devices("cuda") == Devices((0, 1))
    assert parse_devices("cuda:1") == Devices((1,))
    assert parse_devices("cpu") == Devices(())


def fake_smi(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program in front that answers as the driver's does on a machine with two GPUs."""
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_runner_is_dead_only_when_that_is_known() -> None:
    code = "from ablate.attempt.runners import this_runner; print(this_runner())"
    gone = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    ).stdout.strip()
    host, boot, pid, start, tail = gone.split("/")

    own = this_runner()
    assert life_of(gone) is Life.DEAD
    assert life_of(own) is Life.ALIVE
    assert life_of("/".join((host, boot, own.split("/")[2], start, tail))) is Life.DEAD
    assert life_of("/".join((host, "an-earlier-boot", pid, start, tail))) is Life.UNKNOWN
    assert (
        life_of("/".join((host, boot.replace("pid:", "pid:1"), pid, start, tail))) is Life.UNKNOWN
    )
    assert life_of("cut off") is Life.UNKNOWN


def test_runner_lives_on_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    own = this_runner()

    monkeypatch.setattr(psutil, "boot_time", lambda: 3600.0)  # what a step of the clock changes

    assert life_of(own) is Life.ALIVE


@pytest.mark.parametrize(
    ("setting", "slots", "threads"),
    [("1", 1, 1), ("3", 1, 3), ("99", 1, 8), ("99", 4, 2), ("no number", 2, 4), (None, 16, 1)],
)
def test_a_smaller_number_of_threads_that_the_user_set_is_kept(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, slots: int, threads: int
) -> None:
    monkeypatch.setattr(devices, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if setting is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", setting)

    assert devices.threads_of_each(slots) == threads
