"""Torch without importing it: what a trainer handed us is recognised by its module's name.

`ablate` runs trainers of any framework and none. When the trainer has imported torch, its tensors
are read and saved with it; otherwise this module touches nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def torch_module() -> Any | None:
    """Return torch if the trainer has imported it."""
    return sys.modules.get("torch")


def is_device_tensor(value: Any) -> bool:
    """Whether ``value`` is a tensor whose reading would synchronise a device."""
    torch = torch_module()
    return torch is not None and isinstance(value, torch.Tensor) and value.device.type != "cpu"


def is_one_number(tensor: Any) -> bool:
    """Whether a tensor holds a single real number, which `fetch` can copy."""
    return tensor.numel() == 1 and not tensor.is_complex()


def fetch(tensors: Sequence[Any]) -> list[int | float]:
    """Copy device tensors of one number to the host, all at once; long integers stay exact."""
    torch = torch_module()
    assert torch is not None
    is_long = [tensor.dtype is torch.int64 for tensor in tensors]
    longs = _copied([t for t, long in zip(tensors, is_long, strict=True) if long], torch.int64)
    others = _copied(
        [t for t, long in zip(tensors, is_long, strict=True) if not long], torch.float64
    )
    return [next(longs if long else others) for long in is_long]


def _copied(tensors: Sequence[Any], dtype: Any) -> Iterator[Any]:
    torch = torch_module()
    if torch is None or not tensors:
        return iter(())
    stacked = torch.stack([tensor.detach().reshape(()).to(dtype) for tensor in tensors])
    return iter(stacked.cpu().tolist())


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
    with path.open("rb") as file:
        start = file.read(2)
    if torch is not None and start == b"PK":
        return torch.load(path, map_location="cpu", weights_only=True)
    if start[:1] in (b"{", b"["):
        return json.loads(path.read_text(encoding="utf-8"))
    return path.read_bytes()
