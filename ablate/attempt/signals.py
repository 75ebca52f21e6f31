"""What SIGTERM means in a training process, and in the processes that a trainer forks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from types import FrameType

DUMP = getattr(signal, "SIGRTMAX", signal.SIGUSR2)
"""Has a training process write the stacks of all its threads; one that trainers hardly use."""

_DEFAULTS = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}


class StopSignal:
    """Has SIGTERM ask for a stop; knows of it also where a trainer handles it in our place.

    Use as a context manager, in the main thread.

    Args:
        ask: Called by the signal's handler, so it must do no work.
        others: Signals that mean the same, as when all processes of a session are signalled.
    """

    def __init__(self, ask: Callable[[], None], *, others: Sequence[signal.Signals] = ()) -> None:
        self._ask = ask
        self._numbers = (signal.SIGTERM, *others)
        self._has_come = False

    def __enter__(self) -> StopSignal:
        _leave_children_alone()
        # The interpreter writes every signal into this pipe, whoever's handler it then calls.
        self._pipe = os.pipe()
        for end in self._pipe:
            os.set_blocking(end, False)
        self._wakeup_before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._handle) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        for end in self._pipe:
            os.close(end)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._has_come = True
        self._ask()

    @property
    def has_come(self) -> bool:
        """Whether this process was asked to stop."""
        with suppress(BlockingIOError):  # no signal came
            self._has_come = self._has_come or signal.SIGTERM in os.read(self._pipe[0], 65536)
        return self._has_come

    @property
    def is_taken(self) -> bool:
        """Whether the trainer was asked to stop by a handler of its own, in the place of ours."""
        return self.has_come and signal.getsignal(signal.SIGTERM) != self._handle


@cache
def _leave_children_alone() -> None:
    """Have processes that a trainer forks end by SIGTERM, as they would without us.

    They inherit a handler that asks this process to stop, and so would outlive `Process.terminate`.
    A signal that reaches a child before its handlers are reset waits until they are: a pool that
    ends its workers as soon as it has started them would otherwise wait for one for ever.
    """
    before = threading.local()  # a mask belongs to a thread

    def hold() -> None:
        before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFAULTS)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)

    def release_in_child() -> None:
        _reset()
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=release_in_child)


def _reset() -> None:
    signal.set_wakeup_fd(-1)
    for number, default in _DEFAULTS.items():
        if getattr(signal.getsignal(number), "__module__", "").startswith("ablate."):
            signal.signal(number, default)
