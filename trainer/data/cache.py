"""Arrays that are costly to make, kept on disk for the next run.

The cache may be deleted at any time. It lies in ``ABLATE_CACHE_DIR``, else in ``ablate`` under
``XDG_CACHE_HOME``, else under ``~/.cache``.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

_DIGEST_BYTES = 32
_VERSION = 1
"""Raised when the same key stands for other arrays than before."""


def cached(kind: str, key: tuple[object, ...], make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays kept under ``key``, or those of ``make``, which are then kept.

    An entry appears whole or not at all, and carries its own SHA-256: one that is damaged is made
    anew. Where nothing can be written, nothing is kept.

    Args:
        kind: Folder inside the cache.
        key: All that the arrays depend on; its parts differ by their ``repr``.
        make: Called for an unknown key; what it raises is passed on.
    """
    name = hashlib.sha256(repr((_VERSION, *key)).encode()).hexdigest()
    path = _folder() / kind / name[:2] / name
    found = _read(path)
    if found is not None:
        return found
    arrays = make()
    _write(path, arrays)
    return arrays


def _folder() -> Path:
    if chosen := os.environ.get("ABLATE_CACHE_DIR"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "ablate"


def _read(path: Path) -> Arrays | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    with np.load(io.BytesIO(body)) as entry:
        return dict(entry)


def _write(path: Path, arrays: Arrays) -> None:
    body = io.BytesIO()
    np.savez(body, allow_pickle=False, **arrays)
    aside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            aside = Path(file.name)
            file.write(hashlib.sha256(body.getvalue()).digest() + body.getvalue())
        aside.replace(path)
    except OSError:
        # Read-only or full: the arrays are made again next time.
        if aside is not None:
            aside.unlink(missing_ok=True)
