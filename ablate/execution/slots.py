"""Worker slots: how many attempts run at once, and on which GPUs, also beside other runners."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from ablate.execution.devices import Devices, threads_of_each
from ablate.execution.executors.base import Binding


class MachineSlots:
    """The slots of one runner on this machine, used from one thread; see `base.Slots`.

    A slot on GPUs is taken on the machine, by a lock that the kernel gives back when this process
    ends: two runners never use one GPU at a time, unless both were told to have runs share GPUs.

    Args:
        number: How many attempts run at once.
        devices: What they are spread over.
        folder: Where the locks are, the same for all users of the machine.
    """

    def __init__(self, number: int, devices: Devices, folder: Path | None = None) -> None:
        self.number = number
        self._devices = devices
        self._folder = folder or Path(tempfile.gettempdir())
        self._taken: dict[int, list[int]] = {}
        """Slot -> the files of its locks."""
        self._neighbours: dict[int, int] = {}
        self._limit = number

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return self._devices.kind

    @property
    def threads(self) -> int:
        """How many CPU threads each attempt gets."""
        return threads_of_each(self.number)

    def binding(self, slot: int) -> Binding:
        """Return on what an attempt in a slot runs."""
        gpus = self._devices.gpus_of(slot)
        return Binding(device=self.kind, gpus=gpus, threads=self.threads)

    @property
    def is_idle(self) -> bool:
        """Whether none is taken."""
        return not self._taken

    def take(self) -> int | None:
        """Return a slot that is free from now on taken, None when there is none."""
        if len(self._taken) >= self._limit:
            return None
        for slot in range(self.number):
            if slot not in self._taken and (locks := self._lock(slot)) is not None:
                self._taken[slot] = locks
                self._note_neighbours(slot)
                return slot
        return None

    def _note_neighbours(self, slot: int) -> None:
        """Note who shares GPUs now: when memory runs out, some of them may be gone already."""
        gpus = self._devices.gpus_of(slot)
        together = [other for other in self._taken if gpus and self._devices.gpus_of(other) == gpus]
        self._neighbours[slot] = 0
        for other in together:
            self._neighbours[other] = max(self._neighbours[other], len(together) - 1)

    def give_back(self, slot: int) -> None:
        """Let others have a slot."""
        for lock in self._taken.pop(slot):
            os.close(lock)

    def neighbours(self, slot: int) -> int:
        """Return how many others of this runner shared the GPUs of a slot at once, at most."""
        return self._neighbours[slot]

    def share_less(self, slot: int) -> int:
        """Run less at once, so that GPUs are shared by one less; return how much is run at once."""
        groups = len({self._devices.gpus_of(other) for other in range(self.number)})
        return self._run_at_most(groups * self.neighbours(slot))

    def run_less(self) -> int:
        """Run one less at once than now; return how much that is."""
        return self._run_at_most(len(self._taken) - 1)

    def _run_at_most(self, number: int) -> int:
        self._limit = max(1, min(self._limit, number))
        return self._limit

    def _lock(self, slot: int) -> list[int] | None:
        layer = slot // (len(self._devices.gpus) // self._devices.per_run or 1)
        locks: list[int] = []
        for gpu in self._devices.gpus_of(slot):
            lock = _locked(self._folder / f"ablate-gpu-{gpu}-{layer}.lock")
            if lock is None:
                for other in locks:
                    os.close(other)
                return None
            locks.append(lock)
        return locks


def _locked(path: Path) -> int | None:
    """Return a locked file, None when somebody else has locked it."""
    try:
        # A file of another user may be locked, but in a folder such as /tmp not made anew.
        flags = os.O_RDONLY | os.O_CLOEXEC | (0 if path.exists() else os.O_CREAT)
        file = os.open(path, flags, 0o644)
    except OSError:
        return None
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file
    os.close(file)
    return None
