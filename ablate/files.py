"""Files that a reader sees whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from ablate.errors import NotFoundError, StoreError, UsageError

_SCRATCH = "scratch-"
_LOCK = "lock"


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Name a file that takes the place of ``path`` at the end; after a failure it is deleted.

    For plain files. A database has more than one, and is put in place by who knows them all.

    Raises:
        OSError: If it cannot be put in place.
    """
    aside = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    try:
        yield aside
        aside.replace(path)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def is_unfinished(name: str) -> bool:
    """Whether a file is one that `replacing` names: a killed process may leave it."""
    return name.startswith(".") and name.endswith(".tmp")


@contextmanager
def written_whole(path: Path) -> Generator[BinaryIO]:
    """Open a file that appears under its name only once it is written to the end.

    A link stays and what it points to is written; a device or a pipe is written to as it is.

    Raises:
        StoreError: If it cannot be written.
    """
    target = path.resolve()
    is_special = target.exists() and not target.is_file()
    placed = nullcontext(target) if is_special else replacing(target)
    try:
        with placed as aside, aside.open("wb") as file:
            yield file
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def scratch_folder(parent: Path) -> Generator[Path]:
    """Make a folder that is deleted at the end; those that killed processes left go first.

    Who makes one holds the lock of a file in it, which the kernel ends with the process.

    Args:
        parent: Where; the system's folder for temporary files when it cannot be written.
    """
    if not os.access(parent, os.W_OK):
        with tempfile.TemporaryDirectory(prefix=_SCRATCH) as made:
            yield Path(made)
        return
    for left in parent.glob(f"{_SCRATCH}*/{_LOCK}"):
        with suppress(OSError), left.open("r+") as lock:  # held, or deleted meanwhile
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
    with (folder / "new").open("w") as lock:
        with suppress(OSError):  # a disk without locks: then nobody can take this one for left
            fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "new").rename(folder / _LOCK)  # seen only once it is locked
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the content of a file that is read as a whole.

    Args:
        path: A plain file, or a link to one. A pipe might never end, a device never does.
        limit: Bytes; a file of configuration that is larger is something else.

    Raises:
        NotFoundError: If there is no such file.
        UsageError: If it is no file, is too large or cannot be read.
    """
    try:
        # Without O_NONBLOCK a pipe that nobody writes to is never opened.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{path} is no file", hint="name a file, no folder and no pipe")
            content = file.read(limit + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path} cannot be read: {why}") from error
    if len(content) > limit:
        raise UsageError(f"{path} is larger than {limit // 1024} KiB", hint="is it the right file?")
    return content


def make_empty(path: Path) -> None:
    """Make a file for a library that would make it with a mode of its own; one that is there stays.

    Whatever belongs to a project has the modes that its user's umask says. Where the file cannot be
    made, the library says so when it opens it.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))


def force_to_disk(path: Path) -> None:
    """Make what a file holds, or which names a folder has, survive a power cut.

    Raises:
        OSError: If the disk does not take it.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder and below, 0 where there is none.

    Links are not followed; what vanishes meanwhile is not counted.
    """
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total
