"""Drives runs from the queue to their end: claims, starts, stores what they log, concludes.

One process, one thread. Whatever happens to it, the truth is in SQL and in the spools: the next
scheduler takes over what this one left.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from ablate.domain import AttemptState, Claim, RunState
from ablate.errors import LeaseLostError, StoreError, StoreUnavailableError
from ablate.execution.executors.base import Executor, Exited
from ablate.execution.job import Job, spool_path
from ablate.execution.progress import Observer, ProgressMeter
from ablate.execution.runners import is_known_dead
from ablate.execution.signals import ASKED
from ablate.store.base import ClaimFilter, Ending, SpoolBatch, Store
from ablate.store.spool import SpoolReader

LEASE_S = 30.0
_POLL_S = 0.1
_STORE_EVERY_S = 0.25
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
"""Between two tries to reach a database."""
_MAX_DEATHS = 3
"""A run whose process died so often without a word is failed, not tried again."""


_MAX_ALIKE = 3
"""A study whose runs failed so often for one reason, before a first point, gets no more."""


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerOptions:
    """What to run, and when to give up."""

    wanted: ClaimFilter
    max_failures: int | None = None
    """Claim nothing more after so many failed runs, None for never."""
    lease_s: float = LEASE_S


@dataclass(slots=True)
class Summary:
    """How the runs of one `Scheduler.run` ended."""

    runs: Counter[RunState] = field(default_factory=Counter[RunState])
    """State -> runs that are in it after their last attempt here."""
    wall_s: float = 0.0
    was_stopped: bool = False
    held_elsewhere: int = 0
    """Runners that still hold runs when nothing is left in the queue."""


class _Active:
    """A claim whose attempt is being executed."""

    def __init__(self, claim: Claim, spool: Path, meter: ProgressMeter) -> None:
        self.claim = claim
        self.reader = SpoolReader(spool)
        self.meter = meter
        self.ending: Ending | None = None
        self.has_points = claim.run.step is not None

    def take(self, batch: SpoolBatch) -> None:
        self.has_points = self.has_points or bool(batch.logs)
        self.meter.take(batch)
        self.ending = batch.ending or self.ending


class Scheduler:
    """Runs what is queued until nothing is left or it is told to stop.

    Args:
        store: Opened for writing by this process.
        executor: Where attempts run; closed by the caller.
        runner: Who we are; see `ablate.execution.runners`.
        make_job: Turns a claim and a worker slot into a job.
        run_dir: Run id -> its folder.
        make_meter: Makes what follows a claim's progress.
        options: What to run.
        observer: Is told what happens.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        *,
        runner: str,
        make_job: Callable[[Claim, int], Job],
        run_dir: Callable[[str], Path],
        make_meter: Callable[[Claim], ProgressMeter],
        options: SchedulerOptions,
        observer: Observer,
    ) -> None:
        self._store = store
        self._executor = executor
        self._runner = runner
        self._make_job = make_job
        self._run_dir = run_dir
        self._make_meter = make_meter
        self._options = options
        self._observer = observer
        self._active: dict[int, _Active] = {}
        self._stillborn: Counter[tuple[str, str]] = Counter()
        """(study, reason) -> runs that failed before their first point."""
        self._slot_of: dict[int, int] = {}
        self._wanted = options.wanted
        self._final: dict[str, RunState] = {}
        self._stops = 0
        self._obeyed = 0
        self._stored_at = 0.0
        self._renewed_at = 0.0

    def stop(self) -> None:
        """Ask to stop: once, runs save and go back to the queue; twice, they are ended at once.

        Only counts, so that a signal handler may call it.
        """
        self._stops += 1

    def run(self) -> Summary:
        """Work until the queue is empty or `stop` was called."""
        began = time.monotonic()
        self._recover()
        while True:
            self._obey()
            self._fill()
            if not self._active:
                break
            for exited in self._executor.poll(_POLL_S):
                self._conclude(exited)
            self._tick()
        return Summary(
            runs=Counter(self._final.values()),
            wall_s=time.monotonic() - began,
            was_stopped=self._stops > 0,
            held_elsewhere=len(self._patiently(self._store.running_runners) - {self._runner}),
        )

    def _recover(self) -> None:
        """Take over what dead runners left: store their last points, put their runs back."""
        runners = self._patiently(self._store.running_runners) - {self._runner}
        dead = {runner for runner in runners if is_known_dead(runner)}
        lease_s = self._options.lease_s
        taken = self._patiently(self._store.take_over, self._runner, dead, lease_s=lease_s)
        for claim in taken:
            if claim.attempt_id in self._active:
                # Our own, expired while this process was suspended, and ours again.
                self._active[claim.attempt_id].claim = claim
                continue
            spool = spool_path(self._run_dir(claim.run.id), claim.attempt)
            left = _Active(claim, spool, ProgressMeter(claim.run, metric=None, limit=None))
            self._drain(left)
            ending = left.ending or Ending(state=AttemptState.LOST, reason="its runner died")
            if self._finish(claim, ending):
                self._observer.noted(f"{claim.run.label}: taken over from a runner that died")

    def _obey(self) -> None:
        if self._stops <= self._obeyed:
            return
        now = self._stops > 1
        self._obeyed = self._stops
        for attempt_id in self._active:
            self._executor.stop(attempt_id, now=now)

    def _fill(self) -> None:
        while len(self._active) < self._executor.slots and self._may_claim():
            lease_s = self._options.lease_s
            claim = self._patiently(self._store.claim, self._runner, self._wanted, lease_s=lease_s)
            if claim is None:
                return
            self._begin(claim)

    def _may_claim(self) -> bool:
        failures = sum(state is RunState.FAILED for state in self._final.values())
        limit = self._options.max_failures
        return self._stops == 0 and (limit is None or failures < limit)

    def _begin(self, claim: Claim) -> None:
        free = min(set(range(self._executor.slots)) - set(self._slot_of.values()))
        job = self._make_job(claim, free)
        self._patiently(job.write)
        self._slot_of[claim.attempt_id] = free
        self._active[claim.attempt_id] = _Active(claim, job.spool, self._make_meter(claim))
        self._observer.started(claim.run, claim.attempt)
        self._executor.start(job, self._on_step)

    def _on_step(self) -> None:
        """Called at step boundaries by an executor that blocks."""
        self._obey()
        self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._renewed_at > self._options.lease_s / 3:
            self._renewed_at = now
            self._renew()
            self._recover()
        if now - self._stored_at > _STORE_EVERY_S:
            self._stored_at = now
            for active in list(self._active.values()):
                self._drain(active)
            self._observer.progressed([a.meter.read() for a in self._active.values()])

    def _renew(self) -> None:
        claims = [active.claim for active in self._active.values()]
        lease_s = self._options.lease_s
        for attempt_id in self._patiently(self._store.renew, claims, lease_s=lease_s):
            self._abandon(self._active[attempt_id])

    def _drain(self, active: _Active) -> None:
        """Store all whole frames of the spool."""
        while True:
            try:
                batch = self._patiently(active.reader.read)
            except StoreError as error:
                self._give_up(active, error)
                return
            if batch.end_offset == batch.start_offset:
                return
            try:
                stored = self._patiently(self._store.ingest, active.claim, batch)
            except LeaseLostError:
                self._abandon(active)
                return
            if stored == batch.end_offset:
                active.take(batch)
            else:
                active.reader.seek(stored)

    def _give_up(self, active: _Active, error: StoreError) -> None:
        """The spool is damaged: what was before is stored, what comes after cannot be read."""
        active.ending = Ending(state=AttemptState.FAILED, reason=error.message)
        if active.claim.attempt_id in self._active:
            self._executor.stop(active.claim.attempt_id, now=True)

    def _abandon(self, active: _Active) -> None:
        """The run is someone else's now, or was cancelled: end our process, write no more."""
        attempt_id = active.claim.attempt_id
        if self._active.pop(attempt_id, None) is not None:
            self._executor.stop(attempt_id, now=True)
            self._note_lost(active.claim)

    def _conclude(self, exited: Exited) -> None:
        self._slot_of.pop(exited.attempt_id, None)
        active = self._active.get(exited.attempt_id)
        if active is None:
            return  # it was abandoned; this is only its process going
        self._drain(active)
        if self._active.pop(exited.attempt_id, None) is None:
            return
        run = active.claim.run
        ending = active.ending or self._death(run.id, exited.exit_code)
        if not self._finish(active.claim, ending):
            return
        self._final[run.id] = ending.state.run_state
        if ending.state is AttemptState.FAILED and not active.has_points:
            self._note_stillborn(run.study, ending.reason or "")
        if ending.state is AttemptState.PAUSED:
            excluded = self._wanted.excluded_runs | {run.id}
            self._wanted = replace(self._wanted, excluded_runs=excluded)
        self._observer.ended(run, ending)

    def _note_stillborn(self, study: str, reason: str) -> None:
        """Stop a study whose runs all fail alike at once: the next would fail alike too."""
        self._stillborn[study, reason] += 1
        if self._stillborn[study, reason] == _MAX_ALIKE:
            excluded = self._wanted.excluded_studies | {study}
            self._wanted = replace(self._wanted, excluded_studies=excluded)
            self._observer.noted(
                f"{_MAX_ALIKE} runs of {study} failed alike before their first point: {reason};"
                " no more of it is started"
            )

    def _death(self, run_id: str, exit_code: int) -> Ending:
        """Return the ending of a process that left none."""
        how = f"its process ended with code {exit_code}"
        if exit_code < 0:
            how = f"its process was killed by signal {-exit_code}"
        if self._stops > 1:
            # By our own hand: without an exit code it does not count as a death.
            return Ending(state=AttemptState.LOST, reason=how)
        if self._stops and exit_code == -signal.SIGTERM:
            # No handler of ours was there: the process was starting, or its trainer took it away.
            return Ending(state=AttemptState.PAUSED, reason=ASKED)
        deaths = 1 + sum(
            a.state is AttemptState.LOST and a.exit_code is not None
            for a in self._patiently(self._store.attempts, run_id)
        )
        if deaths < _MAX_DEATHS:
            return Ending(state=AttemptState.LOST, reason=how, exit_code=exit_code)
        reason = f"{how}, in {deaths} attempts"
        return Ending(state=AttemptState.FAILED, reason=reason, exit_code=exit_code)

    def _finish(self, claim: Claim, ending: Ending) -> bool:
        """End an attempt; False when it was no longer ours to end."""
        try:
            self._patiently(self._store.finish, claim, ending)
        except LeaseLostError:
            attempt = self._patiently(self._store.attempts, claim.run.id)[claim.attempt - 1]
            # It may have ended by our first try, whose answer was lost with the connection.
            if (attempt.state, attempt.runner) != (ending.state, self._runner):
                self._note_lost(claim)
                return False
        return True

    def _note_lost(self, claim: Claim) -> None:
        self._observer.noted(f"{claim.run.label}: cancelled, or taken over by another")

    def _patiently(
        self,
        call: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Return what a call returns once the database can be reached.

        Trainers go on meanwhile and what they log is safe in their spools, so nothing is given up
        but by a second request to stop. Every call may be repeated: see the store's contract.
        """
        pause_s = 0.0
        while True:
            try:
                result = call(*args, **kwargs)
            except StoreUnavailableError as error:
                if self._stops > 1:
                    raise
                if not pause_s:
                    self._note_outage(error)
                self._obey()
                pause_s = min(pause_s * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
                time.sleep(pause_s)
            else:
                if pause_s:
                    self._observer.noted("the database can be used again; storing goes on")
                return result

    def _note_outage(self, error: StoreUnavailableError) -> None:
        self._observer.noted(f"{error.message}" + (f" ({error.hint})" if error.hint else ""))
        self._observer.noted(
            "trying again until it works; trainers go on, what they log is safe in their spools;"
            " Ctrl-C twice ends this command and loses nothing"
        )
