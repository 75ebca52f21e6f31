"""Attempts on this machine: a fresh process each, forked from a server with torch loaded."""

from __future__ import annotations

import json
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablate.attempt.job import Job
from ablate.attempt.signals import DUMP
from ablate.errors import TrainerError
from ablate.execution.devices import devices_for, worker_environment
from ablate.execution.executors.base import ExecutorRequest, Exited, Preparation
from ablate.execution.executors.forkserver import OPTIONAL
from ablate.execution.slots import MachineSlots

_START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 40.0
_EARLY_S = 10.0
_MAX_EARLY_ENDS = 3


class LocalExecutor:
    """See `ablate.execution.executors.base.Executor`."""

    def __init__(self, request: ExecutorRequest) -> None:
        devices = devices_for(request)
        self.slots = MachineSlots(request.workers or devices.default_workers, devices)
        self._exited: list[Exited] = []
        self._running: dict[int, Path] = {}
        """Attempt -> its log."""
        self._pids: dict[int, int] = {}
        self._environment = worker_environment(self.slots.threads)
        self._early_ends = 0
        self._server: subprocess.Popen[bytes] | None = None

    def open(self, preparation: Preparation) -> None:
        """Start the fork server, which imports the trainers' modules once."""
        self._folder = preparation.folder
        self._preload = preparation.preload
        self._optional = list(preparation.may_preload)
        self._note = preparation.note
        self._start_server()

    def _start_server(self) -> None:
        """Start a server, without the modules that leave it unfit to fork.

        Raises:
            TrainerError: If a module cannot be imported, or servers end again and again.
        """
        while (answer := self._serve()) is None or answer["unfit"]:
            self.close()
            if answer is None:
                self._count_early_end("while it imported the trainer")
            else:
                self._do_without(answer["unfit"], answer["reason"])
        if failed := answer["failed"]:
            self.close()
            module, reason = next(iter(failed.items()))
            raise TrainerError(
                f"cannot import {module}: {reason}", hint="pip install 'ablate-studies[all]'"
            )
        self._started_at = time.monotonic()

    def _do_without(self, module: str, reason: str) -> None:
        """Say why each run imports a module by itself; the next server does not."""
        top = module.partition(".")[0]
        note = f"{module} {reason} when it is imported, so every run imports {top} by itself"
        self._note(note)
        self._optional = [name for name in self._optional if name.partition(".")[0] != top]

    def _serve(self) -> dict[str, Any] | None:
        """Start a server; return what it says of its imports, None when it ends before that."""
        self._buffer = b""
        self._socket, theirs = socket.socketpair()
        names = [*self._preload, *(f"{OPTIONAL}{name}" for name in self._optional)]
        with theirs:
            self._server = subprocess.Popen(  # noqa: S603 - our own module, no shell
                # -P: a folder named `trainer` where the command is typed must not shadow ours.
                [sys.executable, "-P", "-m", _SERVER, str(theirs.fileno()), *names],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,  # Ctrl-C in the terminal is ours to handle
            )
        self._socket.settimeout(_START_TIMEOUT_S)
        try:
            answers = self._lines(self._receive())
        except TimeoutError as error:
            self.close()
            raise TrainerError("the trainer's modules took more than 120 s to import") from error
        self._socket.settimeout(None)
        return answers[0] if answers else None

    def _receive(self) -> bytes:
        """Return what the server has sent, nothing when it is gone."""
        try:
            return self._socket.recv(65536)
        except ConnectionResetError:
            return b""

    def start(self, job: Job, on_step: Callable[[], None]) -> None:
        """Fork a worker for the attempt."""
        self._running[job.attempt_id] = job.folder.log
        self._send({"start": job.attempt_id, "job": str(job.folder.job)})

    def poll(self, timeout_s: float) -> list[Exited]:
        """Return the attempts whose process ended."""
        ready, _, _ = select.select([self._socket], [], [], timeout_s)
        if ready:
            self._listen()
        exited, self._exited = self._exited, []
        return exited

    def _listen(self) -> None:
        data = self._receive()
        if not data:
            self._replace_server()
            return
        for message in self._lines(data):
            if "started" in message:
                self._pids[message["started"]] = message["pid"]
            else:
                self._note_end(message["exited"], message["code"])

    def _note_end(self, attempt_id: int, code: int | None) -> None:
        self._running.pop(attempt_id, None)
        self._pids.pop(attempt_id, None)
        self._exited.append(Exited(attempt_id, code))

    def _replace_server(self) -> None:
        """Start another server for one that is gone, and all attempts with it.

        Raises:
            TrainerError: If servers end again and again.
        """
        self.close()
        if time.monotonic() - self._started_at > _EARLY_S:
            self._early_ends = 0
        else:
            self._count_early_end("as soon as it had started")
        self._note(
            "the fork server died, and with it what it ran; runs go on from their last checkpoint"
        )
        for attempt_id in sorted(self._running):
            self._note_end(attempt_id, None)
        self._start_server()

    def _count_early_end(self, when: str) -> None:
        self._early_ends += 1
        if self._early_ends > _MAX_EARLY_ENDS:
            raise TrainerError(
                f"the fork server died {self._early_ends} times {when}",
                hint="`ablate run --executor inline` shows what it dies of",
            )

    def stop(self, attempt_id: int, *, now: bool) -> None:
        """Send SIGTERM, or SIGKILL to all that the attempt started."""
        self._send({"signal": attempt_id, "number": signal.SIGKILL if now else signal.SIGTERM})

    def dump(self, attempt_id: int) -> None:
        """Send a signal whose handler needs no interpreter; ask py-spy too, where it is."""
        self._send({"signal": attempt_id, "number": signal.SIGCONT})
        self._send({"signal": attempt_id, "number": DUMP})
        program, pid = shutil.which("py-spy"), self._pids.get(attempt_id)
        if program is None or pid is None:
            return
        with suppress(OSError), self._running[attempt_id].open("ab") as log:
            # Not waited for: it may hang at what hangs, and ends with that.
            subprocess.Popen(  # noqa: S603 - a fixed program without a shell
                [program, "dump", "--nonblocking", "--subprocesses", "--pid", str(pid)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def close(self) -> None:
        """Close the socket, upon which the server and its guardian kill what runs and end."""
        if self._server is None:
            return
        self._socket.close()
        try:
            self._server.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _send(self, message: dict[str, int | str]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the next `poll` finds it gone
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _lines(self, data: bytes) -> list[dict[str, Any]]:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]


_SERVER = "ablate.execution.executors.forkserver"
