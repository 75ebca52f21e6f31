"""Which schema a database has, and whether this code may use it. Cheap: no alembic here."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text

from ablate.errors import SchemaVersionError, StoreError
from ablate.store.schema.engine import connect, reading

VERSION_TABLE = "ablate_alembic_version"
REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every revision that this code knows, oldest first. A test holds them against ``alembic/``."""
HEAD = REVISIONS[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """What is in a database."""

    shown: str
    """The database's URL without a password."""
    revision: str | None = None
    """None when the tables are not ours, or when there are none."""
    tables: frozenset[str] = frozenset()
    """Without the table of the revision."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there yet."""
        return self.revision is None and not self.tables


def read_schema(connection: Connection, shown: str) -> Schema:
    """Return the revision and the tables of a database."""
    tables = frozenset(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        return Schema(shown=shown, tables=tables)
    version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return Schema(shown=shown, revision=version.scalar(), tables=tables - {VERSION_TABLE})


def peek(url: str) -> Schema:
    """Return what is in a database without changing a byte of it: it may be somebody else's."""
    with closing(connect(url, read_only=True)) as database:
        if database.path and not database.path.exists():
            return Schema(shown=database.shown)
        with reading(database) as connection:
            return read_schema(connection, database.shown)


def check_usable(schema: Schema) -> None:
    """Refuse a database whose schema is not the one that this code reads and writes.

    Raises:
        StoreError: If it belongs to something else.
        SchemaVersionError: If its schema is older or newer.
    """
    refuse_foreign(schema)
    refuse_newer(schema)
    if schema.revision != HEAD:
        raise SchemaVersionError(
            f"database {schema.shown} has schema {schema.revision}, this ablate needs {HEAD}",
            hint="run: ablate db upgrade",
        )


def refuse_foreign(schema: Schema) -> None:
    """Refuse a database with tables, none of which is ours."""
    if schema.revision is None and schema.tables:
        names = sorted(schema.tables)
        listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise StoreError(
            f"database {schema.shown} belongs to something else: it has the tables {listed}",
            hint="give ablate a database of its own; this one was not touched",
        )


def refuse_newer(schema: Schema) -> None:
    """Refuse a schema that a newer version of this code made."""
    if schema.revision is not None and schema.revision not in REVISIONS:
        raise SchemaVersionError(
            f"database {schema.shown} has schema {schema.revision}, this ablate knows up to {HEAD}",
            hint="install a newer ablate: pip install --upgrade ablate-studies",
        )
