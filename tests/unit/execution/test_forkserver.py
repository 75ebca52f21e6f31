"""The fork server's signals reach a child from its first instant on."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import NoReturn

from ablate.execution.executors.forkserver import ForkServer


class _SlowServer(ForkServer):
    """One whose children are long not yet what they are to become."""

    def _become_worker(self, job_file: Path) -> NoReturn:
        time.sleep(30)
        os._exit(0)


def test_a_kill_reaches_a_child_that_has_barely_begun() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = _SlowServer(theirs)
        server._fork(1, Path("job.json"))
        (pid,) = server._children

        server._forward(1, signal.SIGKILL)

        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
