"""What statements have in common: how many parameters they take, types of rows and of queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Row, Select

MAX_STEP = 2**63 - 1
_CHUNK = 1000
"""Parameters of one statement; SQLite takes 32766, PostgreSQL 65535."""

AnyRow: TypeAlias = "Row[*tuple[Any, ...]]"
AnySelect: TypeAlias = "Select[*tuple[Any, ...]]"
T = TypeVar("T")


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in lists that fit into one statement."""
    everything = list(items)
    for start in range(0, len(everything), _CHUNK):
        yield everything[start : start + _CHUNK]
