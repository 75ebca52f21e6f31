"""Makes and changes the schema. Alembic is loaded only when a migration or a check runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from ablate.errors import NotFoundError, StoreError
from ablate.store.schema.engine import connect, reading, writing
from ablate.store.schema.revision import (
    HEAD,
    VERSION_TABLE,
    Schema,
    peek,
    read_schema,
    refuse_foreign,
    refuse_newer,
)
from ablate.store.upkeep.maintenance import copy_file, running_runners

if TYPE_CHECKING:
    from alembic.config import Config

RefuseRunners = Callable[[Collection[str]], None]
"""Is given the runners that hold runs, and raises where the schema must not change under them."""

_MIGRATION_LOCK = 0x61626C62
"""Advisory lock of PostgreSQL: one migration at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaStatus:
    """What is right and wrong with a database."""

    url: str
    """Without a password."""
    revision: str | None
    """None when there are no tables of ours."""
    head: str
    """What this code reads and writes."""
    differences: tuple[str, ...]
    """Where tables and models differ; empty when they agree, or cannot be compared."""
    damage: tuple[str, ...]
    """What SQLite's integrity check found; empty on PostgreSQL, which checks its pages itself."""
    foreign_tables: tuple[str, ...]
    """Tables that are not ours; they are never touched."""

    @property
    def is_good(self) -> bool:
        """Whether the database can be used as it is."""
        return self.revision == self.head and not self.differences and not self.damage


def migrations_folder() -> Path:
    """Return the folder of the migrations: in the wheel beside the store, else in the checkout."""
    here = Path(__file__).resolve()
    candidates = (here.parents[1] / "_migrations", here.parents[3] / "alembic")
    for folder in candidates:
        if (folder / "env.py").is_file():
            return folder
    raise StoreError("the migrations are missing from this installation", hint="reinstall ablate")


def upgrade(
    url: str, revision: str = "head", *, refuse: RefuseRunners | None = None
) -> Path | None:
    """Bring a database to a newer schema; a database with rows in SQLite is copied first.

    All or nothing: a process killed in between leaves the old schema.

    Args:
        url: Of the database; an SQLite file is made if there is none.
        revision: Where to; ``head`` for what this code needs.
        refuse: See `RefuseRunners`; asked only where the schema changes.

    Returns:
        The copy of what was before; None where there is none.

    Raises:
        SchemaVersionError: If its schema is newer than this code.
        StoreError: If it belongs to something else, or cannot be written.
    """
    from alembic import command

    run = partial(command.upgrade, revision=revision)
    return _migrate(url, run, target=revision, refuse=refuse)


def downgrade(url: str, revision: str, *, refuse: RefuseRunners | None = None) -> Path | None:
    """Bring a database to an older schema; ``base`` removes all tables of ours.

    Returns:
        As `upgrade`.

    Raises:
        StoreError: As `upgrade`.
    """
    from alembic import command

    run = partial(command.downgrade, revision=revision)
    return _migrate(url, run, target=revision, refuse=refuse)


def check(url: str) -> SchemaStatus:
    """Return what is right and wrong with a database; nothing is changed.

    Raises:
        NotFoundError: If there is no such file.
        StoreUnavailableError: If it cannot be read.
    """
    with closing(connect(url, read_only=True)) as database:
        if database.path and not database.path.exists():
            raise NotFoundError(f"there is no database {database.shown}")
        damage = _damage(database.path) if database.path else ()
        with reading(database) as connection:
            return _status(connection, database.shown, damage)


def _status(connection: Connection, shown: str, damage: tuple[str, ...]) -> SchemaStatus:
    from ablate.store.schema.models import Base

    schema = read_schema(connection, shown)
    is_comparable = schema.revision == HEAD and not damage
    return SchemaStatus(
        url=shown,
        revision=schema.revision,
        head=HEAD,
        differences=_differences(connection) if is_comparable else (),
        damage=damage,
        foreign_tables=tuple(sorted(schema.tables - Base.metadata.tables.keys())),
    )


def _differences(connection: Connection) -> tuple[str, ...]:
    """Return where the tables and the models differ, in alembic's words."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from ablate.store.schema.models import Base

    def is_ours(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
        return kind != "table" or name in Base.metadata.tables

    options = {"version_table": VERSION_TABLE, "include_object": is_ours}
    context = MigrationContext.configure(connection, opts=options)
    return tuple(map(str, compare_metadata(context, Base.metadata)))


def _damage(path: Path) -> tuple[str, ...]:
    """Return what SQLite's own check says, outside of any transaction: damage would end that."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as error:
        return (str(error),)
    return tuple(line for line in found if line != "ok")


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"folder {path.parent} cannot be made: {error.strerror}") from error


def _migrate(
    url: str, run: Callable[[Config], None], *, target: str, refuse: RefuseRunners | None
) -> Path | None:
    """Run alembic in one transaction, alone; return the copy that was made before."""
    _refuse_unknown(peek(url))
    copy = None
    with closing(connect(url)) as database:
        if database.path:
            _make_folder(database.path)
        with writing(database) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            schema = read_schema(connection, database.shown)
            _refuse_unknown(schema)
            is_changed = schema.revision not in (None, HEAD if target == "head" else target)
            if refuse and is_changed:
                refuse(running_runners(connection))
            if database.path and is_changed:
                # Here nobody else can write: the copy is of the revision that its name says.
                copy = _free_name(database.path, f"{schema.revision}")
                copy_file(database.path, copy)
            run(_config(connection))
    return copy


def _refuse_unknown(schema: Schema) -> None:
    refuse_foreign(schema)
    refuse_newer(schema)


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def _free_name(path: Path, revision: str) -> Path:
    """Return where to copy a file of that revision; an earlier copy is never written over."""
    numbers = chain([""], map(".{}".format, count(2)))
    names = (path.with_name(f"{path.name}.{revision}{number}.bak") for number in numbers)
    return next(name for name in names if not name.exists())
