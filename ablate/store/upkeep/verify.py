"""Compares a database with all that the disk has of it a second time.

A database is made anew in a temporary file, from the journal and from as much of the spools as is
stored, and both are read side by side. Nothing but a few rows is in memory. Where the disk has no
second copy, the rollups are held against the points from which they follow.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from ablate.errors import StoreError
from ablate.files import scratch_folder
from ablate.store.schema.changes import everything, numbered
from ablate.store.schema.engine import Database, connect, reading, writing
from ablate.store.schema.journal import Deleted, Journal, Rows, journal_path, journals_at
from ablate.store.schema.models import AttemptRow
from ablate.store.schema.revision import HEAD
from ablate.store.upkeep.comparison import DatabaseComparison
from ablate.store.upkeep.migrate import upgrade
from ablate.store.upkeep.replay import Replay, Spool, SpoolFault, SpoolOf


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """How a database compares with what is on the disk."""

    differences: tuple[str, ...]
    """Empty when nothing differs."""
    runs: int
    """How many have begun."""
    whole: int
    """Of these many the points, events and checkpoints were compared with their spools."""
    not_compared: tuple[str, ...]
    """What the disk does not have a second time, and why."""


@dataclass(slots=True)
class _Source:
    """From where the rows come that no spool has."""

    content: Iterable[Rows | Deleted]
    is_journal: bool
    difference: str | None = None
    note: str | None = None


def verify(url: str, data_dir: Path, spool_of: SpoolOf) -> Verification:
    """Compare a database; writes nothing but a temporary file.

    Args:
        url: Of the database, which has the newest schema.
        data_dir: The folder of the project's data.
        spool_of: Where the spools are.

    Raises:
        StoreUnavailableError: If the temporary file cannot be written.
    """
    with scratch_folder(data_dir) as scratch:
        copy = f"sqlite:///{scratch}/copy.db"
        upgrade(copy)
        with closing(connect(url, read_only=True)) as database, closing(connect(copy)) as anew:
            try:
                with reading(database) as here:
                    return _verify(here, database, anew, data_dir, spool_of)
            except (StoreError, ValueError, LookupError) as error:
                # What is damaged may be no text, no JSON, or lead nowhere.
                said = error.message if isinstance(error, StoreError) else repr(error)
                difference = f"cannot be read or made anew: {said}"
                return Verification(differences=(difference,), runs=0, whole=0, not_compared=())


def _verify(
    here: Connection, database: Database, anew: Database, data_dir: Path, spool_of: SpoolOf
) -> Verification:
    source = _source(here, database, data_dir)
    runs = set(here.execute(select(AttemptRow.run_id)).scalars())
    with writing(anew) as there:
        replay = Replay(there, _as_stored(here, spool_of))
        replay.put(source.content)
        replay.read_spools()
        incomplete = {fault.run_id for fault in replay.faults}
        comparison = DatabaseComparison(here, there, runs - incomplete)
        comparison.compare_schema()
        if source.is_journal:
            comparison.compare_rows()
        comparison.compare_content()
    first = (source.difference,) if source.difference else ()
    notes = [source.note] if source.note else []
    return Verification(
        differences=(*first, *comparison.differences),
        runs=len(runs),
        whole=len(runs - incomplete),
        not_compared=(*notes, *_said(replay.faults)),
    )


def _as_stored(here: Connection, spool_of: SpoolOf) -> SpoolOf:
    """Return where spools are, as far as they are stored."""
    rows = here.execute(select(AttemptRow.id, AttemptRow.spool_offset))
    stored = {row[0]: row[1] for row in rows}

    def find(run_id: str, number: int, attempt_id: int, is_imported: bool) -> Spool:
        spool = spool_of(run_id, number, attempt_id, is_imported)
        return spool if is_imported else Spool(spool.path, stored.get(attempt_id, 0))

    return find


def _source(here: Connection, database: Database, data_dir: Path) -> _Source:
    name, seq = numbered(here)
    journal = Journal(journal_path(data_dir, database.shown, name), HEAD)
    journal.look()
    if not journal.changes:
        return _without(here, database, data_dir, journal)
    if journal.damage:
        return _Source(everything(here), False, note=f"studies, runs, attempts: {journal.damage}")
    last = journal.changes[-1]
    if last.revision != HEAD:
        return _Source(everything(here), False, note=f"studies, runs, attempts: {_OLD}")
    if seq > last.seq:
        lacks = f"its journal lacks {seq - last.seq} changes that the database has seen"
        if database.path is None:
            return _Source(everything(here), False, note=f"{lacks}, from another machine")
        return _Source(everything(here), False, difference=lacks)
    # One more may have been written down and never committed.
    older = f"it lacks the last {last.seq - seq} changes that its journal has"
    is_older = last.seq > seq + 1
    return _Source(journal.read(seq), True, difference=older if is_older else None)


_OLD = "the journal is of an older schema; `ablate db upgrade` writes it anew"


def _without(here: Connection, database: Database, data_dir: Path, journal: Journal) -> _Source:
    """Return the rows themselves: there is no journal of this database."""
    others = journals_at(data_dir, database.shown)
    if others and database.path is not None:
        difference = f"it has another id than the database whose journal is {others[0]}"
        return _Source(everything(here), False, difference=difference)
    note = f"studies, runs, attempts: there is no journal {journal.path}"
    return _Source(everything(here), False, note=note)


def _said(faults: list[SpoolFault]) -> list[str]:
    return [f"run {fault.run_id}, attempt {fault.attempt}: {fault.text}" for fault in faults]
