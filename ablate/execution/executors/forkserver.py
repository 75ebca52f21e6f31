"""A process that has imported the trainer and forks a fresh child for each attempt.

Importing torch costs seconds, forking a process that has imported it milliseconds. The server
starts no threads and never touches CUDA, so that its children may. It talks to its owner in JSON
lines over a socket:

    -> {"start": 7, "job": ".../job.json"}   <- {"started": 7, "pid": 4711}
    -> {"signal": 7, "number": 15}           <- {"exited": 7, "code": 0}

When the socket closes because the owner died, the server kills its children and ends. Its parent,
the guardian, ends what is left.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ablate.execution.executors.guardian import adopt_orphans, die_with_parent, end_orphans, guard

_HELD = {signal.SIGTERM}
"""Signals that wait while a child becomes a worker: a request to stop must not be lost."""


class ForkServer:
    """Forks and ends children as its owner asks.

    Args:
        owner: The socket to it.
    """

    def __init__(self, owner: socket.socket) -> None:
        self._owner = owner
        self._children: dict[int, int] = {}
        """pid -> attempt id"""
        self._buffer = b""
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def serve(self) -> None:
        """Answer until the owner is gone; then, or when that cannot be done, end all children."""
        try:
            self._serve()
        finally:
            for pid in self._children:
                _signal_group(pid, signal.SIGKILL)

    def _serve(self) -> None:
        signal.set_wakeup_fd(self._wake_write)
        signal.signal(signal.SIGCHLD, _wake)
        with selectors.DefaultSelector() as selector:
            selector.register(self._owner, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wake_read in ready:
                    os.read(self._wake_read, 4096)
                    self._reap()
                if self._owner in ready and not self._receive():
                    break

    def _receive(self) -> bool:
        """Handle what the owner sent; False when it is gone."""
        data = self._owner.recv(65536)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "start" in request:
                self._fork(request["start"], Path(request["job"]))
            else:
                self._forward(request["signal"], request["number"])
        return bool(data)

    def _forward(self, attempt_id: int, number: int) -> None:
        for pid, owner in self._children.items():
            if owner == attempt_id:
                # A polite signal goes to the trainer alone, a kill to all that it started.
                if number == signal.SIGKILL:
                    _signal_group(pid, number)
                else:
                    os.kill(pid, number)

    def _fork(self, attempt_id: int, job_file: Path) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        pid = os.fork()
        if pid == 0:
            self._become_worker(job_file)
        # The child does it too: a signal to the group may come before it has, or before it began.
        with suppress(ProcessLookupError):
            os.setpgid(pid, pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        self._children[pid] = attempt_id
        self._send({"started": attempt_id, "pid": pid})

    def _become_worker(self, job_file: Path) -> NoReturn:
        """Run the job in the fresh child; never return to the server's loop."""
        code = 1
        try:
            die_with_parent()
            adopt_orphans()
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # The server ignores these, and what is ignored stays so in all that a trainer starts.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
            _forget_exit_functions()
            self._owner.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            from ablate.attempt.worker import work  # the server has imported it

            code = work(job_file)
        finally:
            # Skips the interpreter's shutdown, a second after importing torch; all is flushed.
            os._exit(code)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (child := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = child
                attempt_id = self._children.pop(pid, None)
                if attempt_id is not None:
                    _signal_group(pid, signal.SIGKILL)  # helpers that the trainer left behind
                    self._send({"exited": attempt_id, "code": os.waitstatus_to_exitcode(status)})
                end_orphans(own=self._children)

    def _send(self, message: dict[str, Any]) -> None:
        self._owner.sendall(json.dumps(message).encode() + b"\n")


def _forget_exit_functions() -> None:
    """Leave those of modules that the server has imported to the server, but for two.

    Each process flushes its own logs, and waits for the processes that it has started.
    """
    atexit._clear()  # pyright: ignore[reportPrivateUsage]
    atexit.register(logging.shutdown)
    if util := sys.modules.get("multiprocessing.util"):
        atexit.register(util._exit_function)


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: that there is a handler makes the signal write to the wake-up pipe."""


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:  # its last member is a zombie
        with suppress(ProcessLookupError):
            os.kill(pid, number)


OPTIONAL = "?"
"""Before the name of a module that is imported if that can be done and leaves the server fit."""


def _preload(names: list[str]) -> dict[str, Any]:
    """Import modules; return which could not be, and which one makes this process unfit to fork.

    A thread does not survive a fork, and a GPU that was touched cannot be used behind one. What is
    imported cannot be undone: the owner starts another server without that module.
    """
    failed: dict[str, str] = {}
    for name in names:
        module = name.removeprefix(OPTIONAL)
        try:
            importlib.import_module(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if name == module:
                failed[module] = f"{type(error).__name__}: {error}"
        if name != module and (reason := _why_unfit()):
            return {"failed": failed, "unfit": module, "reason": reason}
    return {"failed": failed, "unfit": None}


def _why_unfit() -> str | None:
    """Return what this process has that a fork would break, None when there is nothing."""
    if threading.active_count() > 1:
        return "starts a thread"
    if sys.platform != "linux":
        return None
    own = Path("/proc/self/comm").read_text(encoding="utf-8")
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it ended meanwhile
            # Those of OpenBLAS are called as the process is; it stops and starts them at a fork.
            if (task / "comm").read_text(encoding="utf-8") != own:
                return "starts a thread"
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if (
                descriptor.readlink().is_relative_to("/dev")
                and "nvidia" in descriptor.readlink().name
            ):
                return "touches a GPU"
    return None


def main() -> None:
    """Serve on the socket whose number is the first argument; import the modules that follow."""
    owner = socket.socket(fileno=int(sys.argv[1]))
    owner.setblocking(True)
    guard(owner)
    adopt_orphans()
    # Whoever signals all processes means the runner, which asks each trainer to save.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Behind the guard: whatever an import starts or hangs at ends with the owner.
    from ablate.attempt import worker
    from ablate.provenance import mark_preloaded

    assert worker
    found = _preload(sys.argv[2:])
    mark_preloaded()
    gc.collect()
    gc.freeze()  # children share these pages as long as no collection writes into them
    with suppress(BrokenPipeError, ConnectionResetError):  # the owner is gone, so is the work
        owner.sendall(json.dumps(found).encode() + b"\n")
        if found["unfit"] is None:
            ForkServer(owner).serve()
    # Skips the interpreter's shutdown, for which `ablate run` would wait at its end.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
