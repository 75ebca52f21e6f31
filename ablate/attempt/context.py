"""The run as its trainer sees it: `ablate.protocol.Run` on top of the attempt's spool.

Lives in the training process. It writes files alone: no SQL, no network.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ablate import keys
from ablate.attempt import artifacts
from ablate.attempt.checkpoints.files import (
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
    saved_threads,
    steps_on_disk,
)
from ablate.attempt.checkpoints.resuming import Surroundings, newest_good
from ablate.attempt.device_log import DeviceLog, is_device_number
from ablate.attempt.gates import NOTHING_SEEN, GateWatch, Judgement
from ablate.attempt.guards import Firing, GuardWatch
from ablate.attempt.job import Job
from ablate.attempt.machine import MachineMeter
from ablate.attempt.numbers import check_step, exact_float
from ablate.attempt.patience import Patience, echo
from ablate.attempt.permit import Permit
from ablate.domain import AttemptState, BranchPoint, Checkpoint, Event
from ablate.errors import BranchError, CheckpointError, StoreUnavailableError
from ablate.provenance import loaded_code, new_modules
from ablate.spool.batch import Ending
from ablate.spool.folders import RunFolder
from ablate.spool.spool import SpoolWriter
from ablate.storable import name_fault

_MAX_KEY_LENGTH = 250
_NO_TEXT = str.maketrans({"/": " "})
_PERMIT_PAUSE_S = 0.1
_UNHEARD_S = 30.0
"""After so long it is told that a trainer has not looked whether it should stop."""
_MAX_INT = 2**63
_FLOATS = {float}


class RunContext:
    """Implements `ablate.protocol.Run` for one attempt."""

    def __init__(
        self,
        job: Job,
        spool: SpoolWriter,
        *,
        on_step: Callable[[], None],
        warn: Callable[[str], None] = echo,
    ) -> None:
        self._job = job
        self._spool = spool
        self._on_step = on_step
        self._patiently = Patience(job.run_dir, warn, self._may_wait)
        self._guards = GuardWatch(job.guards)
        self._gates = GateWatch(job.gates)
        self._machine = MachineMeter(job.system_metrics_s, job.gpus)
        self._permit = Permit(job.folder.permit)
        self._look_at = 0.0
        """When to look at it again: the clock by which it runs out is too slow for every step."""
        self._warn = warn
        self._keys: tuple[str, ...] = ()
        """Those of the last step: most steps have the same ones, which were checked."""
        self._renamed = False
        """Whether a name of the last step is not its metric key."""
        self._key_of: dict[str, str] = {}
        """Name as logged -> metric key, for those that were checked."""
        self._name_of: dict[str, str] = {}
        self._rounded: set[str] = set()
        """Keys of which it was told that a double does not hold them exactly."""
        self._on_device = DeviceLog(self._write_any)
        self._checkpoints: list[Checkpoint] = list(job.resume_from)
        self._checkpoint_steps = frozenset(job.checkpoint_steps)
        self._pause_at = _MAX_INT if job.pause_at is None else job.pause_at
        self._has_started = False
        self._last_step = -1
        self._code = job.code
        self._modules_seen: set[str] = set()
        self._stop: Ending | None = None
        self._cut = _MAX_INT
        """Behind this step nothing is kept: a guard or a gate has stopped the run there."""
        self._told_at: int | None = None
        """The last step when the trainer first read that it should stop."""
        self._unheard_since: float | None = None
        """When it was asked to stop, until it looks or that is told."""
        self._threads = job.threads
        if job.resume_from:
            # Another number of threads adds in another order: keep to the one it began with.
            self._threads = saved_threads(job.run_dir, job.resume_from) or job.threads

    @property
    def device(self) -> str:
        """See `ablate.protocol.Run`."""
        return self._job.device

    @property
    def threads(self) -> int:
        """See `ablate.protocol.Run`."""
        return self._threads

    @property
    def processes(self) -> int:
        """See `ablate.protocol.Run`."""
        return max(1, len(self._job.gpus))

    @property
    def checkpoint_steps(self) -> frozenset[int]:
        """See `ablate.protocol.Run`."""
        return self._checkpoint_steps

    @property
    def should_stop(self) -> bool:
        """See `ablate.protocol.Run`."""
        if time.monotonic() >= self._look_at:
            self._look_at_permit()
        if self._last_step >= self._gates.next_step:
            self._pass_gates(self._last_step)
        if self.is_stopping:
            self._unheard_since = None
            if self._told_at is None:
                self._told_at = self._last_step
        return self.is_stopping

    @property
    def is_stopping(self) -> bool:
        """Whether the trainer has reason to stop already; judges nothing and writes nothing."""
        return self._stop is not None or self._last_step >= self._pause_at

    @property
    def ending(self) -> Ending:
        """How the attempt ends if the trainer returns now.

        A trainer that was never told to stop has trained to its end, whatever was asked meanwhile,
        and so has one that was told and went on to its last step. One that was told there has not:
        what it does behind that, a final evaluation say, it does when it is resumed.
        """
        self.flush()
        self._pass_gates(self._last_step)
        if self._stop is not None and self._stop.state is AttemptState.STOPPED:
            return self._stop
        told_at, end = self._told_at, self._job.end
        went_on = told_at is None or (end is not None and told_at < end <= self._last_step)
        if not self.is_stopping or went_on:
            return Ending(state=AttemptState.SUCCEEDED)
        reason = self._stop.reason if self._stop else f"paused at step {self._last_step}"
        return Ending(state=AttemptState.PAUSED, reason=reason)

    def flush(self) -> None:
        """Write what is still on a device; waits for it."""
        self._on_device.flush()

    def request_stop(self, reason: str) -> None:
        """Ask the trainer to save and return; safe in a signal handler, as it sets values."""
        if self._stop is None:
            self._stop = Ending(state=AttemptState.PAUSED, reason=reason)
            self._unheard_since = time.time()

    def tell_stop(self, reason: str) -> None:
        """Take note that the trainer was asked to stop by other means than `should_stop`."""
        self.request_stop(reason)
        self._told_at = self._last_step

    @property
    def dir(self) -> Path:
        """See `ablate.protocol.Run`."""
        files = RunFolder(self._job.run_dir).files
        files.mkdir(parents=True, exist_ok=True)
        return files

    def seed(self, stream: str | None = None, *, bits: int = 63) -> int:
        """See `ablate.protocol.Run`."""
        if not 1 <= bits <= 63:
            raise ValueError(f"a seed has 1 to 63 bits, not {bits}")
        if stream is None:
            return self._job.seed
        digest = hashlib.sha256(f"{self._job.seed}/{stream}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> (64 - bits)

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """See `ablate.protocol.Run`."""
        # All that every step pays for lies in this method: benchmarks/log.py measures it.
        if time.monotonic() >= self._look_at:
            self._look_at_permit()
        if not self._has_started:
            self._start()
        if type(step) is not int or not 0 <= step < _MAX_INT:
            step = check_step(step)
        keys = tuple(metrics)
        if keys != self._keys:
            self._check_keys(keys)
        if self._renamed:
            metrics = {self._key_of[name]: value for name, value in metrics.items()}
        if step > self._gates.next_step:
            self._pass_gates(step - 1)
        now = time.time()
        # Plain floats, as nearly always, go to the spool as they are: a step costs microseconds.
        if set(map(type, metrics.values())) == _FLOATS and self._on_device.is_empty:
            self._write(step, now, metrics)
        else:
            self._log_any(step, now, metrics)
        if step > self._last_step:
            self._last_step = step
        if now >= self._machine.due:
            self._measure(step, now)
        if self._unheard_since is not None and now >= self._unheard_since + _UNHEARD_S:
            self._tell_unheard()
        self._on_step()

    def event(self, name: str, step: int, **data: Any) -> None:
        """See `ablate.protocol.Run`."""
        step = check_step(step)
        self._start()
        self.flush()
        self._record(name, step, data)

    def save(self, step: int, state: Any) -> None:
        """See `ablate.protocol.Run`."""
        step = check_step(step)
        self._start()
        self.flush()
        self._pass_gates(step)
        self.note_code()
        # Its points are on the disk before the checkpoint is, so no resume leaves a gap.
        self._patiently(self._spool.sync)
        meta = {
            "guards": self._guards.state(),
            "gates": self._gates.state(),
            "config": self._job.config,
            "environment": self._environment(),
            "code": self._code.to_json(),
        }
        folder = self._job.folder.checkpoints
        checkpoint = self._patiently(save_checkpoint, folder, self._job.run_dir, step, state, meta)
        self._patiently(self._spool.checkpoint, checkpoint)
        self._checkpoints = [
            checkpoint,
            *(c for c in self._checkpoints if c.path != checkpoint.path),
        ]
        self._prune()
        self._last_step = max(self._last_step, step)

    def _prune(self) -> None:
        """Delete old checkpoints, while nobody else can have begun to train the run from one."""
        if self._permit.is_valid:
            folder, wanted = self._job.run_dir, self.checkpoint_steps
            pruned = prune_checkpoints(folder, self._checkpoints, wanted=wanted)
            if pruned:
                self._patiently(self._spool.pruned, [point.path for point in pruned])
                self._checkpoints = [c for c in self._checkpoints if c not in pruned]

    def resume(self) -> Any | None:
        """See `ablate.protocol.Run`."""
        good, rejected = newest_good(self._job, self._checkpoints, self._surroundings())
        if good is not None:
            self._begin(good.step, good.inexact)
            self._guards, self._gates, self._last_step = good.guards, good.gates, good.step
            self._report(rejected, good.step)
            keys.tell(self, good.step, keys.Resumed(attempt=self._job.attempt))
            return good.state
        self._checkpoints = []
        branch = self._job.branch_from
        state = self._branch(branch) if branch else None
        if branch is None:
            self._begin(None, None)
        self._report(rejected, branch.checkpoint.step if branch else 0)
        return state

    def _branch(self, branch: BranchPoint) -> Any:
        """Return the state of another run, and begin behind it with guards and gates of our own."""
        step = branch.checkpoint.step
        folder = self._job.branch_dir
        assert folder is not None
        try:
            loaded = load_checkpoint(folder, branch.checkpoint)
        except CheckpointError as error:
            fault = error if (folder / branch.checkpoint.path).exists() else "its file is gone"
            left = ", ".join(map(str, steps_on_disk(folder))) or "none"
            raise BranchError(
                f"{branch.label} cannot be used: {fault}; steps with a checkpoint there: {left}"
            ) from error
        self._begin(step, None, first_step=step)
        self._gates.restore(NOTHING_SEEN, step)
        self._last_step = step
        origin = keys.Branched(run=branch.run_id, variant=branch.variant, seed=branch.seed)
        keys.tell(self, step, origin)
        return loaded.state

    def artifact(self, path: Path | str, name: str | None = None) -> None:
        """See `ablate.protocol.Run`."""
        folder = self._job.folder.artifacts
        kept_as = Path(path).name if name is None else name
        self._patiently(artifacts.keep, folder, Path(path), kept_as)

    def end(self, ending: Ending) -> None:
        """Write how the attempt ended; nothing can be written after it."""
        self.note_code()
        self._patiently(self._spool.ended, ending)

    def _may_wait(self) -> bool:
        """Whether to wait for a disk; meanwhile an executor that blocks renews its lease."""
        self._on_step()
        return self._stop is None

    def _look_at_permit(self) -> None:
        """Stand still while others may take the run over: its runner is not heard of.

        It goes on when its runner renews, saves when it is asked to stop, and is ended when the
        run is somebody else's.
        """
        began = time.monotonic()
        while not self._permit.is_valid and self._may_wait():
            if began is not None and time.monotonic() - began > _PERMIT_PAUSE_S:
                self._warn("its runner is not heard of; training waits until it is")
                began = None
            time.sleep(_PERMIT_PAUSE_S)
        self._look_at = time.monotonic() + _PERMIT_PAUSE_S

    def _start(self) -> None:
        """A trainer that never resumes begins with its first word."""
        if not self._has_started:
            if self._job.branch_from is not None:
                raise BranchError(
                    f"the run begins at {self._job.branch_from.label}: its trainer has to call "
                    "run.resume() before anything else"
                )
            self._begin(None, None)

    def _begin(
        self, step: int | None, inexact: str | None, *, first_step: int | None = None
    ) -> None:
        self._has_started = True
        self._patiently(self._spool.started, step, inexact, first_step)
        self._patiently(self._spool.code, self._code)

    def note_code(self) -> None:
        """Take note of the modules that are loaded by now, as soon as they are: files change."""
        project, known = self._job.project, self._code
        if project is None or not (names := new_modules(self._modules_seen)):
            return
        self._modules_seen |= names
        self._code = loaded_code(project, known, names, self._job.code_version)
        if self._has_started and self._code != known:
            self._patiently(self._spool.code, self._code)

    def _report(self, rejected: list[str], step: int) -> None:
        for message in rejected:
            keys.tell(self, step, keys.CheckpointRejected(reason=message))

    def _measure(self, step: int, now: float) -> None:
        if measured := self._machine.read(now):
            self._patiently(self._spool.points, step, now, measured)

    def _log_any(self, step: int, now: float, metrics: Mapping[str, Any]) -> None:
        """Log numbers of any type, which may have to wait for a device, or for those that do."""
        numbers = {key: value for key, value in metrics.items() if not is_device_number(value)}
        values = self._floats(numbers, step)
        if self._on_device.is_empty and len(numbers) == len(metrics):
            self._write(step, now, values)
        else:
            self._on_device.add(step, now, {**metrics, **values})

    def _write_any(self, step: int, now: float, values: Mapping[str, int | float]) -> None:
        self._write(step, now, self._floats(values, step))

    def _floats(self, values: Mapping[str, Any], step: int) -> dict[str, float]:
        """Return numbers as doubles; of each key that was rounded it is told once."""
        found: dict[str, float] = {}
        rounded: dict[str, str] = {}
        for key, value in values.items():
            found[key], given = (value, None) if type(value) is float else exact_float(key, value)
            if given is not None and key not in self._rounded:
                rounded[key] = given
        for key, given in rounded.items():
            self._rounded.add(key)
            self._tell(step, keys.Rounded(key=key, given=given, stored=found[key]))
        return found

    def _check_keys(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self._key_of:
                key = self._check_key(name)
                if (other := self._name_of.setdefault(key, name)) != name:
                    both = f"{str(other)!r} and {str(name)!r} are one metric, {key}"
                    raise ValueError(f"{both}; give one of them another name")
                self._key_of[name] = key
        self._keys = names
        self._renamed = any(self._key_of[name] != name for name in names)

    def _check_key(self, name: str) -> str:
        """Return the metric key of a name; see `ablate.keys`."""
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - trainers
            raise TypeError(f"metric key {name!r} is {type(name).__name__}, not text")
        key = keys.metric_key(name)
        if not name.translate(_NO_TEXT).strip() or len(key) > _MAX_KEY_LENGTH:
            raise ValueError(
                f"'{name}' is not a metric key: write split/group/name, "
                f"at most {_MAX_KEY_LENGTH} characters"
            )
        if fault := name_fault(name):
            raise ValueError(f"metric key {name!a} {fault}")
        return key

    def _tell_unheard(self) -> None:
        self._unheard_since = None
        self._warn(
            f"asked to stop {_UNHEARD_S:.0f} s ago, but its trainer has not looked at"
            " run.should_stop; it trains on, Ctrl-C again ends it now"
        )

    def _write(self, step: int, now: float, values: Mapping[str, float]) -> None:
        if step > self._cut:
            return
        try:
            self._spool.points(step, now, values)
        except StoreUnavailableError:
            self._patiently(self._spool.points, step, now, values)
        if self._job.guards:
            for firing in self._guards.observe(values, step):
                self._fire(firing, step)
        if self._job.gates:
            self._gates.observe(values, step)

    def _tell(self, step: int, payload: keys.Payload) -> None:
        self._record(payload.NAME, step, payload.data())

    def _record(self, name: str, step: int, data: dict[str, Any]) -> None:
        event = Event(name=name, step=step, data=data, time=time.time())
        self._patiently(self._spool.event, event)

    def _fire(self, firing: Firing, step: int) -> None:
        guard = firing.guard
        held = f"{guard.when} since step {firing.since_step}"
        fired = keys.GuardFired(
            guard=guard.name,
            when=guard.when,
            since_step=firing.since_step,
            values=firing.values,
            do=guard.do,
        )
        self._tell(step, fired)
        if guard.do == keys.STOP:
            reason = f"guard {guard.name} at step {step}: {held}"
            self._end_at(step, reason)

    def _end_at(self, step: int, reason: str) -> None:
        """Stop the run at a step; what comes behind it, from a device too, is not kept."""
        self._stop = Ending(state=AttemptState.STOPPED, reason=reason)
        self._cut = min(self._cut, step)

    def _pass_gates(self, step: int) -> None:
        """Judge what lies up to a step that is over."""
        if step >= self._gates.next_step:
            self.flush()
            for judged in self._gates.judge(step):
                self._obey(judged)

    def _obey(self, judged: Judgement) -> None:
        gate = judged.gate
        statuses = {key: status.value for key, status in judged.statuses.items()}
        passed = keys.GateJudged(do=gate.do, values=dict(judged.values), statuses=statuses)
        self._tell(gate.step, passed)
        if gate.do == keys.STOP and judged.failure:
            self._end_at(gate.step, judged.failure)

    def _environment(self) -> dict[str, Any]:
        """What may change the bits of a resumed run, beside its config and code."""
        return {
            "device": self.device,
            "threads": self.threads,
            "torch": _version("torch"),
            "numpy": _version("numpy"),
            "machine": platform.machine(),
        }

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            environment=self._environment(), config=self._job.config, code=self._code
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
