"""Torch without importing it: what a trainer handed us is recognised by its module's name.

`ablate` runs trainers of any framework and none. When the trainer has imported torch, its tensors
are read and saved with it; otherwise this module touches nothing.
"""

from __future__ import annotations

import importlib
import json
import math
import statistics
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ablate.errors import UsageError


def torch_module() -> Any | None:
    """Return torch if the trainer has imported it."""
    return sys.modules.get("torch")


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


def save_state(state: Any, path: Path) -> None:
    """Write a checkpoint's state: with torch when it is loaded, as bytes or JSON otherwise."""
    torch = torch_module()
    if isinstance(state, bytes):
        path.write_bytes(state)
    elif torch is not None:
        with path.open("wb") as file:  # an open file: torch's own says nothing of why it fails
            torch.save(state, file)
    else:
        path.write_text(json.dumps(state), encoding="utf-8")


def load_state(path: Path) -> Any:
    """Read what `save_state` wrote; pickled code is never executed."""
    torch = torch_module()
    if torch is not None and is_torch_file(path):
        return torch.load(path, map_location="cpu", weights_only=True)
    with path.open("rb") as file:
        start = file.read(1)
    if start in (b"{", b"["):
        return json.loads(path.read_text(encoding="utf-8"))
    return path.read_bytes()


def is_torch_file(path: Path) -> bool:
    """Whether a file begins as those that torch writes."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def require_torch() -> Any:
    """Return torch, imported if it is not yet.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise UsageError(
            "torch is not installed", hint="pip install 'ablate-studies[train]'"
        ) from error


def named_values(state: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, tensor, number or list of numbers) for all of a state."""
    if _is_tensor(state) or _is_number(state) or _is_vector(state):
        yield name, state
        return
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(state, Mapping):
        children = cast("Mapping[Any, Any]", state).items()
    elif isinstance(state, list | tuple):
        children = enumerate(cast("Sequence[Any]", state))
    for key, child in children:
        yield from named_values(child, f"{name}.{key}" if name else str(key))


def _is_tensor(value: Any) -> bool:
    torch = torch_module()
    return torch is not None and isinstance(value, torch.Tensor)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_vector(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(map(_is_number, cast("Sequence[Any]", value)))


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorFacts:
    """What is to be said of a tensor, or of a number, which is one of a single element."""

    shape: tuple[int, ...]
    dtype: str
    norm: float
    """L2, as all below, over the finite elements."""
    mean: float | None
    """None, as all below, where no element is finite."""
    deviation: float | None
    low: float | None
    high: float | None
    not_finite: int
    """How many elements are NaN or infinite."""
    zeros: float | None
    """Share of the elements that are exactly 0."""


def tensor_facts(value: Any) -> TensorFacts:
    """Return the facts about a tensor, a number or numbers; complex ones count by their size."""
    if not _is_tensor(value):
        return _plain_facts(value)
    flat = _doubles(value)
    finite = flat[flat.isfinite()]
    has_any = finite.numel() > 0
    return TensorFacts(
        shape=tuple(value.shape),
        dtype=str(value.dtype).removeprefix("torch."),
        norm=float(finite.norm()),
        mean=float(finite.mean()) if has_any else None,
        deviation=float(finite.std(correction=0)) if has_any else None,
        low=float(finite.min()) if has_any else None,
        high=float(finite.max()) if has_any else None,
        not_finite=flat.numel() - finite.numel(),
        zeros=float((flat == 0).double().mean()) if flat.numel() else None,
    )


def _plain_facts(value: Any) -> TensorFacts:
    numbers = _floats(value)
    finite = [x for x in numbers if math.isfinite(x)]
    return TensorFacts(
        shape=() if _is_number(value) else (len(numbers),),
        dtype=type(value).__name__,
        norm=math.hypot(*finite),
        mean=statistics.fmean(finite) if finite else None,
        deviation=statistics.pstdev(finite) if finite else None,
        low=min(finite, default=None),
        high=max(finite, default=None),
        not_finite=len(numbers) - len(finite),
        zeros=sum(x == 0 for x in numbers) / len(numbers),
    )


def distance(value: Any, other: Any) -> float | None:
    """Return ``|value - other| / |other|``, None for other shapes or where that is no number."""
    if _is_tensor(value) != _is_tensor(other):
        return None
    if _is_tensor(value):
        if value.shape != other.shape:
            return None
        first, second = _doubles(value), _doubles(other)
        gap, size = float((first - second).norm()), float(second.norm())
    else:
        ours, theirs = _floats(value), _floats(other)
        if len(ours) != len(theirs):
            return None
        gap, size = math.dist(ours, theirs), math.hypot(*theirs)
    if gap == 0:
        return 0.0
    return gap / size if size > 0 and math.isfinite(gap / size) else None


def _floats(value: Any) -> list[float]:
    return [float(value)] if _is_number(value) else [float(x) for x in value]


def perplexity(counts: Any) -> float | None:
    """Return how many codes are in use in effect, from how often each is: 1 to their number."""
    shares = _doubles(counts).clamp_min(0)
    total = float(shares.sum())
    if not 0 < total < math.inf:
        return None
    shares = shares / total
    return math.exp(-float((shares * shares.clamp_min(1e-300).log()).sum()))


def _doubles(tensor: Any) -> Any:
    torch = torch_module()
    assert torch is not None
    flat = tensor.detach().reshape(-1)
    return (flat.abs() if flat.is_complex() else flat).to(torch.float64)
