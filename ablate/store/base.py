"""The contract of a store: where truth lives.

Sharing. A store object belongs to one process and one thread; open another for another. Any number
of processes may work on one database.

Snapshots. What a method returns are frozen values read in one transaction; they do not change
under the caller.

Who may write. Points, events, checkpoints and the end of an attempt are written with a `Claim`.
Every such write is guarded by the claim's fencing token and by the state ``running``: when the run
was taken over, nothing is written and `LeaseLostError` is raised. No clock says who lives: a runner
renews, and who wants to take over has to have watched that it does not; see `Store.holds`.

One row for each (run, key, step). An attempt that resumed from step s replaces what earlier
attempts logged after s (one that began from the beginning replaces all); the replaced points stay
readable by attempt in the tables and are absent from every method here and from the view
``run_metrics``. A point at step s itself counts once, whoever logged it: that of an earlier attempt
if there is one, else that of the resumed attempt. So trainers may log a step before its update or
after it. Points before s are those of the attempt that made the checkpoint. Checkpoints follow the
same rule; of events only those after s are replaced. An attempt that began from another run's
checkpoint at s counts from s on and replaces all earlier attempts.

Values. Every float comes back bit for bit: NaN, infinities, -0.0, subnormal numbers. Names and
keys come back as given, or are refused by name with `UsageError`: empty ones, NUL, lone
surrogates, more than 1024 bytes. Reasons and tracebacks are escaped instead.

Idempotence. `ingest` moves the spool offset in the transaction that writes the points, so that a
batch that was written before, by an ambiguous commit or another process, changes nothing.
`apply_plan` twice with one plan changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ablate.domain import (
    Attempt,
    Checkpoint,
    Claim,
    Config,
    Event,
    Hold,
    Longer,
    Orphan,
    Plan,
    Run,
    Study,
)
from ablate.provenance import Code
from ablate.spool.batch import Ending, SpoolBatch
from ablate.store.curves import Curve, Outline, Stretches, WindowMean


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySource:
    """The file from which a study was created."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedRun:
    """A run that another tool has trained."""

    identity: str
    """64 hex digits: from where it came and what it says, so that a change makes another run."""
    seed: int
    config: Config
    ending: Ending
    started_at: float
    """Unix seconds, by the other tool."""
    finished_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MirrorCursor:
    """How far a run was copied to a mirror."""

    run_id: str
    remote_id: str
    """The mirror's own id of the run."""
    attempt: int
    """Number of the newest attempt that was copied from."""
    step: int
    """All points up to this step were copied; -1 for none."""
    is_finished: bool
    """Whether the run's end was copied too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimFilter:
    """Which queued runs a runner wants."""

    studies: frozenset[str] = field(default=frozenset())
    """Names; empty for any study that is not archived."""
    only: frozenset[str] = field(default=frozenset())
    """Variant names or run ids; empty for all."""
    below_step: int | None = None
    """Only runs whose newest checkpoint, or the one they begin from, is before this step."""
    excluded_runs: frozenset[str] = field(default=frozenset())
    excluded_studies: frozenset[str] = field(default=frozenset())


LEASE_S = 30.0
"""How long nothing is heard of a runner of which nothing else is known before it counts as dead."""


class Store(Protocol):
    """See the module's docstring."""

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        ...

    @property
    def is_file(self) -> bool:
        """Whether it is a file: then whoever cannot write, nobody else can either."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...

    # Studies

    def apply_plan(
        self,
        plan: Plan,
        *,
        source: StudySource | None = None,
        longer: Sequence[Longer] = (),
        by: str = "",
    ) -> tuple[str, ...]:
        """Make the study what the plan says: all or nothing. Return the runs that are trained on.

        Missing variants and runs are added as ``queued``; a cell whose (identity, seed) exists,
        in this study or another, is linked to the run that exists. Cells that the plan no longer
        wants are orphaned: their runs stay readable by id, and only a run that no study wants any
        more is no longer claimed. Of ``longer`` variants the runs that `can_go_on` become queued
        runs of those, with their points; ``by`` whom is kept.
        """
        ...

    def can_go_on(
        self, study: str, longer: Sequence[Longer], seeds: Collection[int]
    ) -> tuple[str, ...]:
        """Return what `apply_plan` would train on: runs saved, ended well, no use to others."""
        ...

    def studies(self, *, with_archived: bool = False) -> tuple[Study, ...]:
        """Return the studies, oldest first."""
        ...

    def study(self, name: str) -> Study:
        """Return one study.

        Raises:
            NotFoundError: With the closest name.
        """
        ...

    def set_archived(self, name: str, is_archived: bool) -> None:
        """Hide a study from lists and claims, or bring it back."""
        ...

    def runs(self, study: str | None = None) -> tuple[Run, ...]:
        """Return the runs that the study wants, in the order of its plan's cells.

        Without a name, those of every study that is not archived, study by study.

        Raises:
            NotFoundError: With the closest name.
        """
        ...

    def run(self, prefix: str) -> Run:
        """Return the run whose id starts with ``prefix``.

        Raises:
            NotFoundError: If there is none, or more than one (the message lists them).
        """
        ...

    def run_ids(self) -> frozenset[str]:
        """Return the ids of all runs: wanted or not, also of those that are being imported."""
        ...

    def orphans(self) -> tuple[Orphan, ...]:
        """Return the runs that no study wants, archived ones count; also imports broken off."""
        ...

    def delete_orphan(self, run_id: str) -> bool:
        """Delete a run with all that refers to it; return whether it was deleted.

        It is not while a study wants it (again), while it is being trained or imported, or while
        another run, orphaned or not, begins from a checkpoint of it. Files are the caller's.
        """
        ...

    def attempts(self, run_id: str) -> tuple[Attempt, ...]:
        """Return a run's attempts, first to last."""
        ...

    def codes(self, run_ids: Sequence[str]) -> Mapping[str, tuple[tuple[int, Code], ...]]:
        """Return by run the number and the code of its attempts that count, first to last.

        Attempts of which it is not known, as those of imported runs, are left out.
        """
        ...

    def checkpoints(self, run_id: str) -> tuple[Checkpoint, ...]:
        """Return a run's checkpoints, newest first."""
        ...

    # Execution

    def claim(self, runner: str, wanted: ClaimFilter, *, lease_s: float = LEASE_S) -> Claim | None:
        """Take a queued run, first in plan order of the oldest study, or None if there is none.

        The attempt and its fencing token are written in the same transaction. A run that
        begins from another's checkpoint is left in the queue until that checkpoint, or one of its
        own, is there.
        """
        ...

    def renew(self, claims: Sequence[Claim]) -> frozenset[int]:
        """Show that their runner lives; return the attempt ids of claims that are not held."""
        ...

    def holds(self) -> tuple[Hold, ...]:
        """Return the claims that are held. It waits for locks as one who writes does."""
        ...

    def take_over(self, runner: str, abandoned: Collection[Hold]) -> tuple[Claim, ...]:
        """Claim running attempts whose holds have not changed since they were seen like this.

        The same attempt gets a new token, so that whoever held it can no longer write; the caller
        ingests what is left in its spool and ends it as ``lost``.
        """
        ...

    def ingest(self, claim: Claim, batch: SpoolBatch) -> int:
        """Write a batch; return the spool offset up to which all is stored.

        A batch that does not start at the stored offset writes nothing, so that the caller reads
        again from the returned offset. Of one (key, step) twice the later value counts. Points
        before any frame that says from where the attempt starts count as from the beginning.

        Raises:
            LeaseLostError: If the run was taken over.
            UsageError: If a name cannot be stored; nothing is written.
        """
        ...

    def ingest_late(self, claim: Claim, batch: SpoolBatch) -> int:
        """Write what an attempt had logged before its run was taken from it, once it has ended.

        The run's state stays, and what a later attempt has replaced stays replaced. Else as
        `ingest`; `LeaseLostError` is raised while another holds the attempt.
        """
        ...

    def finish(self, claim: Claim, ending: Ending) -> None:
        """End the attempt and move its run to the state that follows from it.

        Raises:
            LeaseLostError: If the run was taken over.
        """
        ...

    def requeue(self, run_ids: Sequence[str], *, by: str) -> tuple[str, ...]:
        """Put finished runs (not succeeded ones) back into the queue; return those that were moved.

        Who and when is kept in the table ``transitions``.
        """
        ...

    def start_over(self, run_ids: Sequence[str], *, by: str) -> tuple[str, ...]:
        """Put runs that are not running back to their beginning; return those that were moved.

        What their attempts logged stays readable by attempt and counts no more; neither do their
        checkpoints. Each takes the config that its variant has now.
        """
        ...

    def cancel(self, run_ids: Sequence[str], *, by: str) -> tuple[str, ...]:
        """End queued and running runs as ``cancelled``; return those that were moved.

        A running attempt loses its lease, so its runner stops it.
        """
        ...

    # Imports

    def import_run(self, run: ImportedRun, batches: Iterable[SpoolBatch], *, by: str) -> bool:
        """Keep a run of another tool; return whether it was new.

        Its points are written in a transaction for each batch, so that others can write meanwhile.
        It is in no study until `apply_plan` is given a plan that has it among its imported cells,
        and no method here shows it before. A run that was left half-written is written anew; one
        that is whole changes nothing. An imported run is never claimed, taken over, requeued or
        cancelled.

        Args:
            run: What it is.
            batches: Its points; the offsets count the batches from 0, the first says where the
                attempt starts.
            by: Who imports.

        Raises:
            LeaseLostError: If another process began to import the same run.
            UsageError: If a name cannot be stored.
        """
        ...

    # Reading

    def metric_keys(self, run_ids: Sequence[str]) -> tuple[str, ...]:
        """Return the keys that any of the runs has logged, sorted."""
        ...

    def keys_by_run(self, run_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Return by run the keys that it has logged, sorted; a run without a point is absent."""
        ...

    def curves(
        self,
        run_ids: Sequence[str],
        keys: Sequence[str],
        *,
        first_step: int = 0,
        last_step: int | None = None,
        with_times: bool = True,
    ) -> tuple[Curve, ...]:
        """Return the curves of the runs, ordered by run as given, then by key as given.

        A (run, key) without a point in the range has no curve.
        """
        ...

    def stretches(
        self, run_ids: Sequence[str], keys: Sequence[str], width: int
    ) -> tuple[Stretches, ...]:
        """Return the curves summed up over stretches of so many steps, ordered as `curves` are.

        They are those of the points of `curves`, but that -0.0 may have become 0.0.
        """
        ...

    def stream(self, run_ids: Sequence[str], keys: Sequence[str]) -> Iterator[Curve]:
        """Yield the curves in pieces: by run as given, then by key as given, then by step.

        The pieces of a curve put together are what `curves` returns. All are read in one
        transaction, which ends with the iterator: exhaust or close it before calling anything else.
        """
        ...

    def means(
        self, run_ids: Sequence[str], keys: Sequence[str], windows: Sequence[tuple[int, int]]
    ) -> tuple[WindowMean, ...]:
        """Return means over windows, ordered by run, then by key, then by window as given.

        They are those of the points of `curves` but for a relative error of 1e-12 at most.

        Args:
            run_ids: Of which runs.
            keys: Of which metrics.
            windows: First and last step of each, both within. One without a point has no mean.
        """
        ...

    def outlines(
        self,
        run_ids: Sequence[str],
        keys: Sequence[str],
        *,
        max_points: int,
        first_step: int = 0,
        last_step: int | None = None,
    ) -> tuple[Outline, ...]:
        """Return curves of few points, ordered by run as given, then by key as given.

        Args:
            run_ids: Of which runs.
            keys: Of which metrics. A (run, key) without a point in the range has no outline.
            max_points: Of each outline; at least `MIN_OUTLINE`.
            first_step: Where to begin.
            last_step: Where to end, None for the end.

        Raises:
            UsageError: If ``max_points`` is too small.
        """
        ...

    def events(self, run_ids: Sequence[str]) -> tuple[tuple[str, Event], ...]:
        """Return (run id, event), by run as given, then by step."""
        ...

    # Mirrors

    def mirror_cursors(self, mirror: str) -> tuple[MirrorCursor, ...]:
        """Return how far each run was copied to the mirror of that name."""
        ...

    def move_mirror_cursor(self, mirror: str, cursor: MirrorCursor) -> None:
        """Remember how far a run was copied."""
        ...

    def forget_mirror(self, mirror: str, run_ids: Sequence[str] | None = None) -> None:
        """Drop the cursors of these runs, or of all, so that the next sync copies them anew."""
        ...
