"""Faults on purpose: a process dies, or a disk fails, at the n-th call of a named function.

The product has no hooks for this. A process arms itself before the code under test runs, and the
functions through which that reaches the disk and the database are wrapped. So a command is run as

    ABLATE_FAULTS="os:write:kill@17" python -m ablate.testing.faults ablate.cli run scale-fix

Loop the number from 1 to what `Faults.calls` counted without a fault, and every place was tried.

A fault is written ``POINT:ACTION@FIRST`` or ``POINT:ACTION@FIRST-LAST``; several are parted by
commas. Points are `POINTS`. ``kill`` is SIGKILL in the middle of the call: of what is written the
first half goes out before. ``killed-after`` comes when the call has returned but its caller does
not know. The name of an error of the operating system, as ``ENOSPC``, raises that; of what is
written the first half goes out then too.
"""

from __future__ import annotations

import errno
import os
import re
import runpy
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any, NoReturn

VARIABLE = "ABLATE_FAULTS"
"""The environment variable that `main` reads."""

_FUNCTIONS = (
    "os:write",
    "os:fsync",
    "os:fdatasync",
    "os:ftruncate",
    "pathlib:Path.write_bytes",
    "pathlib:Path.write_text",
    "pathlib:Path.replace",
    "pathlib:Path.rename",
    "pathlib:Path.unlink",
)
_OF_POSTGRES = (
    "psycopg:Cursor.execute",
    "psycopg:Cursor.executemany",
    "psycopg:Copy.write",
    "psycopg:Copy.write_row",
    "psycopg:Connection.commit",
)
_OF_SQLITE = ("sqlite3:execute", "sqlite3:executemany", "sqlite3:commit", "sqlite3:backup")
POINTS = (*_FUNCTIONS, *_OF_SQLITE, *_OF_POSTGRES)
"""Where faults can happen."""

_WRITES = ("write", "write_bytes", "write_text")
"""Names of functions that take what to write as their second argument."""


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """What happens at which calls of a point."""

    point: str
    action: str
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> InjectedFault:
        """Read a fault.

        Raises:
            ValueError: If it is not of the form in the module's docstring.
        """
        form = r"([\w:.]+):(kill|killed-after|E[A-Z]+)@(\d+)(?:-(\d+))?"
        found = re.fullmatch(form, text.strip())
        if not found or found[1] not in POINTS:
            raise ValueError(f"'{text}' is no fault: write POINT:ACTION@N, POINT of {POINTS}")
        return cls(found[1], found[2], int(found[3]), int(found[4] or found[3]))


class Faults:
    """Wraps the points of this process, for good, and lets the faults happen.

    Args:
        text: The faults, parted by commas; may be empty, to count calls alone.
    """

    def __init__(self, text: str) -> None:
        self.calls: Counter[str] = Counter()
        """By point, how often it was called so far."""
        self._faults = [InjectedFault.parse(part) for part in text.split(",") if part.strip()]
        for point in (*_FUNCTIONS, *(_OF_POSTGRES if find_spec("psycopg") else ())):
            self._wrap(point)
        self._wrap_sqlite()

    def meet(
        self, point: str, call: Callable[[], Any], half: Callable[[], Any] = lambda: None
    ) -> Any:
        """Make a call, or let happen what is armed for it.

        Args:
            point: What is called.
            call: Makes the whole call.
            half: Makes the first half of it, for what can be half done.
        """
        self.calls[point] += 1
        for fault in self._faults:
            if fault.point == point and fault.first <= self.calls[point] <= fault.last:
                _happen(fault.action, call, half)
        return call()

    def _wrap(self, point: str) -> None:
        module, _, path = point.partition(":")
        within, _, name = path.rpartition(".")
        owner = resolve_name(f"{module}:{within}")
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            def call() -> Any:
                return original(*args, **kwargs)

            def half() -> None:
                if name in _WRITES:
                    original(args[0], args[1][: len(args[1]) // 2], *args[2:], **kwargs)

            return self.meet(point, call, half)

        setattr(owner, name, wrapped)

    def _wrap_sqlite(self) -> None:
        """Have `sqlite3.connect` make connections of ours; SQLite's classes cannot be changed."""
        meet = self.meet

        class Cursor(sqlite3.Cursor):
            def execute(self, *args: Any) -> Any:
                whole = super().execute
                return meet("sqlite3:execute", lambda: whole(*args))

            def executemany(self, sql: str, rows: Any) -> Any:
                whole, kept = super().executemany, list(rows)
                half = kept[: len(kept) // 2]
                return meet(
                    "sqlite3:executemany", lambda: whole(sql, kept), lambda: whole(sql, half)
                )

        class Connection(sqlite3.Connection):
            def cursor(self, factory: Any = Cursor) -> Any:
                return super().cursor(factory)

            def commit(self) -> None:
                meet("sqlite3:commit", super().commit)

            def backup(self, target: Any, **options: Any) -> None:
                whole = super().backup
                meet(
                    "sqlite3:backup", lambda: whole(target, **options), lambda: _half(whole, target)
                )

        original = sqlite3.connect

        def connect(*args: Any, **kwargs: Any) -> Any:
            return original(*args, **{"factory": Connection} | kwargs)

        sqlite3.connect = connect


class _HalfDone(Exception):  # noqa: N818 - no error, only a way out
    """Leaves a backup in its middle."""


def _half(backup: Callable[..., None], target: sqlite3.Connection) -> None:
    def stop_in_the_middle(_status: int, remaining: int, total: int) -> None:
        if remaining <= total // 2:
            raise _HalfDone

    with suppress(_HalfDone):
        backup(target, pages=1, progress=stop_in_the_middle)


def _happen(action: str, call: Callable[[], Any], half: Callable[[], Any]) -> NoReturn:
    if action == "killed-after":
        call()
    else:
        half()
    if action in ("kill", "killed-after"):
        os.kill(os.getpid(), signal.SIGKILL)
    number = getattr(errno, action)
    raise OSError(number, os.strerror(number))


def main() -> None:
    """Arm what the environment says, then run a module with its arguments, as ``python -m``."""
    Faults(os.environ.get(VARIABLE, ""))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
