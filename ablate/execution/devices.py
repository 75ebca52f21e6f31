"""Which processors a worker gets. GPUs are counted without loading CUDA into this process."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace

from ablate.errors import UsageError
from ablate.execution.executors.base import ExecutorRequest


@dataclass(frozen=True, slots=True)
class Devices:
    """What attempts are spread over."""

    gpus: tuple[int, ...]
    """Indices as CUDA_VISIBLE_DEVICES takes them; empty for the CPU."""
    per_run: int = 1
    """How many of them train one run together."""

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return "cuda" if self.gpus else "cpu"

    @property
    def default_workers(self) -> int:
        """One for each GPU, or for each group of them that shares a run; else for each core."""
        return len(self.gpus) // self.per_run or cores()

    def gpus_of(self, slot: int) -> tuple[int, ...]:
        """Return the GPUs of a worker slot; slots beyond the last share them in turn."""
        if not self.gpus:
            return ()
        first = slot % (len(self.gpus) // self.per_run) * self.per_run
        return self.gpus[first : first + self.per_run]


def parse_devices(text: str, per_run: int = 1) -> Devices:
    """Read ``auto``, ``cpu``, ``cuda`` or ``cuda:0,2``.

    Args:
        text: What was typed.
        per_run: How many GPUs one run takes.

    Raises:
        UsageError: For another text, or a GPU that this machine does not have.
    """
    found = _parse(text)
    if per_run > max(1, len(found.gpus)):
        have = f"there are {len(found.gpus)}" if found.gpus else "there is none"
        raise UsageError(f"--gpus-per-run {per_run}: {have}", hint="give fewer, or leave it out")
    return replace(found, per_run=per_run)


def devices_for(request: ExecutorRequest) -> Devices:
    """Return the devices of this machine that a request asks for.

    Raises:
        UsageError: As `parse_devices`; also for a limit that nothing on this machine keeps.
    """
    limits = request.resources
    if (limits.cpus, limits.memory_gib, limits.time_min) != (None, None, None):
        raise UsageError(
            "a limit of cores, memory or time is kept by no executor of this machine",
            hint="leave it out, or choose another --executor",
        )
    return parse_devices(request.device, limits.gpus)


def _parse(text: str) -> Devices:
    kind, _, indices = text.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (indices and kind != "cuda"):
        raise UsageError(f"--device {text}: unknown", hint="write auto, cpu, cuda or cuda:0,1")
    if kind == "cpu":
        return Devices(())
    found = _visible_gpus()
    if kind == "cuda" and not found:
        raise UsageError("--device cuda: this machine shows no GPU", hint="use --device cpu")
    if not indices:
        return Devices(found)
    try:
        chosen = tuple(int(index) for index in indices.split(","))
    except ValueError as error:
        raise UsageError(f"--device {text}: a GPU is a number", hint="cuda:0,1") from error
    if missing := [index for index in chosen if index not in found]:
        raise UsageError(f"--device {text}: there is no GPU {missing[0]}", hint=f"have: {found}")
    return Devices(chosen)


def cores() -> int:
    """Return the CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables of the environment from which libraries take how many CPU threads they use."""


def at_most(threads: int, setting: str) -> int:
    """Return a number of threads, or a smaller one that the user's environment asks for."""
    wanted = os.environ.get(setting, "").partition(",")[0]  # OpenMP has one for each level
    return min(threads, int(wanted)) if wanted.isdecimal() and int(wanted) else threads


def worker_environment(threads: int) -> dict[str, str]:
    """Return the environment of a training process that has so many CPU threads."""
    return {
        **os.environ,
        **{name: str(at_most(threads, name)) for name in THREAD_SETTINGS},
        # cuBLAS is only reproducible with a workspace of fixed size.
        "CUBLAS_WORKSPACE_CONFIG": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
    }


def threads_of_each(slots: int) -> int:
    """Return how many CPU threads one of several workers gets."""
    return at_most(max(1, cores() // slots), THREAD_SETTINGS[0])


def _visible_gpus() -> tuple[int, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listing = subprocess.run(  # noqa: S603 - a fixed program without a shell
            [program, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        return ()
    return tuple(int(line) for line in listing.stdout.split())
