"""How every command ends: with text and an exit code, whatever happened, never with a traceback."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ablate.cli.shared import flush_stdout
from ablate.errors import AblateError, StoreError
from ablate.text import printable

FAULT = 70
"""Exit code of a fault of `ablate` itself: EX_SOFTWARE of ``sysexits.h``."""
PIPE_CLOSED = 141
_WRITES = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ETXTBSY})
_HINTS = {
    errno.EROFS: "choose another place for it, or make the file system writable",
    errno.ENOSPC: "free some space; nothing that was stored is lost",
    errno.EDQUOT: "free some space of your quota; nothing that was stored is lost",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.ENOENT: "make its folder first, or choose another place",
    errno.ENOTDIR: "a part of the path is a file where a folder should be",
    errno.EISDIR: "it is a folder; name a file",
    errno.EEXIST: "it is there already and is no folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its symbolic links lead back to themselves",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
    errno.ENFILE: "too many files are open on this machine",
    errno.EIO: "check the disk",
    errno.ESTALE: "the file server lost it; try again",
    errno.ENOMEM: "free some memory",
    errno.EAGAIN: "wait, or raise the limit of processes: ulimit -u",
}
"""Faults of the machine, not of `ablate`, and the way out."""


def hold_streams() -> None:
    """Give each standard stream that is closed or gone the null device in its place.

    Else the first file that is opened, as the database, would take its number, and what any library
    or child prints would go into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a terminal's encoding lacks is shown escaped
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]


def ended(command: Callable[[], object], *, is_debug: bool) -> int:
    """Do a command; return the exit code, after an error with its text on stderr.

    Args:
        command: May exit by `SystemExit`.
        is_debug: Whether tracebacks are wanted.
    """
    try:
        code = _code_of(command)
        flush_stdout()
    except BrokenPipeError:  # the reader of our output left, as `head` does
        code = PIPE_CLOSED
    except KeyboardInterrupt:
        code = 130
    except BaseException as error:
        said, code = _said(error)
        if is_debug:
            said = f"{''.join(traceback.format_exception(error))}{said}"
        _tell(said)
    for stream in (sys.stdout, sys.stderr):
        _let_go(stream)
    return code


def _code_of(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        _tell(printable(error.code))
        return 1
    return 0


def _said(error: BaseException) -> tuple[str, int]:
    """Return the text for an error, and the exit code."""
    from ablate.render.errors import error_text

    if isinstance(error, OSError) and (known := _of_machine(error)) is not None:
        error = known
    if isinstance(error, MemoryError):
        error = AblateError(
            "there is not enough memory", hint="close other programs, or ask for less at once"
        )
    if isinstance(error, AblateError):
        return error_text(error), error.exit_code
    return _fault(error), FAULT


def _of_machine(error: OSError) -> AblateError | None:
    """Return an error that names the file, None for what only a fault of ours can lead to."""
    hint = _HINTS.get(error.errno or 0)
    if hint is None or (error.errno == errno.ENOENT and error.filename is None):
        return None
    path = error.filename2 or error.filename
    what = "a file" if path is None else os.fsdecode(path) if isinstance(path, bytes) else str(path)
    verb = "written" if error.errno in _WRITES else "used"
    return StoreError(f"{what} cannot be {verb}: {error.strerror}", hint=hint)


def _fault(error: BaseException) -> str:
    """Return three lines: what, where in `ablate`, how to report it."""
    what = printable(" ".join(str(error).split())) or "no more is known"
    package = Path(__file__).parents[1]
    places = traceback.extract_tb(error.__traceback__)
    own = [p for p in places if Path(p.filename).is_relative_to(package)] or places
    where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "unknown"
    if own and Path(own[-1].filename).is_relative_to(package):
        where = f"{Path(own[-1].filename).relative_to(package.parent)}:{own[-1].lineno}"
    return "\n".join(
        [
            f"error: a fault of ablate: {type(error).__name__}: {what[:300]}",
            f"  --> {where}",
            "hint: what is stored is safe; report it with what you typed and what "
            "`ablate --debug ...` shows",
        ]
    )


def _tell(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _let_go(sys.stderr)


def _let_go(stream: TextIO) -> None:
    """Flush; a stream that takes no more is turned to the null device, or Python complains."""
    try:
        stream.flush()
    except (OSError, ValueError):
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except (OSError, ValueError):
            return
