"""The first schema: studies, runs, attempts, metrics, and the view ``run_metrics``.

Revises: nothing
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
DOUBLE = sa.Double().with_variant(sa.REAL(), "sqlite")
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
STRICT = {"sqlite_strict": True}
COMPACT = {"sqlite_strict": True, "sqlite_with_rowid": False}

# A run has one row for each (key, step): an attempt counts from behind the step it resumed from,
# up to the step from which a later attempt did. Kinds: see the table `points`.
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
    AND points.step >= coalesce(attempts.start_step + 1, 0)
    AND points.step <= coalesce(attempts.cut_step, 9223372036854775807)
JOIN steps ON steps.attempt_id = attempts.id AND steps.step = points.step
WHERE study_runs.is_wanted
"""


def upgrade() -> None:
    create_studies()
    create_runs()
    create_metrics()
    create_records()
    op.execute(RUN_METRICS)


def create_studies() -> None:
    op.create_table(
        "studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("created_at", DOUBLE, nullable=False),
        sa.Column("updated_at", DOUBLE, nullable=False),
        sa.Column("is_archived", FLAG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.UniqueConstraint("name", name="uq_studies_name"),
        **STRICT,
    )
    op.create_table(
        "variants",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("factors", sa.Text(), nullable=False),
        sa.Column("is_phase", FLAG, nullable=False),
        sa.Column("is_baseline", FLAG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_variants"),
        sa.UniqueConstraint("study_id", "name", name="uq_variants_study_id_name"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_variants_study_id_studies"),
        **STRICT,
    )


def create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("seed", BIG, nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("trainer", sa.Text(), nullable=False),
        sa.Column("trainer_version", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("token", BIG, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", DOUBLE, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("identity", "seed", name="uq_runs_identity_seed"),
        **STRICT,
    )
    op.create_index("ix_runs_state", "runs", ["state"])
    op.create_table(
        "study_runs",
        sa.Column("variant_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_wanted", FLAG, nullable=False),
        sa.PrimaryKeyConstraint("variant_id", "run_id", name="pk_study_runs"),
        sa.ForeignKeyConstraint(
            ["variant_id"], ["variants.id"], name="fk_study_runs_variant_id_variants"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_study_runs_run_id_runs"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_study_runs_study_id_studies"
        ),
        **STRICT,
    )
    op.create_index("ix_study_runs_study_id_position", "study_runs", ["study_id", "position"])
    op.create_index("ix_study_runs_run_id", "study_runs", ["run_id"])
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("runner", sa.Text(), nullable=False),
        sa.Column("token", BIG, nullable=False),
        sa.Column("lease_expires_at", DOUBLE, nullable=False),
        sa.Column("started_at", DOUBLE, nullable=False),
        sa.Column("finished_at", DOUBLE),
        sa.Column("has_started", FLAG, nullable=False),
        sa.Column("start_step", BIG),
        sa.Column("cut_step", BIG),
        sa.Column("last_step", BIG, nullable=False),
        sa.Column("spool_offset", BIG, nullable=False),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("traceback", sa.Text()),
        sa.Column("inexact", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_attempts"),
        sa.UniqueConstraint("run_id", "number", name="uq_attempts_run_id_number"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_attempts_run_id_runs"),
        **STRICT,
    )
    op.create_index("ix_attempts_state", "attempts", ["state"])


def create_metrics() -> None:
    op.create_table(
        "metric_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_metric_keys"),
        sa.UniqueConstraint("name", name="uq_metric_keys_name"),
        **STRICT,
    )
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.UniqueConstraint("attempt_id", "key_id", name="uq_series_attempt_id_key_id"),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempts.id"], name="fk_series_attempt_id_attempts"
        ),
        sa.ForeignKeyConstraint(
            ["key_id"], ["metric_keys.id"], name="fk_series_key_id_metric_keys"
        ),
        **STRICT,
    )
    op.create_table(
        "steps",
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("step", BIG, nullable=False),
        sa.Column("time", DOUBLE, nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", "step", name="pk_steps"),
        **COMPACT,
    )
    op.create_table(
        "points",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("kind", SMALL, nullable=False, server_default="0"),
        sa.Column("step", BIG, nullable=False),
        sa.Column("value", DOUBLE),
        sa.Column("time", DOUBLE),
        sa.PrimaryKeyConstraint(
            "series_id", "step", name="pk_points", postgresql_include=["value"]
        ),
        **COMPACT,
    )


def create_records() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("step", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("time", DOUBLE, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempts.id"], name="fk_events_attempt_id_attempts"
        ),
        **STRICT,
    )
    op.create_index("ix_events_attempt_id_step", "events", ["attempt_id", "step"])
    op.create_table(
        "checkpoints",
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("step", BIG, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", "step", name="pk_checkpoints"),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempts.id"], name="fk_checkpoints_attempt_id_attempts"
        ),
        **STRICT,
    )
    op.create_table(
        "transitions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("at", DOUBLE, nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("token", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_transitions"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_transitions_run_id_runs"),
        **STRICT,
    )
    op.create_index("ix_transitions_run_id", "transitions", ["run_id"])
    op.create_table(
        "mirror_cursors",
        sa.Column("mirror", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", BIG, nullable=False),
        sa.Column("is_finished", FLAG, nullable=False),
        sa.PrimaryKeyConstraint("mirror", "run_id", name="pk_mirror_cursors"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_mirror_cursors_run_id_runs"),
        **STRICT,
    )


def downgrade() -> None:
    op.execute("DROP VIEW run_metrics")
    for table in (
        "mirror_cursors",
        "transitions",
        "checkpoints",
        "events",
        "points",
        "steps",
        "series",
        "metric_keys",
        "attempts",
        "study_runs",
        "runs",
        "variants",
        "studies",
    ):
        op.drop_table(table)
