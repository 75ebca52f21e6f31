"""Nothing that a trainer has started outlives it, however its ancestors end (Linux).

A process that is a "subreaper" becomes the parent of what its dead descendants leave behind, also
of what has made a session of its own. So whoever waits for trainers finds their leftovers among
its own children. The guardian is the parent of the fork server, does nothing but wait, and ends
what is left when the server or its owner is gone. See prctl(2), PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.2
_GRACE_S = 5.0
"""How long the server may take to end by itself when its owner is gone."""
_GIVE_UP_S = 30.0
"""A process that cannot be killed, as one that waits for a broken disk, is left after so long."""


def guard(owner: socket.socket) -> None:
    """Go on in a child of this process, which from now on only waits to end what is left."""
    if sys.platform != "linux":
        return
    adopt_orphans()
    server = os.fork()
    if server == 0:
        die_with_parent()
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _await_end(server, owner)
    # It holds the owner's socket open, which would otherwise not see that the server is gone.
    owner.close()
    deadline = time.monotonic() + _GIVE_UP_S
    while end_orphans() and time.monotonic() < deadline:
        _reap()
        time.sleep(0.01)
    os._exit(0)


def _await_end(server: int, owner: socket.socket) -> None:
    """Return when the server is gone; it is killed when it outlives its owner for long."""
    poller = select.poll()
    poller.register(owner, 0)  # that the other end is closed is told without being asked for
    deadline = None
    while True:
        pid, _ = os.waitpid(server, os.WNOHANG)
        if pid == server:
            return
        if deadline is None and poller.poll(_POLL_S * 1000):
            deadline = time.monotonic() + _GRACE_S
        elif deadline is not None:
            time.sleep(0.02)
            if time.monotonic() > deadline:
                os.kill(server, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of what descendants leave behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however it ends."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died between the two calls
        os._exit(1)


def end_orphans(own: Collection[int] = ()) -> bool:
    """Kill all children but one's own; return whether there were any.

    Their children become ours in turn, so call it again when they are reaped.
    """
    orphans = [pid for pid in _children() if pid not in own]
    for pid in orphans:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(orphans)


def _children() -> list[int]:
    """Return the pids of this process's children, those that are not reaped yet too."""
    if sys.platform != "linux":
        return []
    own = str(os.getpid())
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            fields = stat.read_bytes().rpartition(b")")[2].split()
            if fields[1].decode() == own:
                found.append(int(stat.parent.name))
    return found


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
