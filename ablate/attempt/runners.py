"""Who runs: a name for each process that no other, now or later, has; and whether it lives."""

from __future__ import annotations

import os
import platform
import signal
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil


class Life(Enum):
    """What can be told of a process by its name."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"
    """It is of another machine, another boot or another container."""


def this_runner() -> str:
    """Return ``host/boot/pid/start/random``: random, so that a re-used pid is someone else."""
    pid = os.getpid()
    return "/".join((_host(), _boot(), str(pid), _start(pid), uuid.uuid4().hex[:8]))


def life_of(runner: str) -> Life:
    """Tell whether a runner, or a process that wrote this name, lives.

    Pids compare only within one boot of one machine, and there within one pid namespace; names of
    hosts prove nothing, since two machines can have the same.
    """
    parts = runner.split("/")
    if len(parts) != 5:
        return Life.UNKNOWN
    host, boot, pid, start, _ = parts
    if boot != _boot() or ("." not in boot and host != _host()):
        return Life.UNKNOWN
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return Life.DEAD
    except PermissionError:
        pass  # it is somebody else's
    with suppress(OSError, psutil.Error):
        return Life.ALIVE if _start(int(pid)) == start else Life.DEAD
    return Life.UNKNOWN


@dataclass(frozen=True, slots=True)
class Place:
    """Where a runner runs, or ran."""

    host: str
    pid: int

    def __str__(self) -> str:
        """Return ``host (pid 12)``."""
        return f"{self.host} (pid {self.pid})"

    @property
    def is_here(self) -> bool:
        """Whether the machine is called as this one is."""
        return self.host == _host()


def place_of(runner: str | None) -> Place | None:
    """Return where a runner is by its name; None for who is none, as an import."""
    parts = (runner or "").split("/")
    return Place(parts[0], int(parts[2])) if len(parts) == 5 and parts[2].isdecimal() else None


def end_process(name: str, *, timeout_s: float) -> bool:
    """Kill a process of this machine by its name, with its group; return whether it is gone."""
    deadline = time.monotonic() + timeout_s
    while (life := life_of(name)) is Life.ALIVE and time.monotonic() < deadline:
        pid = int(name.split("/")[2])
        with suppress(OSError):
            # A trainer leads a group of its own; any other process is not ours to judge by.
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
        time.sleep(0.05)
    return life is not Life.ALIVE


def _host() -> str:
    return platform.node().replace("/", "_")


def _boot() -> str:
    """Return what changes when the machine, or the container, starts anew."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # In containers pids are only comparable within one pid namespace.
        return f"{boot}.{Path('/proc/self/ns/pid').readlink().name}"
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _start(pid: int) -> str:
    """Return when a process started, by a clock that nobody can set; ``gone`` for a zombie.

    Raises:
        OSError: If that cannot be read.
    """
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists() and Path("/proc/self/stat").exists():
        raise OSError(f"{stat} is hidden")
    if not stat.exists():
        return f"{psutil.Process(pid).create_time():.2f}"
    # The name of the command, in brackets, may have spaces and brackets itself.
    fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return "gone" if fields[0] in "ZX" else fields[19]
