"""Functions of the tests in processes of their own, which may die."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

_PRELOAD = ["tests.integration.faulty", "tests.migration.databases"]


def start(function: Callable[..., object], *arguments: Any) -> BaseProcess:
    """Call a function in a process that has everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    process = context.Process(target=function, args=arguments)
    process.start()
    return process


def exit_code(process: BaseProcess) -> int:
    """Wait for a process to end."""
    process.join(120)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def call(function: Callable[..., object], *arguments: Any) -> int:
    """Call a function in a process of its own; return its exit code."""
    return exit_code(start(function, *arguments))


def call_all(function: Callable[..., object], arguments: Sequence[tuple[Any, ...]]) -> list[int]:
    """Call a function in several processes at once; return their exit codes."""
    return [exit_code(process) for process in [start(function, *each) for each in arguments]]
