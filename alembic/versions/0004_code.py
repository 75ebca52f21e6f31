"""Which code trained an attempt, from which file a study came, where an attempt begins to count.

Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# As text: alembic adds a constraint of its own, which SQLite cannot, instead of one of the column.
CODE = """
ALTER TABLE attempts ADD COLUMN code_id INTEGER
CONSTRAINT fk_attempts_code_id_codes REFERENCES codes (id)
"""

# A run has one row for each (key, step): an attempt counts from its first step, else from behind
# the step it resumed from, up to the step from which a later attempt did.
RUN_METRICS = """
CREATE VIEW run_metrics (study, variant, seed, run, key, step, value, kind, time) AS
SELECT
    studies.name,
    variants.name,
    runs.seed,
    runs.id,
    metric_keys.name,
    points.step,
    points.value,
    CASE points.kind WHEN 1 THEN 'nan' WHEN 2 THEN '+inf' WHEN 3 THEN '-inf' ELSE 'finite' END,
    coalesce(points.time, steps.time)
FROM study_runs
JOIN studies ON studies.id = study_runs.study_id
JOIN variants ON variants.id = study_runs.variant_id
JOIN runs ON runs.id = study_runs.run_id
JOIN attempts ON attempts.run_id = runs.id
JOIN series ON series.attempt_id = attempts.id
JOIN metric_keys ON metric_keys.id = series.key_id
JOIN points
    ON points.series_id = series.id
    AND points.step >= {first}
    AND points.step <= coalesce(attempts.cut_step, 9223372036854775807)
JOIN steps ON steps.attempt_id = attempts.id AND steps.step = points.step
WHERE study_runs.is_wanted
"""


def upgrade() -> None:
    op.create_table(
        "codes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_codes"),
        sa.UniqueConstraint("sha256", name="uq_codes_sha256"),
        sqlite_strict=True,
    )
    op.execute("DROP VIEW run_metrics")
    op.execute(CODE)
    op.add_column("attempts", sa.Column("first_step", BIG))
    op.add_column("studies", sa.Column("source", sa.Text()))
    op.add_column("studies", sa.Column("source_sha256", sa.Text()))
    first = "coalesce(attempts.first_step, attempts.start_step + 1, 0)"
    op.execute(RUN_METRICS.format(first=first))


def downgrade() -> None:
    op.execute("DROP VIEW run_metrics")
    op.drop_column("studies", "source_sha256")
    op.drop_column("studies", "source")
    op.drop_column("attempts", "first_step")
    op.drop_column("attempts", "code_id")
    op.drop_table("codes")
    op.execute(RUN_METRICS.format(first="coalesce(attempts.start_step + 1, 0)"))
