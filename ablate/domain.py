"""The words of the product as values: states, metric points, studies, variants, runs, attempts.

Everything here is frozen and imports nothing heavy. What a value means is in ``docs/glossary.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = Any
"""A value that JSON can hold: None, bool, int, float, str, list, dict with string keys."""

Config = Mapping[str, Json]
"""A full trainer config, nested as the trainer declares it."""


IMPORTED = "imported"
"""The trainer of runs whose points come from another tool: they are read, never trained."""

IMPORT_NOTE = "import"
"""Key of an imported run's config: where the run came from."""

POINT_COLUMNS = ("study", "variant", "seed", "run", "key", "step", "value", "kind", "time")
"""What a point is told by: the columns of the view ``run_metrics``, and of exports."""


class RunState(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    """Waits for a worker; also a run that was preempted or paused and can be resumed."""
    RUNNING = "running"
    """An attempt holds its lease."""
    SUCCEEDED = "succeeded"
    """Trained to its last step."""
    FAILED = "failed"
    """The trainer raised, or its process died more often than is retried."""
    DIVERGED = "diverged"
    """The trainer reported that the loss is no longer a number."""
    STOPPED = "stopped"
    """A guard or a gate ended it."""
    CANCELLED = "cancelled"
    """A user ended it."""

    @property
    def is_finished(self) -> bool:
        """Whether only an explicit command can change this state."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


class AttemptState(StrEnum):
    """How one process execution of a run stands or ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DIVERGED = "diverged"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    """Ended at a step boundary with a checkpoint: Ctrl-C, SIGTERM or a step limit."""
    LOST = "lost"
    """Its process or its runner died; what it had acknowledged was kept."""

    @property
    def run_state(self) -> RunState:
        """The state that the run takes when its attempt ends like this."""
        if self in (AttemptState.PAUSED, AttemptState.LOST):
            return RunState.QUEUED
        return RunState(self.value)


class Kind(StrEnum):
    """Which kind of number a value is; SQL holds the value itself only when it is finite."""

    FINITE = "finite"
    NAN = "nan"
    POSITIVE_INFINITY = "+inf"
    NEGATIVE_INFINITY = "-inf"

    @classmethod
    def of(cls, value: float) -> Kind:
        """Return the kind of ``value``."""
        if math.isfinite(value):
            return cls.FINITE
        if math.isnan(value):
            return cls.NAN
        return cls.POSITIVE_INFINITY if value > 0 else cls.NEGATIVE_INFINITY

    def restore(self, value: float | None) -> float:
        """Return the float that was logged, given the stored value (None unless finite)."""
        if self is Kind.FINITE:
            if value is None:
                raise ValueError("a finite value must not be None")
            return value
        return {"nan": math.nan, "+inf": math.inf, "-inf": -math.inf}[self.value]


@dataclass(frozen=True, slots=True)
class Point:
    """One logged value: (attempt, key, step) -> value. The attempt is known from the context."""

    key: str
    step: int
    value: float
    time: float
    """Unix seconds at which it was logged."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something with a step that explains a curve."""

    name: str
    step: int
    data: Mapping[str, Json]
    time: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A verified checkpoint of a run."""

    step: int
    path: str
    """Relative to the run's folder, with forward slashes."""
    sha256: str
    size_bytes: int
    note_sha256: str | None = None
    """Of the JSON file beside it; None where an earlier version has written it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a variant branches off: the checkpoint of another variant, at the same seed."""

    variant: str
    identity: str
    """Of that variant; with the step it is part of the identity of the one that branches off."""
    step: int

    @property
    def label(self) -> str:
        """``phase_a@2000``, as study files write it."""
        return f"{self.variant}@{self.step}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """A variant again, that differs in nothing but its seeds."""

    of: str
    """Name of the variant that it copies; both have one identity."""
    seeds: tuple[int, ...]
    """Its only seeds; no other variant of that identity has one of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One full assignment of config values, resolved by the trainer."""

    name: str
    identity: str
    """SHA-256, 64 hex digits; the same config under another name has the same identity."""
    config: Config
    """Resolved: no default is left open. Without the seed."""
    factors: Mapping[str, Json]
    """Factor name -> level label: what the design set, or the levels that a phase stands for."""
    is_phase: bool
    """True when the study names it by hand, False when the design generated it."""
    is_baseline: bool = False
    start_at: Origin | None = None
    """None for the beginning."""
    copy: Copy | None = None
    """What it is a copy of. A copy is no candidate: it says how large a difference nothing makes.
    None for all that the study asks about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyCell:
    """One place of a study: a variant at a seed. Equal cells of two studies share one run."""

    variant: str
    identity: str
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Longer:
    """A variant that is a former one, trained for longer: its runs can go on where they ended."""

    variant: str
    identity: str
    former: str
    """The identity that it had."""
    change: str
    """``steps 50 -> 80``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a study wants: its variants and their seeds. Pure; made by `ablate.planning`."""

    study: str
    question: str
    trainer: str
    """What the study file says: a registered name or ``module:function``."""
    trainer_version: str
    spec: Mapping[str, Json]
    """The study as parsed, JSON-ready; enough to make the plan again."""
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    more_seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Variant -> seeds that it has beside those of all: of one that many are compared with."""
    imported: tuple[StudyCell, ...] = ()
    """The only cells of their variants: runs that came from another tool, at the seeds it had."""

    @property
    def cells(self) -> tuple[StudyCell, ...]:
        """Every variant at every seed, seed by seed, so that a stopped study has whole seeds.

        Further seeds of some come behind, then copies. Variants with imported cells have those
        alone, at the end.
        """
        imported = {cell.variant for cell in self.imported}
        trained = [v for v in self.variants if v.name not in imported and v.copy is None]
        seeds = [(s, v) for s in self.seeds for v in trained]
        seeds += [(s, v) for v in trained for s in self.more_seeds.get(v.name, ())]
        seeds += [(s, v) for v in self.variants if v.copy for s in v.copy.seeds]
        cells = (StudyCell(variant=v.name, identity=v.identity, seed=s) for s, v in seeds)
        return (*cells, *self.imported)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Every seed that any variant is trained with, each once."""
        more = [*self.more_seeds.values(), *(v.copy.seeds for v in self.variants if v.copy)]
        return tuple(dict.fromkeys((*self.seeds, *(seed for seeds in more for seed in seeds))))

    @property
    def baseline(self) -> Variant:
        """The one variant that the others are compared with."""
        return next(v for v in self.variants if v.is_baseline)


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A stored study."""

    id: int
    name: str
    plan: Plan
    created_at: float
    updated_at: float
    is_archived: bool = False
    source: str | None = None
    """The study file, relative to the project where it lies in it; None where it is not known."""
    source_sha256: str | None = None
    """Of that file when the study was created from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parent:
    """The run from whose checkpoint another one begins."""

    run_id: str
    variant: str
    """As the study of the run that branches off names it."""
    step: int
    """Of the checkpoint."""
    state: RunState
    has_checkpoint: bool
    """Whether it has made that checkpoint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A stored run: variant x seed of one study, as that study sees it.

    A run that two studies share appears once for each, with the same ``id``.
    """

    id: str
    """16 hex digits, random; any unique prefix names it."""
    study: str
    variant: str
    seed: int
    identity: str
    config: Config
    trainer: str
    state: RunState
    attempts: int
    """How many attempts were made."""
    step: int | None
    """The largest step stored, None before the first point."""
    checkpoint_step: int | None
    """The step of the newest checkpoint, None before the first."""
    reason: str | None
    """Why it failed, diverged or was stopped, in one line."""
    wall_s: float
    """Seconds that its attempts ran, added up."""
    inexact: str | None = None
    """Why its newest inexact resume was so, None where what counts was trained as in one go."""
    parent: Parent | None = None
    """Where it branches off; None when it starts from the beginning."""
    logged_at: float | None = None
    """Unix seconds at which its running attempt last logged, or began; None when none runs."""
    runner: str | None = None
    """Who made its newest attempt, see `ablate.attempt.runners`; None before the first."""

    @property
    def label(self) -> str:
        """``phase_a-s0``: how a run is shown and how MLflow names it."""
        return f"{self.variant}-s{self.seed}"

    @property
    def is_placed_by_name(self) -> bool:
        """Whether a version imported it that took any runs of one name for seeds of a variant."""
        note = self.config.get(IMPORT_NOTE)
        return self.trainer == IMPORTED and note is not None and "content" not in note

    @property
    def start_step(self) -> int:
        """The step from which its next attempt would train; 0 for the beginning."""
        return self.checkpoint_step or (self.parent.step if self.parent else 0)

    @property
    def waits_for(self) -> str | None:
        """Why a queued run cannot be trained yet, None when it can."""
        parent = self.parent
        if self.state is not RunState.QUEUED or self.checkpoint_step is not None:
            return None
        if parent is None or parent.has_checkpoint:
            return None
        label = f"{parent.variant}-s{self.seed}"
        if not parent.state.is_finished:
            return f"waits for {label} to reach step {parent.step}"
        if parent.state is RunState.SUCCEEDED:
            return f"waits for {label}, which ended without a checkpoint at step {parent.step}"
        was = "was " if parent.state in (RunState.STOPPED, RunState.CANCELLED) else ""
        return f"waits for {label}, which {was}{parent.state} before step {parent.step}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Orphan:
    """A run that no study wants any more."""

    run: Run
    """As the study sees it that wanted it; ``study`` is empty for an import that was broken off."""
    points: int
    """Those among them that a resume replaced."""
    checkpoints: int
    is_held: bool
    """Whether it is being trained or imported."""
    branches: tuple[str, ...] = ()
    """The runs that stay and begin from one of its checkpoints, as ``study/phase_b-s0``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One process execution of a run, as stored."""

    id: int
    run_id: str
    number: int
    """1 for the first; attempts are appended, never overwritten."""
    state: AttemptState
    runner: str
    started_at: float
    finished_at: float | None
    start_step: int | None
    """The step of the checkpoint it resumed from, None from the beginning. It logs later steps."""
    exit_code: int | None
    """Of its process, negative for a signal; None while it runs or when its runner died."""
    spool_offset: int
    """Bytes of its spool that are in SQL."""
    error: str | None
    traceback: str | None
    inexact: str | None
    """Why its resume was not exact, None when it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchPoint:
    """The checkpoint of another run from which a run begins."""

    run_id: str
    variant: str
    seed: int
    checkpoint: Checkpoint

    @property
    def label(self) -> str:
        """``phase_a-s0@2000``."""
        return f"{self.variant}-s{self.seed}@{self.checkpoint.step}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to write for an attempt of a run, until another runner takes it over."""

    attempt_id: int
    attempt: int
    run: Run
    token: int
    """Fencing token: larger than that of every claim before it on the same run."""
    resume_from: tuple[Checkpoint, ...] = field(default=())
    """Checkpoints of earlier attempts, newest first."""
    branch_from: BranchPoint | None = None
    """Where it begins when it has no checkpoint of its own."""
    branch_steps: frozenset[int] = frozenset()
    """Steps at which other runs begin from a checkpoint of this one."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A claim as other runners see it; it changes as long as its runner lives."""

    attempt_id: int
    runner: str
    token: int
    beats: int
    """Grows whenever the runner renews."""
    lease_s: float
    """How long no beat may be seen before the attempt counts as abandoned."""
