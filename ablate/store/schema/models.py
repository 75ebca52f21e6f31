"""The tables: columns and constraints, nothing else.

Points and steps have no foreign keys, for speed: they are written only together with a row of
``attempts`` that the transaction holds, and deleted only with it. One ``series_id`` instead of
(attempt_id, key_id) saves a byte a point in SQLite and four in PostgreSQL.
"""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# STRICT tables of SQLite know INTEGER, REAL and TEXT alone.
_BIG = BigInteger().with_variant(Integer(), "sqlite")
_SMALL = SmallInteger().with_variant(Integer(), "sqlite")
_DOUBLE = Double().with_variant(REAL(), "sqlite")

Count = Annotated[int, mapped_column(Integer)]
Step = Annotated[int, mapped_column(_BIG)]
Seconds = Annotated[float, mapped_column(_DOUBLE)]
"""Since 1970 in UTC, by the clock of the database unless it says otherwise."""
Few = Annotated[int, mapped_column(_SMALL)]
Number = Annotated[float, mapped_column(_DOUBLE)]
Flag = Annotated[bool, mapped_column(Boolean().with_variant(Integer(), "sqlite"))]
Words = Annotated[str, mapped_column(Text)]
JsonText = Annotated[str, mapped_column(Text)]
Id = Annotated[int, mapped_column(Integer, primary_key=True)]

_STRICT: dict[str, Any] = {"sqlite_strict": True}
_COMPACT: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}


class Base(DeclarativeBase):
    """All tables of one database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class StudyRow(Base):
    """A study and its newest plan."""

    __tablename__ = "studies"
    __table_args__ = (_STRICT,)

    id: Mapped[Id]
    name: Mapped[Words] = mapped_column(unique=True)
    question: Mapped[Words]
    plan: Mapped[JsonText]
    created_at: Mapped[Seconds]
    updated_at: Mapped[Seconds]
    is_archived: Mapped[Flag]
    source: Mapped[Words | None]
    """The study file, relative to the project where it lies in it."""
    source_sha256: Mapped[Words | None]
    """Of that file when the study was created from it."""


class VariantRow(Base):
    """A variant of a study as its newest plan says; one that it dropped stays."""

    __tablename__ = "variants"
    __table_args__ = (UniqueConstraint("study_id", "name"), _STRICT)

    id: Mapped[Id]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    name: Mapped[Words]
    position: Mapped[Count]
    identity: Mapped[Words]
    config: Mapped[JsonText]
    factors: Mapped[JsonText]
    is_phase: Mapped[Flag]
    is_baseline: Mapped[Flag]


class RunRow(Base):
    """A run; studies that want the same (identity, seed) share it."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("identity", "seed"),
        Index(None, "state"),
        Index(None, "parent_id"),
        _STRICT,
    )

    id: Mapped[Words] = mapped_column(primary_key=True)
    identity: Mapped[Words]
    seed: Mapped[int] = mapped_column(_BIG)
    config: Mapped[JsonText]
    trainer: Mapped[Words]
    trainer_version: Mapped[Words]
    state: Mapped[Words]
    token: Mapped[int] = mapped_column(_BIG)
    """Fencing token of the newest claim; grows with every claim, take-over and cancel."""
    reason: Mapped[Words | None]
    created_at: Mapped[Seconds]
    parent_id: Mapped[str | None] = mapped_column(Text, ForeignKey("runs.id"))
    """From whose checkpoint it begins; NULL for the beginning."""
    parent_step: Mapped[Step | None]
    """At which step that checkpoint was made."""


class StudyRunRow(Base):
    """That a variant of a study wants a run, or once wanted it."""

    __tablename__ = "study_runs"
    __table_args__ = (Index(None, "study_id", "position"), Index(None, "run_id"), _STRICT)

    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    position: Mapped[Count]
    """In the order of the plan's cells."""
    is_wanted: Mapped[Flag]


class CodeRow(Base):
    """What attempts were trained by: `ablate.provenance.Code` as JSON, each once."""

    __tablename__ = "codes"
    __table_args__ = (_STRICT,)

    id: Mapped[Id]
    sha256: Mapped[Words] = mapped_column(unique=True)
    content: Mapped[JsonText]


class AttemptRow(Base):
    """One process execution of a run. Its points count for steps in (start_step, cut_step].

    A point at ``start_step`` that none of the earlier attempts has is kept for the one that had
    made the checkpoint, beside this one.
    """

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("run_id", "number"), Index(None, "state"), _STRICT)

    id: Mapped[Id]
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    number: Mapped[Count]
    state: Mapped[Words]
    runner: Mapped[Words]
    token: Mapped[int] = mapped_column(_BIG)
    beats: Mapped[int] = mapped_column(_BIG, server_default="0")
    """Grows as long as the runner lives: whoever wants to take over watches it."""
    lease_s: Mapped[Number] = mapped_column(server_default="30")
    """How long it has to be watched without growing."""
    started_at: Mapped[Seconds]
    finished_at: Mapped[Seconds | None]
    has_started: Mapped[Flag]
    """Whether it is known from where it trains."""
    start_step: Mapped[Step | None]
    """Of the checkpoint it resumed from; NULL for the beginning."""
    first_step: Mapped[Step | None]
    """Counts from here instead, as where it begins from another run's checkpoint."""
    code_id: Mapped[int | None] = mapped_column(ForeignKey("codes.id"))
    cut_step: Mapped[Step | None]
    """Later attempts replaced what follows; NULL for nothing, -1 for all."""
    last_step: Mapped[Step]
    """The largest step with a point; -1 for none."""
    spool_offset: Mapped[int] = mapped_column(_BIG)
    exit_code: Mapped[Count | None]
    error: Mapped[Words | None]
    traceback: Mapped[Words | None]
    inexact: Mapped[Words | None]


class MetricKeyRow(Base):
    """A metric key, spelled once."""

    __tablename__ = "metric_keys"
    __table_args__ = (_STRICT,)

    id: Mapped[Id]
    name: Mapped[Words] = mapped_column(unique=True)


class SeriesRow(Base):
    """A metric key of an attempt; its points lie together."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("attempt_id", "key_id"), _STRICT)

    id: Mapped[Id]
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"))
    key_id: Mapped[int] = mapped_column(ForeignKey("metric_keys.id"))


class StepRow(Base):
    """When a step of an attempt was first logged."""

    __tablename__ = "steps"
    __table_args__ = (PrimaryKeyConstraint("attempt_id", "step"), _COMPACT)

    attempt_id: Mapped[Count]
    step: Mapped[Step]
    time: Mapped[Seconds]


class PointRow(Base):
    """A logged value."""

    __tablename__ = "points"
    __table_args__ = (
        PrimaryKeyConstraint("series_id", "step", postgresql_include=["value"]),
        _COMPACT,
    )

    series_id: Mapped[Count]
    kind: Mapped[int] = mapped_column(_SMALL, server_default="0")
    """0 finite, 1 NaN, 2 +Inf, 3 -Inf, 4 finite and -0.0, whose sign SQLite does not keep.

    It stands here because PostgreSQL would fill a gap of 8 bytes elsewhere.
    """
    step: Mapped[Step]
    value: Mapped[float | None] = mapped_column(_DOUBLE)
    """NULL unless finite."""
    time: Mapped[Seconds | None]
    """NULL when it is that of the step."""


class RollupRow(Base):
    """The points of a series in a bucket of 50 steps: after 50 (bucket - 1), up to 50 bucket.

    A value whose place is ``at`` was logged at step 50 (bucket - 1) + at. PostgreSQL would fill
    gaps between other orders of the columns.
    """

    __tablename__ = "rollups"
    __table_args__ = (PrimaryKeyConstraint("series_id", "bucket"), _COMPACT)

    series_id: Mapped[Count]
    n: Mapped[Few]
    """How many finite values; the numbers that follow are of them alone."""
    n_nan: Mapped[Few]
    n_pos_inf: Mapped[Few]
    n_neg_inf: Mapped[Few]
    first_at: Mapped[Few | None]
    min_at: Mapped[Few | None]
    max_at: Mapped[Few | None]
    last_at: Mapped[Few | None]
    bucket: Mapped[Step]
    sum: Mapped[Number | None]
    """Rounded once; NULL also when it is too large for a double."""
    first: Mapped[Number | None]
    min: Mapped[Number | None]
    max: Mapped[Number | None]
    last: Mapped[Number | None]


class EventRow(Base):
    """Something with a step that explains a curve."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "attempt_id", "step"), _STRICT)

    id: Mapped[Id]
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"))
    step: Mapped[Step]
    name: Mapped[Words]
    data: Mapped[JsonText]
    time: Mapped[Seconds]


class CheckpointRow(Base):
    """A verified checkpoint."""

    __tablename__ = "checkpoints"
    __table_args__ = (_STRICT,)

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    step: Mapped[int] = mapped_column(_BIG, primary_key=True)
    path: Mapped[Words]
    sha256: Mapped[Words]
    size_bytes: Mapped[int] = mapped_column(_BIG)
    note_sha256: Mapped[Words | None]
    """Of the JSON file beside it; NULL where an earlier version has written it."""


class TransitionRow(Base):
    """A change of a run's state: when, by whom, under which token."""

    __tablename__ = "transitions"
    __table_args__ = (Index(None, "run_id"), _STRICT)

    id: Mapped[Id]
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    at: Mapped[Seconds]
    from_state: Mapped[Words]
    to_state: Mapped[Words]
    by: Mapped[Words]
    reason: Mapped[Words | None]
    token: Mapped[int] = mapped_column(_BIG)


class MirrorCursorRow(Base):
    """How far a run was copied to a mirror."""

    __tablename__ = "mirror_cursors"
    __table_args__ = (_STRICT,)

    mirror: Mapped[Words] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    remote_id: Mapped[Words]
    attempt: Mapped[Count]
    step: Mapped[Step]
    is_finished: Mapped[Flag]


class JournalRow(Base):
    """How many changes the database has seen; `ablate.store.schema.journal` has each. One row."""

    __tablename__ = "journal"
    __table_args__ = (_STRICT,)

    database: Mapped[Words] = mapped_column(primary_key=True)
    """Random: which database it is, wherever it lies."""
    seq: Mapped[int] = mapped_column(_BIG)
