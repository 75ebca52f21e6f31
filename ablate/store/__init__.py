"""The results store: where truth lives. `open_store` is the way in; `base` states the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.errors import NotFoundError

if TYPE_CHECKING:
    from ablate.store.base import Store

__all__ = ["open_store", "prepare"]


def open_store(url: str, *, read_only: bool = False) -> Store:
    """Open the store; a new or empty database gets the schema first.

    Args:
        url: ``sqlite:///PATH``, the path alone, or ``postgresql://USER@HOST/NAME``.
        read_only: Open without the right to write; nothing is made.

    Raises:
        NotFoundError: If it is to be read only and there is none.
        SchemaVersionError: If its schema is older or newer than this code.
        StoreUnavailableError: If it cannot be reached or opened.
        StoreError: If it belongs to something else.
        UsageError: If the URL is not supported.
    """
    from ablate.store.engine import connect
    from ablate.store.sql import SqlStore

    prepare(url, read_only=read_only)
    return SqlStore(connect(url, read_only=read_only))


def prepare(url: str, *, read_only: bool) -> None:
    """See to it that the schema is there and is the one that this code knows.

    Raises:
        AblateError: As `open_store`.
    """
    from ablate.store.schema import check_usable, peek

    schema = peek(url)
    if not schema.is_empty:
        check_usable(schema)
    elif read_only:
        raise NotFoundError(
            f"there is no ablate database at {schema.shown}",
            hint="`ablate study create` makes one",
        )
    else:
        from ablate.store.migrate import upgrade

        upgrade(url)
