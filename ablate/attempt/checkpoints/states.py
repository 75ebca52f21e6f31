"""Torch without importing it: what a trainer handed us is recognised by its module's name.

`ablate` runs trainers of any framework and none. When the trainer has imported torch, its tensors
are read and saved with it; otherwise this module touches nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def torch_module() -> Any | None:
    """Return torch if the trainer has imported it."""
    return sys.modules.get("torch")


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
