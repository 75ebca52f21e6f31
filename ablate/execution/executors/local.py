"""Attempts on this machine: a fresh process each, forked from a server with torch loaded."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ablate.errors import TrainerError
from ablate.execution.executors.base import Exited
from ablate.execution.executors.forkserver import OPTIONAL
from ablate.execution.job import Job

_START_TIMEOUT_S = 120.0


class LocalExecutor:
    """See `ablate.execution.executors.base.Executor`.

    Args:
        slots: Worker processes at once.
        preload: Modules that the fork server imports.
        may_preload: Those that it imports where that leaves it fit to fork.
        note: Told of each module that does not.
        threads: CPU threads of one worker, for libraries that read the environment.
        folder: Where workers run: relative paths of a config are relative to the project.
    """

    def __init__(
        self,
        slots: int,
        *,
        preload: Sequence[str],
        may_preload: Sequence[str] = (),
        threads: int,
        folder: Path,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.slots = slots
        self._exited: list[Exited] = []
        self._environment = _environment(threads)
        self._folder = folder
        optional = list(may_preload)
        while (unfit := self._serve(preload, optional)) is not None:
            module, reason = unfit
            top = module.partition(".")[0]
            note(f"{module} {reason} when it is imported, so every run imports {top} by itself")
            optional = [name for name in optional if name.partition(".")[0] != top]

    def _serve(self, preload: Sequence[str], optional: Sequence[str]) -> tuple[str, str] | None:
        """Start a server; return the module that makes it unfit, and why, None when it is ready."""
        self._buffer = b""
        self._socket, theirs = socket.socketpair()
        names = [*preload, *(f"{OPTIONAL}{name}" for name in optional)]
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
        answer = self._first_answer()
        if (module := answer["unfit"]) is not None:
            self.close()
            return module, answer["reason"]
        return None

    def _first_answer(self) -> dict[str, Any]:
        """Return what the server says once it has imported what it is to preload."""
        self._socket.settimeout(_START_TIMEOUT_S)
        try:
            answer = self._lines(self._socket.recv(65536))
        except TimeoutError as error:
            self.close()
            raise TrainerError("the trainer's modules took more than 120 s to import") from error
        finally:
            self._socket.settimeout(None)
        if not answer:
            self.close()
            raise TrainerError("the fork server ended while it imported the trainer")
        if failed := answer[0]["failed"]:
            self.close()
            module, reason = next(iter(failed.items()))
            raise TrainerError(
                f"cannot import {module}: {reason}", hint="pip install 'ablate-studies[all]'"
            )
        return answer[0]

    def start(self, job: Job, on_step: Callable[[], None]) -> None:
        """Fork a worker for the attempt."""
        self._send({"start": job.attempt_id, "job": str(job.attempt_dir / "job.json")})

    def poll(self, timeout_s: float) -> list[Exited]:
        """Return the attempts whose process ended."""
        ready, _, _ = select.select([self._socket], [], [], timeout_s)
        if ready:
            data = self._socket.recv(65536)
            if not data:
                raise TrainerError("the fork server died", hint="run the same command again")
            for message in self._lines(data):
                if "exited" in message:
                    self._exited.append(Exited(message["exited"], message["code"]))
        exited, self._exited = self._exited, []
        return exited

    def stop(self, attempt_id: int, *, now: bool) -> None:
        """Send SIGTERM, or SIGKILL to all that the attempt started."""
        self._send({"signal": attempt_id, "number": signal.SIGKILL if now else signal.SIGTERM})

    def close(self) -> None:
        """Close the socket, upon which the server kills what runs and ends."""
        self._socket.close()
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _send(self, message: dict[str, int | str]) -> None:
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except BrokenPipeError as error:
            raise TrainerError("the fork server died", hint="run the same command again") from error

    def _lines(self, data: bytes) -> list[dict[str, Any]]:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]


_SERVER = "ablate.execution.executors.forkserver"


def _environment(threads: int) -> dict[str, str]:
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        # cuBLAS is only reproducible with a workspace of fixed size.
        "CUBLAS_WORKSPACE_CONFIG": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
    }
