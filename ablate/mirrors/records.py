"""What a mirror is given and what it answers, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much of a run is copied."""

    max_keys: int
    max_points: int
    """Of each key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantSummary:
    """What a study's comparison says about one variant."""

    variant: str
    verdict: str
    reasons: tuple[str, ...]
    values: Mapping[str, float]
    """``<metric key>/mean``, ``/ci_low``, ``/ci_high``, ``/n`` -> value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySummary:
    """A study's comparison, ready to be copied."""

    note: str
    """Markdown."""
    at_step: int
    variants: tuple[VariantSummary, ...]


@dataclass(slots=True)
class Copied:
    """What was copied."""

    runs: int = 0
    points: int = 0
    files: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Parked:
    """Something that MLflow refused: it is left aside until the next `ablate mlflow sync`."""

    study: str
    what: str
    """A run's id, a run's id with the name of a file, ``summaries``, ``note`` or ``experiment``."""
    label: str
    """What a user calls it."""
    reason: str
    since: float
    """Unix seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How far the copy of a run is, or what else of a study was refused."""

    study: str
    what: str
    """A run's label, or what a parked item is called."""
    state: str
    """``whole``, ``behind`` or ``parked``."""
    copied: int | None
    """The step up to which it is in MLflow."""
    step: int | None
    """The step up to which it is in SQL."""
    reason: str | None = None
    """Why it is parked."""
    since: float | None = None
    """Unix seconds; when it was parked."""
