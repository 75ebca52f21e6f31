"""From which run's checkpoint a run begins.

Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# As text: alembic adds a constraint of its own, which SQLite cannot, instead of one of the column.
PARENT = """
ALTER TABLE runs ADD COLUMN parent_id TEXT CONSTRAINT fk_runs_parent_id_runs REFERENCES runs (id)
"""


def upgrade() -> None:
    op.execute(PARENT)
    op.add_column("runs", sa.Column("parent_step", BIG))
    op.create_index("ix_runs_parent_id", "runs", ["parent_id"])


def downgrade() -> None:
    op.drop_index("ix_runs_parent_id", "runs")
    op.drop_column("runs", "parent_step")
    op.drop_column("runs", "parent_id")
