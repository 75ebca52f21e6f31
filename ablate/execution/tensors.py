"""Torch without importing it: what a trainer handed us is recognised by its module's name.

`ablate` runs trainers of any framework and none. When the trainer has imported torch, its tensors
are read and saved with it; otherwise this module touches nothing.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any


def torch_module() -> Any | None:
    """Return torch if the trainer has imported it."""
    return sys.modules.get("torch")


def is_device_tensor(value: Any) -> bool:
    """Whether ``value`` is a tensor whose reading would synchronise a device."""
    torch = torch_module()
    return torch is not None and isinstance(value, torch.Tensor) and value.device.type != "cpu"


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

    def __init__(self, write: Callable[[int, float, dict[str, float]], None]) -> None:
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
    """A logged step, its tensors copied on their devices, those of one device into one tensor."""

    def __init__(self, step: int, time: float, values: dict[str, Any]) -> None:
        self.step = step
        self.time = time
        self.values = values
        by_device: dict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in values.items():
            if type(value) is not float:
                by_device[value.device][key] = value.detach().reshape(())
        self.copies = {
            device: (tuple(part), _joined(part.values(), "stack"))
            for device, part in by_device.items()
        }


class _Batch:
    """Steps whose tensors are on their way to the host."""

    def __init__(self, steps: Sequence[_Step]) -> None:
        self._steps = steps
        devices = dict.fromkeys(device for step in steps for device in step.copies)
        self._transfers = {
            device: _Transfer([s.copies[device][1] for s in steps if device in s.copies])
            for device in devices
        }

    @property
    def has_arrived(self) -> bool:
        return all(transfer.is_done for transfer in self._transfers.values())

    def read(self) -> Iterator[tuple[int, float, dict[str, float]]]:
        """Yield step, time and values of each step; waits if something has not arrived."""
        arrived = {device: iter(moved.values()) for device, moved in self._transfers.items()}
        for step in self._steps:
            values = dict(step.values)
            for device, (keys, _) in step.copies.items():
                values |= {key: next(arrived[device]) for key in keys}
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

    def values(self) -> list[float]:
        if self._event is not None:
            self._event.synchronize()
        return self._host.tolist()


def _joined(tensors: Iterable[Any], how: str) -> Any:
    """Return one tensor of doubles, in few calls of the device where all types are the same."""
    torch = torch_module()
    assert torch is not None
    parts = list(tensors)
    if len({part.dtype for part in parts}) > 1:
        parts = [part.to(torch.float64) for part in parts]
    return getattr(torch, how)(parts).to(torch.float64)


def save_state(state: Any, path: Path) -> None:
    """Write a checkpoint's state: with torch when it is loaded, as bytes or JSON otherwise."""
    torch = torch_module()
    if isinstance(state, bytes):
        path.write_bytes(state)
    elif torch is not None:
        torch.save(state, path)
    else:
        path.write_text(json.dumps(state), encoding="utf-8")


def load_state(path: Path) -> Any:
    """Read what `save_state` wrote; pickled code is never executed."""
    torch = torch_module()
    with path.open("rb") as file:
        start = file.read(2)
    if torch is not None and start == b"PK":
        return torch.load(path, map_location="cpu", weights_only=True)
    if start[:1] in (b"{", b"["):
        return json.loads(path.read_text(encoding="utf-8"))
    return path.read_bytes()
