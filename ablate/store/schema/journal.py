"""The journal: a second copy, outside of the database, of all that no spool has.

Points, events and checkpoints lie in the spools. Studies, variants, runs, attempts and how they
ended are known to the database alone. So each transaction that changes them appends the rows as
they are then to a file, forces it to the disk, and commits; `store.schema.changes` says which.

Changes are numbered in the database. A number that comes again, as the transaction was undone or
the database is an older copy, replaces what had it and all that followed: SQL is the truth while it
is there. A change that is a base has every row; a file begins with one, and is written anew from
one when numbers are missing in it.

The file is made of the frames of `ablate.spool.frames`, the first byte of each says what it holds.
A change whose last frame is missing is not there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import make_url

from ablate.errors import StoreError
from ablate.files import force_to_disk, replacing
from ablate.spool.frames import Frame, framed, read_frames, unavailable

FOLDER = "journal"
"""In the folder of a project's data: a file for each database."""
_VERSION = 1
_BEGIN, _ROWS, _DELETED, _END = b"BRDE"
_CHUNK_BYTES = 1 << 20


class Rows(NamedTuple):
    """Rows of one table."""

    table: str
    columns: tuple[str, ...]
    rows: list[list[Any]]


class Deleted(NamedTuple):
    """A run that was deleted with all that refers to it."""

    run_id: str


class Change(NamedTuple):
    """Where a change lies in a journal."""

    seq: int
    start: int
    end: int
    is_base: bool
    revision: str
    """Of the schema of its rows."""


def journal_path(data_dir: Path, url: str, database: str) -> Path:
    """Return the journal of a database.

    Args:
        data_dir: The folder of the project's data.
        url: Of the database, without a password. A copy elsewhere has a journal of its own.
        database: Its id.
    """
    return data_dir / FOLDER / f"{place_of(data_dir, url)}-{database}"


def journals_at(data_dir: Path, url: str) -> list[Path]:
    """Return the journals of the databases that were at a place, the last written first."""
    found = (data_dir / FOLDER).glob(f"{place_of(data_dir, url)}-" + "[0-9a-f]" * 16)
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def database_of(journal: Path) -> str:
    """Return the id of the database whose journal it is."""
    return journal.name.rpartition("-")[2]


def place_of(data_dir: Path, url: str) -> str:
    """Return a short name for a place; it stays when the whole project is moved.

    A server can be reached by several names, so only that of the database in it counts.
    """
    project = data_dir.parent
    path = url.removeprefix("sqlite:///")
    if path == url:
        path = make_url(url).database or ""
    elif Path(path).is_relative_to(project):
        path = Path(path).relative_to(project).as_posix()
    return hashlib.sha256(path.encode()).hexdigest()[:8]


class Journal:
    """A journal, also before it exists and while other processes write to it.

    Args:
        path: The file.
        revision: Of the schema whose rows are written.
    """

    def __init__(self, path: Path, revision: str) -> None:
        self.path = path
        self.changes: list[Change] = []
        """Those that count, by rising number, as of the last `look`."""
        self.damage: str | None = None
        """What is wrong behind them."""
        self._revision = revision
        self._file_id: tuple[int, int] | None = None
        self._end = 0

    def look(self) -> None:
        """Take note of what was written since the last look.

        Raises:
            StoreUnavailableError: If the file cannot be read.
        """
        try:
            with _opened(self.path, os.O_RDONLY) as file:
                self._look(file)
        except FileNotFoundError:
            self._forget(None)
        except OSError as error:
            unavailable(self.path, "read", error)

    def follows(self, seq: int) -> bool:
        """Whether a change of the number can be appended: all before it is there."""
        before = next((c for c in reversed(self.changes) if c.seq < seq), None)
        if before is None or self.damage is not None:
            return False
        return before.seq == seq - 1 and before.revision == self._revision

    def append(self, seq: int, content: Iterable[Rows | Deleted]) -> None:
        """Append a change that `follows`; nobody else may write meanwhile.

        Raises:
            StoreUnavailableError: If it cannot be written; then nothing is.
        """
        try:
            with _opened(self.path, os.O_RDWR) as file:
                os.ftruncate(file, self._end)  # what a killed process has left
                try:
                    self._write(file, seq, content, is_base=False)
                except BaseException:
                    with suppress(OSError):
                        os.ftruncate(file, self._end)
                    raise
                self._look(file)
        except OSError as error:
            unavailable(self.path, "written", error)

    def begin_anew(self, seq: int, content: Iterable[Rows | Deleted]) -> None:
        """Write a new file whose first change is a base; nobody else may write meanwhile.

        Raises:
            StoreUnavailableError: If it cannot be written; then the old file stays.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as aside:
                with _opened(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as file:
                    self._write(file, seq, content, is_base=True)
                if self.damage is not None:
                    self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
            force_to_disk(self.path.parent)
        except OSError as error:
            unavailable(self.path, "written", error)
        self.look()

    def read(self, seq: int | None = None) -> Iterator[Rows | Deleted]:
        """Yield what the database held once a change was made, each row as it last was last.

        Args:
            seq: The number of that change, None for the last.
        """
        counted = [change for change in self.changes if seq is None or change.seq <= seq]
        bases = [n for n, change in enumerate(counted) if change.is_base]
        with _opened(self.path, os.O_RDONLY) as file:
            for change in counted[bases[-1] if bases else 0 :]:
                for frame in self._frames(file, change.start):
                    content = _content(frame.payload)
                    if content is not None:
                        yield content
                    if frame.end >= change.end:
                        break

    def _look(self, file: int) -> None:
        status = os.fstat(file)
        if (status.st_dev, status.st_ino) != self._file_id or status.st_size < self._end:
            self._forget((status.st_dev, status.st_ino))
        begun: dict[str, Any] | None = None
        start = position = self._end
        try:
            for frame in self._frames(file, self._end):
                kind = frame.payload[0]
                if kind == _BEGIN:
                    begun, start = json.loads(frame.payload[1:]), position
                elif kind == _END and begun is not None:
                    self._add(begun, start, frame.end)
                    begun = None
                position = frame.end
        except StoreError as error:
            self.damage = error.message

    def _frames(self, file: int, offset: int) -> Iterator[Frame]:
        try:
            yield from read_frames(file, self.path, offset)
        except StoreError as error:
            raise StoreError(f"journal {error.message.removeprefix('spool ')}") from error

    def _add(self, begun: dict[str, Any], start: int, end: int) -> None:
        if begun["version"] != _VERSION:
            raise StoreError(f"journal {self.path} has version {begun['version']}, not {_VERSION}")
        while self.changes and self.changes[-1].seq >= begun["seq"]:
            self.changes.pop()
        change = Change(begun["seq"], start, end, begun["is_base"], begun["revision"])
        self.changes.append(change)
        self._end = end

    def _forget(self, file_id: tuple[int, int] | None) -> None:
        self._file_id, self._end, self.damage = file_id, 0, None
        self.changes.clear()

    def _write(
        self, file: int, seq: int, content: Iterable[Rows | Deleted], *, is_base: bool
    ) -> None:
        about = {"version": _VERSION, "seq": seq, "is_base": is_base, "revision": self._revision}
        os.lseek(file, 0, os.SEEK_END)
        data = bytearray(_frame(_BEGIN, about))
        for part in content:
            data += _packed(part)
            if len(data) > _CHUNK_BYTES:
                _write_all(file, data)
                data.clear()
        data += _frame(_END, {})
        _write_all(file, data)
        os.fdatasync(file)


def _packed(part: Rows | Deleted) -> bytes:
    if isinstance(part, Deleted):
        return _frame(_DELETED, part.run_id)
    return _frame(_ROWS, part)


def _frame(kind: int, value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return framed(bytes((kind,)) + text.encode())


def _content(payload: bytes) -> Rows | Deleted | None:
    if payload[0] == _DELETED:
        return Deleted(json.loads(payload[1:]))
    if payload[0] == _ROWS:
        table, columns, rows = json.loads(payload[1:])
        return Rows(table, tuple(columns), rows)
    return None


def _write_all(file: int, data: bytes | bytearray) -> None:
    written = 0
    while written < len(data):
        written += os.write(file, memoryview(data)[written:])


@contextmanager
def _opened(path: Path, flags: int) -> Generator[int]:
    file = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        yield file
    finally:
        os.close(file)
