"""Logged steps whose values are on a device still: they are read together, and nobody waits."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ablate.attempt.checkpoints.states import torch_module


def is_device_number(value: Any) -> bool:
    """Whether ``value`` is one real number on a device, whose reading would synchronise that."""
    torch = torch_module()
    if torch is None or not isinstance(value, torch.Tensor) or not is_on_device(value):
        return False
    return value.numel() == 1 and not value.is_complex() and not value.is_meta


def is_on_device(tensor: Any) -> bool:
    """Whether a tensor lies elsewhere than in the memory of the processor."""
    return tensor.device.type != "cpu"


BATCH_STEPS = 64
BATCH_S = 1.0


class DeviceLog:
    """Logged steps some of whose values are still on a device.

    Reading a device tensor waits for all that the device has been given to do. So its value is
    copied on the device when it is logged, since the trainer may overwrite it; the copies of
    `BATCH_STEPS` steps or `BATCH_S` seconds then travel to the host together while the device
    works on; and what has arrived is written at a later step. Only `flush` ever waits.

    Args:
        write: Is given step, Unix seconds and values of each step, in the order of `add`.
    """

    def __init__(self, write: Callable[[int, float, dict[str, int | float]], None]) -> None:
        self._write = write
        self._steps: list[_Step] = []
        self._moving: deque[_Batch] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether no step waits."""
        return not self._steps and not self._moving

    def add(self, step: int, time: float, values: dict[str, Any]) -> None:
        """Take a step whose values are floats and 0-d tensors on devices."""
        self._steps.append(_Step(step, time, values))
        if len(self._steps) >= BATCH_STEPS or time - self._steps[0].time > BATCH_S:
            self._send()
        self._take(wait=False)

    def flush(self) -> None:
        """Write all steps, waiting for the devices."""
        self._send()
        self._take(wait=True)

    def _send(self) -> None:
        steps, self._steps = self._steps, []
        if steps:
            self._moving.append(_Batch(steps))

    def _take(self, *, wait: bool) -> None:
        while self._moving and (wait or self._moving[0].has_arrived):
            for step, time, values in self._moving[0].read():
                self._write(step, time, values)
            self._moving.popleft()


class _Step:
    """A logged step, its tensors copied on their devices, those that lie together into one."""

    def __init__(self, step: int, time: float, values: dict[str, Any]) -> None:
        self.step = step
        self.time = time
        self.values = values
        groups: dict[_Place, dict[str, Any]] = defaultdict(dict)
        for key, value in values.items():
            if type(value) is not float:
                groups[_place(value)][key] = value.detach().reshape(())
        self.copies = {
            place: (tuple(group), _joined(group.values(), "stack"))
            for place, group in groups.items()
        }


class _Batch:
    """Steps whose tensors are on their way to the host."""

    def __init__(self, steps: Sequence[_Step]) -> None:
        self._steps = steps
        places = dict.fromkeys(place for step in steps for place in step.copies)
        self._transfers = {
            place: _Transfer([s.copies[place][1] for s in steps if place in s.copies])
            for place in places
        }

    @property
    def has_arrived(self) -> bool:
        return all(transfer.is_done for transfer in self._transfers.values())

    def read(self) -> Iterator[tuple[int, float, dict[str, int | float]]]:
        """Yield step, time and values of each step; waits if something has not arrived."""
        arrived = {place: iter(moved.values()) for place, moved in self._transfers.items()}
        for step in self._steps:
            values = dict(step.values)
            for place, (keys, _) in step.copies.items():
                values |= {key: next(arrived[place]) for key in keys}
            yield step.step, step.time, values


class _Transfer:
    """A copy of tensors of one device to the host; on CUDA nobody waits for it."""

    def __init__(self, parts: Sequence[Any]) -> None:
        torch = torch_module()
        assert torch is not None
        here = _joined(parts, "cat")
        self._event: Any = None
        if here.device.type != "cuda":
            self._host = here.cpu()
            return
        # A copy to memory that the system could page out would wait for the device.
        self._host = torch.empty(here.shape, dtype=here.dtype, pin_memory=True)
        with torch.cuda.device(here.device):
            self._host.copy_(here, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    @property
    def is_done(self) -> bool:
        return self._event is None or self._event.query()

    def values(self) -> list[int | float]:
        if self._event is not None:
            self._event.synchronize()
        return self._host.tolist()


_Place = tuple[Any, Any]
"""A device, and the type of long integers, which doubles do not hold; None for other numbers."""


def _place(tensor: Any) -> _Place:
    return tensor.device, tensor.dtype if _is_long(tensor) else None


def _is_long(tensor: Any) -> bool:
    return str(tensor.dtype) in ("torch.int64", "torch.uint64")


def _joined(tensors: Iterable[Any], how: str) -> Any:
    """Return one tensor of long integers or of doubles, in few calls where types are the same."""
    torch = torch_module()
    assert torch is not None
    parts = list(tensors)
    if _is_long(parts[0]):
        return getattr(torch, how)(parts)
    if len({part.dtype for part in parts}) > 1:
        parts = [part.to(torch.float64) for part in parts]
    return getattr(torch, how)(parts).to(torch.float64)
