"""What follows when the process of an attempt ends without a word."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from ablate.domain import Attempt, AttemptState
from ablate.spool.batch import ASKED, GPU_FULL, Ending

_HUNG = "hung"
"""How the reason of an attempt begins that was ended because it logged nothing."""
_MAX_ENDS = 3
"""A run that dies, or hangs, so often between the same two checkpoints is failed."""


def count_hangs(attempts: Sequence[Attempt]) -> int:
    """Return how many of a run's last attempts were ended because they logged nothing."""
    return len(_in_vain(attempts, _has_hung))


def _has_hung(attempt: Attempt) -> bool:
    return (attempt.error or "").startswith(_HUNG)


def _has_died(attempt: Attempt) -> bool:
    return attempt.exit_code is not None


def _in_vain(attempts: Sequence[Attempt], is_alike: Callable[[Attempt], bool]) -> list[Attempt]:
    """Return the attempts behind the last that ended otherwise than by being lost, if alike.

    A user's retry comes after such an end, so it counts anew.
    """
    lost = takewhile(lambda attempt: attempt.state is AttemptState.LOST, reversed(attempts))
    return [attempt for attempt in lost if is_alike(attempt)]


def _ends(attempts: Sequence[Attempt], is_alike: Callable[[Attempt], bool]) -> int:
    """Return how often a run has ended alike where its last attempt does, with that one.

    Who got further in between is not stuck: a long run may meet with many accidents.
    """
    *earlier, last = attempts
    alike = _in_vain(earlier, is_alike)
    return 1 + sum(attempt.start_step == last.start_step for attempt in alike)


def ending_of_hang(idle_s: float, step: int, attempts: Sequence[Attempt]) -> Ending:
    """Return the ending of an attempt that logs nothing any more: it is tried again, not for ever.

    Args:
        idle_s: For how long.
        step: Its last one.
        attempts: All of the run, the one that hangs is the last.
    """
    reason = f"{_HUNG}: nothing logged for {idle_s:.0f} s after step {step}"
    hangs = _ends(attempts, _has_hung)
    if hangs < _MAX_ENDS:
        return Ending(state=AttemptState.LOST, reason=reason)
    reason += f", in {hangs} attempts; `ablate logs` shows where"
    return Ending(state=AttemptState.FAILED, reason=reason)


def is_gpu_full(ending: Ending) -> bool:
    """Whether an attempt ended because its GPU had no memory left."""
    return (ending.reason or "").startswith(GPU_FULL)


def ending_beside_others(ending: Ending, attempts: Sequence[Attempt]) -> Ending:
    """Return the ending of an attempt that shared its GPU: without others it may have had room.

    Another batch size would be another experiment; fewer neighbours are not.
    """
    ends = _ends(attempts, lambda attempt: (attempt.error or "").startswith(GPU_FULL))
    if not is_gpu_full(ending) or ends >= _MAX_ENDS:
        return ending
    return replace(ending, state=AttemptState.LOST)


def ending_of_death(
    exit_code: int | None, attempts: Sequence[Attempt], *, stops: int, is_oom: bool = False
) -> Ending:
    """Return the ending of an attempt whose process left none.

    Args:
        exit_code: Of the process, negative for a signal; None when it was ended with others.
        attempts: All of the run, the one that died is the last.
        stops: How often the user has asked to stop.
        is_oom: Whether the kernel killed it for lack of memory.
    """
    if exit_code is None:
        return Ending(state=AttemptState.LOST, reason="it was ended with the fork server")
    how = f"its process ended with code {exit_code}"
    if exit_code < 0:
        how = f"its process was killed by signal {-exit_code}"
    if is_oom:
        how = "out of memory: its process was killed by the kernel"
    if stops > 1:
        # By our own hand: without an exit code it does not count as a death.
        return Ending(state=AttemptState.LOST, reason=how)
    if stops and exit_code == -signal.SIGTERM:
        # No handler of ours was there: the process was starting, or its trainer took it away.
        return Ending(state=AttemptState.PAUSED, reason=ASKED)
    deaths = _ends(attempts, _has_died)
    if deaths < _MAX_ENDS:
        return Ending(state=AttemptState.LOST, reason=how, exit_code=exit_code)
    reason = f"{how}, in {deaths} attempts"
    return Ending(state=AttemptState.FAILED, reason=reason, exit_code=exit_code)


def oom_kills(root: Path = Path("/")) -> int:
    """Return how many processes the kernel has ended for lack of memory so far.

    Counted are those of this process's control group, else those of the machine; 0 where neither
    is told. Source: Linux, "Control Group v2", ``memory.events``, and ``/proc/vmstat``.

    Args:
        root: Below which ``proc`` and ``sys`` are.
    """
    with suppress(OSError, StopIteration):
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        group = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
        return _kills_in(root / "sys/fs/cgroup" / group.lstrip("/") / "memory.events")
    with suppress(OSError, StopIteration):
        return _kills_in(root / "proc/vmstat")
    return 0


def _kills_in(path: Path) -> int:
    words = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return next(int(word[1]) for word in words if word[0] == "oom_kill")
