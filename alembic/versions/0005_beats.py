"""Who lives is told by beats; the digest of a checkpoint's note; what number of changes there were.

Revises: 0004
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DOUBLE = sa.Double().with_variant(sa.REAL(), "sqlite")


def upgrade() -> None:
    op.add_column("attempts", sa.Column("beats", BIG, nullable=False, server_default="0"))
    op.add_column("attempts", sa.Column("lease_s", DOUBLE, nullable=False, server_default="30"))
    op.drop_column("attempts", "lease_expires_at")
    op.add_column("checkpoints", sa.Column("note_sha256", sa.Text()))
    journal = op.create_table(
        "journal",
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.PrimaryKeyConstraint("database", name="pk_journal"),
        sqlite_strict=True,
    )
    op.bulk_insert(journal, [{"database": secrets.token_hex(8), "seq": 0}])


def downgrade() -> None:
    op.drop_table("journal")
    op.drop_column("checkpoints", "note_sha256")
    # All leases have run out: nobody may hold a run while the schema changes.
    op.add_column(
        "attempts", sa.Column("lease_expires_at", DOUBLE, nullable=False, server_default="0")
    )
    op.drop_column("attempts", "lease_s")
    op.drop_column("attempts", "beats")
