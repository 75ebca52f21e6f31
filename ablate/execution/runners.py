"""Who runs: a name for this process that no other process, now or later, has."""

from __future__ import annotations

import os
import platform
import uuid
from pathlib import Path

import psutil


def this_runner() -> str:
    """Return ``host/boot/pid/start/random``: random, so that a re-used pid is someone else."""
    process = psutil.Process()
    return "/".join(
        (_host(), _boot(), str(process.pid), f"{process.create_time():.2f}", uuid.uuid4().hex[:8])
    )


def is_known_dead(runner: str) -> bool:
    """Whether the runner was a process of this machine that exists no more.

    False means unknown, not alive: of another machine nothing is known, only its lease tells.
    """
    host, boot, pid, start, _ = runner.split("/")
    if host != _host():
        return False
    if boot != _boot():
        return True
    if int(pid) == os.getpid():
        return runner.split("/")[3] != f"{psutil.Process().create_time():.2f}"
    try:
        process = psutil.Process(int(pid))
        is_same = f"{process.create_time():.2f}" == start
        return not is_same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


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
