"""Summaries of series by step buckets, made for the points that are there.

Revises: 0001
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
DOUBLE = sa.Double().with_variant(sa.REAL(), "sqlite")
COMPACT = {"sqlite_strict": True, "sqlite_with_rowid": False}

WIDTH = 50
FINITE_KINDS = (0, 4)

Points = Sequence[tuple[int, float | None, int]]
"""step, value, kind"""


def upgrade() -> None:
    rollups = op.create_table(
        "rollups",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("n", SMALL, nullable=False),
        sa.Column("n_nan", SMALL, nullable=False),
        sa.Column("n_pos_inf", SMALL, nullable=False),
        sa.Column("n_neg_inf", SMALL, nullable=False),
        sa.Column("first_at", SMALL),
        sa.Column("min_at", SMALL),
        sa.Column("max_at", SMALL),
        sa.Column("last_at", SMALL),
        sa.Column("bucket", BIG, nullable=False),
        sa.Column("sum", DOUBLE),
        sa.Column("first", DOUBLE),
        sa.Column("min", DOUBLE),
        sa.Column("max", DOUBLE),
        sa.Column("last", DOUBLE),
        sa.PrimaryKeyConstraint("series_id", "bucket", name="pk_rollups"),
        **COMPACT,
    )
    fill(op.get_bind(), rollups)


def fill(connection: sa.Connection, rollups: sa.Table) -> None:
    ids = connection.execute(sa.text("SELECT id FROM series ORDER BY id")).scalars().all()
    for series_id in ids:
        rows = [
            {"series_id": series_id, "bucket": bucket} | rollup(bucket, points)
            for bucket, points in buckets(stored_points(connection, series_id))
        ]
        if rows:
            connection.execute(sa.insert(rollups), rows)


def stored_points(connection: sa.Connection, series_id: int) -> Iterable[Any]:
    query = sa.text("SELECT step, value, kind FROM points WHERE series_id = :id ORDER BY step")
    return connection.execute(query, {"id": series_id})


def buckets(points: Iterable[Any]) -> Iterator[tuple[int, Points]]:
    """Yield the buckets: each holds the steps after width (bucket - 1), up to width bucket."""
    for bucket, group in groupby(points, key=lambda point: -(-point[0] // WIDTH)):
        yield bucket, list(group)


def rollup(bucket: int, points: Points) -> dict[str, Any]:
    finite = [(step, value) for step, value, kind in points if kind in FINITE_KINDS]
    kinds = [kind for _, _, kind in points]
    return {
        "n": len(finite),
        "n_nan": kinds.count(1),
        "n_pos_inf": kinds.count(2),
        "n_neg_inf": kinds.count(3),
        "sum": exact_sum([value for _, value in finite]),
        **outline((bucket - 1) * WIDTH, finite),
    }


def exact_sum(values: Sequence[Any]) -> float | None:
    """Return the sum, None when it is too large or there is none."""
    try:
        return math.fsum(values) if values else None
    except OverflowError:
        return None


def outline(before: int, finite: Sequence[tuple[int, Any]]) -> dict[str, Any]:
    if not finite:
        names = ("first", "min", "max", "last")
        return dict.fromkeys((*names, *(f"{name}_at" for name in names)))
    chosen = {
        "first": finite[0],
        "min": min(finite, key=lambda point: point[1]),
        "max": max(finite, key=lambda point: point[1]),
        "last": finite[-1],
    }
    values = {name: value for name, (_, value) in chosen.items()}
    return values | {f"{name}_at": step - before for name, (step, _) in chosen.items()}


def downgrade() -> None:
    op.drop_table("rollups")
