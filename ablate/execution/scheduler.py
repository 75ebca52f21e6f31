"""Drives runs from the queue to their end: claims, starts, stores what they log, concludes.

One process, one thread. Whatever happens to it, the truth is in SQL and in the spools: the next
scheduler takes over what this one left.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from ablate.attempt.job import Job
from ablate.attempt.runners import end_process
from ablate.domain import AttemptState, Claim, RunState
from ablate.errors import (
    AblateError,
    LeaseLostError,
    StoreError,
    StoreGoneError,
    StoreUnavailableError,
)
from ablate.execution import deaths
from ablate.execution.active import Active
from ablate.execution.executors.base import Binding, Executor, Exited
from ablate.execution.leases import Watch
from ablate.execution.progress import Observer, ProgressMeter
from ablate.execution.scheduling import SchedulerOptions, Summary
from ablate.spool.batch import Ending
from ablate.spool.folders import AttemptFolder, RunFolder
from ablate.store.base import Store
from ablate.text import counted

_POLL_S = 0.1
_STORE_EVERY_S = 0.25
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
"""Between two tries to reach a database."""
_MOST_REASONS = 3  # of one outage are said
_END_S = 10.0
"""How long a process that a dead runner left is waited for after it was killed."""
_SAVE_S = 60.0
"""What runs are given to save when the database is gone."""
_DUMP_S = 3.0
"""What a process that hangs is given to write down its stacks."""
_MAX_ALIKE = 3
"""A study whose runs failed so often for one reason, before a first point, gets no more."""


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Scheduler:
    """Runs what is queued until nothing is left or it is told to stop.

    Args:
        store: Opened for writing by this process.
        executor: Where attempts run; closed by the caller.
        runner: Who we are; see `ablate.attempt.runners`.
        make_job: Turns a claim, and on what it is to run, into a job.
        run_dir: Run id -> its folder.
        make_meter: Makes what follows a claim's progress, told how often its run has hung.
        options: What to run.
        observer: Is told what happens.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        *,
        runner: str,
        make_job: Callable[[Claim, Binding], Job],
        run_dir: Callable[[str], Path],
        make_meter: Callable[[Claim, int], ProgressMeter],
        options: SchedulerOptions,
        observer: Observer,
    ) -> None:
        self._store = store
        self._executor = executor
        self._slots = executor.slots
        self._runner = runner
        self._make_job = make_job
        self._run_dir = run_dir
        self._make_meter = make_meter
        self._options = options
        self._observer = observer
        self._active: dict[int, Active] = {}
        """By attempt, those whose claims we hold."""
        self._leaving: dict[int, Active] = {}
        """Those whose claims we lost, until their processes are gone."""
        self._late: list[Active] = []
        """Those of which the processes are gone, and what they logged is not all stored."""
        self._slot_of: dict[int, int] = {}
        """Attempt -> worker slot, until its process is gone."""
        self._stillborn: Counter[tuple[str, str]] = Counter()
        """(study, reason) -> runs that failed before their first point."""
        self._wanted = options.wanted
        self._final: dict[str, RunState] = {}
        self._stops = 0
        self._obeyed = 0
        self._now = options.now
        self._watch = Watch(now=options.now, life=options.life)
        self._beat_s = options.lease_s / 6
        self._stored_at = 0.0
        self._beaten_at = 0.0
        self._oom_kills = deaths.oom_kills()
        self._has_waited = False
        """Whether it was told that others have all slots."""

    def stop(self) -> None:
        """Ask to stop: once, runs save and go back to the queue; twice, they are ended at once.

        Only counts, so that a signal handler may call it.
        """
        self._stops += 1

    def run(self) -> Summary:
        """Work until the queue is empty or `stop` was called."""
        began = self._now()
        try:
            self._work()
        except StoreGoneError:
            self._save_all()
            raise
        holds = self._patiently(self._store.holds)
        return Summary(
            runs=Counter(self._final.values()),
            wall_s=self._now() - began,
            was_stopped=self._stops > 0,
            held_elsewhere=len({hold.runner for hold in holds} - {self._runner}),
        )

    def _work(self) -> None:
        self._take_over()
        while True:
            self._obey()
            self._fill()
            if self._slots.is_idle and not self._has_to_wait and not self._has_to_watch:
                break
            for exited in self._executor.poll(_POLL_S):
                self._conclude(exited)
            self._tick()
        self._store_late()

    def _save_all(self) -> None:
        """Have all runs save although there is no database to say so in: their spools have it."""
        self._observer.noted("the database is gone: runs save and end")
        left = set(self._slot_of)
        for attempt_id in left:
            self._executor.stop(attempt_id, now=False)
        deadline = self._now() + _SAVE_S
        while left and self._stops < 2 and self._now() < deadline:
            left -= {exited.attempt_id for exited in self._executor.poll(_POLL_S)}

    @property
    def _has_to_watch(self) -> bool:
        """Whether runs may turn out to be abandoned, so that they can be run after all."""
        return self._stops == 0 and self._watch.is_undecided

    @property
    def _has_to_wait(self) -> bool:
        """Whether nothing runs here because other runners have all GPUs."""
        if not self._may_claim():
            return False
        slot = self._slots.take()
        if slot is not None:
            self._slots.give_back(slot)
            return False
        if not self._has_waited:
            self._observer.noted("waiting for a GPU: other runners of this machine have them all")
            self._has_waited = True
        return True

    def _take_over(self) -> None:
        """Take over what dead runners left: store their last points, put their runs back."""
        asked_at = self._now()
        holds = self._patiently(self._store.holds)
        others = [hold for hold in holds if hold.runner != self._runner]
        abandoned = self._watch.abandoned(others, asked_at)
        if not abandoned:
            return
        for claim in self._patiently(self._store.take_over, self._runner, abandoned):
            folder = RunFolder(self._run_dir(claim.run.id)).attempt(claim.attempt)
            self._end_left(folder, claim)
            meter = ProgressMeter(claim.run, metric=None, limit=None)
            left = Active(claim, folder.spool, meter)
            self._drain(left)
            ending = left.ending or Ending(state=AttemptState.LOST, reason="its runner died")
            if self._finish(claim, ending):
                self._observer.noted(f"{claim.run.label}: taken over from a runner that died")

    def _end_left(self, folder: AttemptFolder, claim: Claim) -> None:
        """End the process of an attempt before another begins where it would go on."""
        try:
            name = folder.process.read_text(encoding="utf-8")
        except OSError:
            return  # it never began, or not on this machine
        if not end_process(name, timeout_s=_END_S):
            pid = name.split("/")[2]
            self._observer.noted(f"{claim.run.label}: process {pid} of its last attempt lives on")

    def _obey(self) -> None:
        if self._stops <= self._obeyed:
            return
        now = self._stops > 1
        self._obeyed = self._stops
        self._observer.noted(
            "ending at once; Ctrl-C once more leaves without waiting for that"
            if now
            else "stopping: runs save and pause; Ctrl-C again ends them at once,"
            " they then go on from their last checkpoint"
        )
        for attempt_id in self._active:
            self._executor.stop(attempt_id, now=now)

    def _fill(self) -> None:
        while self._may_claim() and (slot := self._slots.take()) is not None:
            asked_at = self._now()
            lease_s = self._options.lease_s
            claim = self._patiently(self._store.claim, self._runner, self._wanted, lease_s=lease_s)
            if claim is None or not self._begin(claim, slot, asked_at):
                self._slots.give_back(slot)
            if claim is None:
                return

    def _may_claim(self) -> bool:
        failures = sum(state is RunState.FAILED for state in self._final.values())
        limit = self._options.max_failures
        return self._stops == 0 and (limit is None or failures < limit)

    def _begin(self, claim: Claim, slot: int, asked_at: float) -> bool:
        """Start an attempt; False when it ended before it began."""
        try:
            job = self._make_job(claim, self._slots.binding(slot))
        except AblateError as error:
            self._end(claim, Ending(state=AttemptState.FAILED, reason=error.message))
            return False
        self._patiently(job.write)
        attempts = self._patiently(self._store.attempts, claim.run.id)
        meter = self._make_meter(claim, deaths.count_hangs(attempts))
        active = Active(claim, job.folder.spool, meter, job.folder.permit)
        self._patiently(active.permit, asked_at + self._options.lease_s)
        self._slot_of[claim.attempt_id] = slot
        self._active[claim.attempt_id] = active
        self._observer.started(claim.run, claim.attempt)
        self._executor.start(job, self._on_step)
        return True

    def _on_step(self) -> None:
        """Called at step boundaries by an executor that blocks."""
        self._obey()
        self._tick()

    def _tick(self) -> None:
        if self._beat():
            self._take_over()
            self._store_late()
        now = self._now()
        if now - self._stored_at > _STORE_EVERY_S:
            self._stored_at = now
            for active in list(self._active.values()):
                self._drain(active)
                self._look(active)
            self._observer.progressed([a.meter.read() for a in self._active.values()])

    def _beat(self) -> bool:
        """Renew when it is time; return whether it was."""
        now = self._now()
        if now - self._beaten_at < self._beat_s:
            return False
        self._beaten_at = now
        if not self._active:
            return True
        until = self._now() + self._options.lease_s
        held = list(self._active.values())
        lost = self._patiently(self._store.renew, [active.claim for active in held])
        for active in held:
            if active.claim.attempt_id in lost:
                self._abandon(active)
            else:
                self._patiently(active.permit, until)
        return True

    def _drain(self, active: Active) -> None:
        """Store all whole frames of the spool."""
        try:
            for batch in active.batches():
                active.stored(batch, self._patiently(self._store.ingest, active.claim, batch))
                self._beat()  # there may be a lot to store after an outage
        except LeaseLostError:
            self._abandon(active)
        except (StoreUnavailableError, StoreGoneError):
            raise  # we were told twice to stop, or there is no database any more
        except StoreError as error:
            self._give_up(active, error)

    def _look(self, active: Active) -> None:
        """End an attempt that logs nothing any more, after it wrote down where it is."""
        active.meter.look()
        pace, claim = active.meter.pace, active.claim
        if active.claim.attempt_id not in self._active or not pace.is_hung:
            active.hung_at = None
        elif active.hung_at is None:
            if active.may_wait_for_space(self._run_dir(claim.run.id)):
                return
            active.hung_at = self._now()
            self._observer.noted(
                f"{claim.run.label} has logged nothing for {pace.idle_s:.0f} s: its log says where"
                " it is, and unless it goes on it is ended"
            )
            self._executor.dump(claim.attempt_id)
        elif active.ending is None and self._now() - active.hung_at > _DUMP_S:
            attempts = self._patiently(self._store.attempts, claim.run.id)
            active.ending = deaths.ending_of_hang(pace.idle_s, active.meter.read().step, attempts)
            self._executor.stop(claim.attempt_id, now=True)

    def _give_up(self, active: Active, error: StoreError) -> None:
        """The spool is damaged: what was before is stored, what comes after cannot be read."""
        active.ending = Ending(state=AttemptState.FAILED, reason=error.message)
        if active.claim.attempt_id in self._active:
            self._executor.stop(active.claim.attempt_id, now=True)

    def _abandon(self, active: Active) -> None:
        """The run is someone else's now, or was cancelled: end our process.

        Its slot is free, and the rest of what it logged is stored, once the process is gone.
        """
        attempt_id = active.claim.attempt_id
        if self._active.pop(attempt_id, None) is not None:
            self._leaving[attempt_id] = active
            self._note_lost(active.claim)
            self._executor.stop(attempt_id, now=True)

    def _store_late(self) -> None:
        """Store what attempts logged before their runs were taken from them."""
        for active in list(self._late):
            try:
                for batch in active.batches():
                    offset = self._patiently(self._store.ingest_late, active.claim, batch)
                    active.stored(batch, offset)
            except LeaseLostError:
                continue  # the new owner is at it
            except (StoreUnavailableError, StoreGoneError):
                raise
            except StoreError as error:
                self._observer.noted(f"{active.claim.run.label}: {error.message}")
            self._late.remove(active)

    def _conclude(self, exited: Exited) -> None:
        self._settle(exited)
        self._slots.give_back(self._slot_of.pop(exited.attempt_id))

    def _settle(self, exited: Exited) -> None:
        """Conclude an attempt whose process is gone, while its slot is not given away yet."""
        if (left := self._leaving.pop(exited.attempt_id, None)) is not None:
            self._late.append(left)
            self._store_late()
            return
        active = self._active.get(exited.attempt_id)
        if active is None:
            return
        self._drain(active)
        if self._active.pop(exited.attempt_id, None) is None:
            # Lost just now, and its process is gone already.
            self._late.append(self._leaving.pop(exited.attempt_id))
            return
        run = active.claim.run
        ending = self._ending(active, exited)
        is_stillborn = ending.state is AttemptState.FAILED and not active.has_points
        if self._end(active.claim, ending) and is_stillborn:
            self._note_stillborn(run.study, ending.reason or "")

    def _ending(self, active: Active, exited: Exited) -> Ending:
        """Return how an attempt ended, and run less at once when memory was short."""
        attempts = self._patiently(self._store.attempts, active.claim.run.id)
        slot = self._slot_of[exited.attempt_id]
        kills, self._oom_kills = self._oom_kills, deaths.oom_kills()
        if active.ending is None:
            is_oom = exited.exit_code == -signal.SIGKILL and self._oom_kills > kills
            if is_oom:
                self._note_shortage(active, self._slots.run_less())
            return deaths.ending_of_death(
                exited.exit_code, attempts, stops=self._stops, is_oom=is_oom
            )
        if deaths.is_gpu_full(active.ending) and self._slots.neighbours(slot):
            self._note_shortage(active, self._slots.share_less(slot))
            return deaths.ending_beside_others(active.ending, attempts)
        return active.ending

    def _note_shortage(self, active: Active, number: int) -> None:
        self._observer.noted(
            f"{active.claim.run.label} ran out of memory: from now on {counted(number, 'run')} at"
            " once"
        )

    def _end(self, claim: Claim, ending: Ending) -> bool:
        """End an attempt and tell of it; False when it was no longer ours to end."""
        run = claim.run
        if not self._finish(claim, ending):
            return False
        self._final[run.id] = ending.state.run_state
        if ending.state is AttemptState.PAUSED:
            excluded = self._wanted.excluded_runs | {run.id}
            self._wanted = replace(self._wanted, excluded_runs=excluded)
        self._observer.ended(run, ending)
        return True

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

        What trainers log is safe in their spools meanwhile, so nothing is given up but by a second
        request to stop. Every call may be repeated: see the store's contract.
        """
        pause_s, told = 0.0, list[str]()
        began = self._now()
        while True:
            try:
                result = call(*args, **kwargs)
            except StoreUnavailableError as error:
                if self._stops > 1:
                    raise
                self._note_outage(error, told)
                self._obey()
                self._permit_meanwhile()
                pause_s = min(pause_s * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S, self._beat_s)
                time.sleep(pause_s)
            else:
                if pause_s:
                    self._observer.noted("the database can be used again; storing goes on")
                if pause_s or self._now() - began > self._beat_s:
                    # Who was out of reach renews first, and judges others only after that.
                    self._beaten_at = 0.0
                    self._watch.restart()
                return result

    def _permit_meanwhile(self) -> None:
        """Let trainers go on where nobody else can have reached the database either."""
        if not self._store.is_file:
            return
        until = self._now() + self._options.lease_s
        for active in self._active.values():
            with suppress(StoreUnavailableError):
                active.permit(until)

    def _note_outage(self, error: StoreUnavailableError, told: list[str]) -> None:
        """Say why the database is out of reach, each reason once, and at first what follows."""
        if error.message in told or len(told) == _MOST_REASONS:
            return
        told.append(error.message)
        self._observer.noted(f"{error.message}" + (f" ({error.hint})" if error.hint else ""))
        if len(told) > 1:
            return
        go_on = "trainers go on"
        if not self._store.is_file:
            go_on += f" for {self._options.lease_s:.0f} s and then wait"
        self._observer.noted(
            f"trying again until it works; {go_on}, what they log is safe in their spools;"
            " Ctrl-C twice ends this command and loses nothing"
        )
