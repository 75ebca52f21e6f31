"""The results store: where truth lives. `open_store` is the way in; `base` states the contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ablate.errors import NotFoundError

if TYPE_CHECKING:
    from ablate.store.base import Store
    from ablate.store.schema.engine import Database

__all__ = ["open_store", "prepare"]

_IMPORTS = "imports"
"""In the folder of a project's data: see `ablate.store.writing.import_spools`."""


def open_store(
    url: str,
    *,
    read_only: bool = False,
    data_dir: Path | None = None,
    wait_s: float | None = None,
) -> Store:
    """Open the store; a new or empty database gets the schema first.

    Args:
        url: ``sqlite:///PATH``, the path alone, or ``postgresql://USER@HOST/NAME``.
        read_only: Open without the right to write; nothing is made.
        data_dir: The folder of the project's data, which takes a second copy of what is written
            and no spool has. Without it the database is the only one.
        wait_s: How long what is written waits for others who write; None for a minute.

    Raises:
        NotFoundError: If it is to be read only and there is none.
        SchemaVersionError: If its schema is older or newer than this code.
        StoreUnavailableError: If it cannot be reached or opened.
        StoreError: If it belongs to something else.
        UsageError: If the URL is not supported.
    """
    from ablate.store.schema.engine import WAIT_S, connect
    from ablate.store.sql import SqlStore

    prepare(url, read_only=read_only, data_dir=data_dir)
    database = connect(url, read_only=read_only, wait_s=WAIT_S if wait_s is None else wait_s)
    if read_only or data_dir is None:
        return SqlStore(database)
    try:
        return SqlStore(with_journal(database, data_dir), imports=data_dir / _IMPORTS)
    except BaseException:
        database.close()
        raise


def with_journal(database: Database, data_dir: Path) -> Database:
    """Return a database whose changes are written into its journal, which is whole by now.

    Raises:
        StoreUnavailableError: If the journal cannot be written.
    """
    from dataclasses import replace

    from ablate.store.schema.changes import catch_up, numbered
    from ablate.store.schema.engine import reading, writing
    from ablate.store.schema.journal import Journal, journal_path
    from ablate.store.schema.revision import HEAD

    with reading(database) as connection:
        name, seq = numbered(connection)
    journal = Journal(journal_path(data_dir, database.shown, name), HEAD)
    journal.look()
    if not journal.follows(seq + 1):
        with writing(database) as connection:
            catch_up(connection, journal)
    return replace(database, journal=journal)


def prepare(url: str, *, read_only: bool, data_dir: Path | None = None) -> None:
    """See to it that the schema is there and is the one that this code knows.

    A database of which there is a journal is not begun anew beside it: its runs would be trained
    a second time.

    Raises:
        AblateError: As `open_store`.
    """
    from ablate.store.schema.journal import journals_at
    from ablate.store.schema.revision import check_usable, peek

    schema = peek(url)
    if not schema.is_empty:
        check_usable(schema)
        return
    if data_dir is not None and journals_at(data_dir, schema.shown):
        raise NotFoundError(
            f"the database {schema.shown} is gone; its journal and what was trained are there",
            hint=f"run: ablate db rebuild; to begin anew instead, move {data_dir} aside",
        )
    if read_only:
        raise NotFoundError(
            f"there is no ablate database at {schema.shown}",
            hint="`ablate study create` makes one",
        )
    from ablate.store.upkeep.migrate import upgrade

    upgrade(url)
