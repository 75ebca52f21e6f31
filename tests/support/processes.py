"""Functions of the tests in processes of their own, which may die."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from tests.support.patience import PATIENCE_S, slowness

PRELOAD = [
    "tests.support.commands",
    "tests.support.faulty",
    "tests.support.databases",
    "ablate.testing.stores",
    # What commands import when they first need it.
    *("alembic.autogenerate", "alembic.command", "dashboards.compare_page", "dashboards.report"),
    *("jinja2", "numpy", "plotly.graph_objs._figure"),
]
"""What the server of all forked processes imports, once for each process of pytest."""


def start(function: Callable[..., object], *arguments: Any) -> BaseProcess:
    """Call a function in a process that has everything imported."""
    process = make(function, *arguments)
    process.start()
    return process


def make(function: Callable[..., object], *arguments: Any) -> BaseProcess:
    """Return a process that will call a function; it is not started."""
    return multiprocessing.get_context("forkserver").Process(target=function, args=arguments)


def servers_of(process_id: int) -> list[psutil.Process]:
    """Return the fork servers below an `ablate run`: each is the child of its guardian."""
    return _children(_children([psutil.Process(process_id)]))


def trainers_of(process_id: int) -> list[psutil.Process]:
    """Return the training processes below an `ablate run`: children of its fork server."""
    return _children(servers_of(process_id))


def _children(parents: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Return the children of processes, of which some may end meanwhile."""
    found = []
    for parent in parents:
        with suppress(psutil.NoSuchProcess):
            found += parent.children()
    return found


def whole_tree(process_id: int) -> list[psutil.Process]:
    """Return an `ablate run` and everything below it."""
    return [psutil.Process(process_id), *psutil.Process(process_id).children(recursive=True)]


def _in_folder(folder: Path) -> list[psutil.Process]:
    """Return every process that works in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until_none(folder: Path) -> None:
    """Wait until no process works in a folder: after 10 s it is one that was left behind."""
    began = time.monotonic()
    while left := _in_folder(folder):
        assert time.monotonic() < began + 10 * slowness(), [process.cmdline() for process in left]
        time.sleep(0.1)


def exit_code(process: BaseProcess) -> int:
    """Wait for a process to end."""
    process.join(PATIENCE_S)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def call(function: Callable[..., object], *arguments: Any) -> int:
    """Call a function in a process of its own; return its exit code."""
    return exit_code(start(function, *arguments))


def call_all(function: Callable[..., object], arguments: Sequence[tuple[Any, ...]]) -> list[int]:
    """Call a function in several processes at once; return their exit codes."""
    return [exit_code(process) for process in [start(function, *each) for each in arguments]]
