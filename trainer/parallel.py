"""Several processes that train one run together, one for each of its GPUs.

Every member draws the same batches and takes its share of each, so that together they see what one
process would. Only the first member logs and saves. Without a group, everything here does nothing.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from ablate.protocol import Run


class Member:
    """The run as its further members see it: seeds and device, but nothing is written."""

    def __init__(self, run: Run, rank: int) -> None:
        self._run = run
        self._rank = rank
        self.processes = run.processes
        self.threads = run.threads
        self.should_stop = False
        self.checkpoint_steps: frozenset[int] = frozenset()

    @property
    def device(self) -> str:
        """The member's own GPU."""
        return self._run.device if self._run.device == "cpu" else f"cuda:{self._rank}"

    def seed(self, stream: str) -> int:
        """Return what the first member gets."""
        return self._run.seed(stream)

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Leave it to the first member."""

    def event(self, name: str, step: int, **data: Any) -> None:
        """Leave it to the first member."""

    def save(self, step: int, state: Any) -> None:
        """Leave it to the first member."""

    def resume(self) -> Any | None:
        """Return nothing: the first member hands its state on."""
        return None

    def artifact(self, path: Path | str, name: str | None = None) -> None:
        """Leave it to the first member."""


def together(run: Run, work: Callable[[Run], None]) -> None:
    """Do the work in every member of a run; the first is this process.

    Further members are forks: they have what this process has, and CUDA must not have been used.
    They end with the first, whatever becomes of it.

    Args:
        run: How many processes it has, and what the first of them works with.
        work: Done with the member's own view of the run.
    """
    if run.processes == 1:
        work(run)
        return
    with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
        meeting = f"file://{folder}/meeting"
        fork = multiprocessing.get_context("fork")
        members = [
            fork.Process(target=_join, args=(Member(run, rank), rank, meeting, work), daemon=True)
            for rank in range(1, run.processes)
        ]
        for member in members:
            member.start()
        try:
            _join(run, 0, meeting, work)
        finally:
            for member in members:
                member.terminate()
                member.join()


def _join(run: Run, rank: int, meeting: str, work: Callable[[Run], None]) -> None:
    backend = "gloo" if run.device == "cpu" else "nccl"
    distributed.init_process_group(
        backend, init_method=meeting, rank=rank, world_size=run.processes
    )
    try:
        work(run)
        # Nobody leaves while another may still be waiting for its share.
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def is_group() -> bool:
    """Return whether this process trains together with others."""
    return distributed.is_available() and distributed.is_initialized()


def share(batch: Tensor) -> Tensor:
    """Return this member's items of a batch, whose number the members divide."""
    if not is_group():
        return batch
    return batch.chunk(distributed.get_world_size())[distributed.get_rank()]


def wrapped(module: nn.Module, device: torch.device) -> nn.Module:
    """Return a module whose gradients are means over the members, as long as it is called."""
    if not is_group():
        return module
    # Codebooks that are not active yet have no gradient.
    return nn.parallel.DistributedDataParallel(
        module,
        device_ids=None if device.type == "cpu" else [device],
        find_unused_parameters=True,
    )


@torch.no_grad()
def add_up(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over the members."""
    if is_group():
        for tensor in tensors:
            distributed.all_reduce(tensor)


@torch.no_grad()
def average_gradients(module: nn.Module) -> None:
    """Replace the gradients of a module that is not `wrapped` by their means over the members."""
    if is_group():
        for parameter in module.parameters():
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= distributed.get_world_size()


@torch.no_grad()
def follow_first(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by the first member's."""
    if is_group():
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def agreed(flag: bool, device: torch.device) -> bool:
    """Return the first member's flag."""
    if not is_group():
        return flag
    answer = torch.tensor(int(flag), device=device)
    distributed.broadcast(answer, src=0)
    return bool(answer)
