"""Frames: how bytes lie in a spool.

A file is a header (magic, version, attempt id) and frames. A frame is a head (length of the
payload, the same number masked, CRC-32 of the payload) and a payload. A tail that is not a whole
frame is not there yet. A whole frame that does not match its checksum is damage.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn
from zlib import crc32

from ablate.errors import StoreError, StoreUnavailableError

MAGIC = b"ablspool"
VERSION = 1
MAX_PAYLOAD_BYTES = 1 << 28
HEADER_BYTES = 20

_HEADER = struct.Struct("<8sIq")
_HEAD = struct.Struct("<III")
_MASK = 0xA5A5A5A5
"""Makes a head of zeros, as a power cut can leave, an invalid one."""
_CHUNK_BYTES = 1 << 22
_FULL = (errno.ENOSPC, errno.EDQUOT)


def header(attempt_id: int) -> bytes:
    """Return what a spool begins with."""
    return _HEADER.pack(MAGIC, VERSION, attempt_id)


def framed(payload: bytes) -> bytes:
    """Return a payload with its head."""
    length = len(payload)
    if length > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a record of {length} bytes is too large, at most {MAX_PAYLOAD_BYTES}")
    return _HEAD.pack(length, length ^ _MASK, crc32(payload)) + payload


class Frame(NamedTuple):
    """A whole frame, and where the next one begins."""

    payload: bytes
    end: int


def read_frames(file: int, path: Path, offset: int) -> Iterator[Frame]:
    """Yield the whole frames from an offset; stop before a torn tail.

    Raises:
        StoreError: If a whole frame is damaged.
    """
    wanted = _CHUNK_BYTES
    while True:
        chunk = os.pread(file, wanted, offset)
        position, needed = 0, _HEAD.size
        while position + needed <= len(chunk):
            length, masked, checksum = _HEAD.unpack_from(chunk, position)
            if length ^ _MASK != masked:
                if _is_unwritten(file, offset + position):
                    return
                _damaged(path, offset + position, "a length")
            needed = _HEAD.size + length
            end = position + needed
            if end > len(chunk):
                break
            payload = chunk[position + _HEAD.size : end]
            if crc32(payload) != checksum:
                _damaged(path, offset + position, "a checksum")
            yield Frame(payload, offset + end)
            position, needed = end, _HEAD.size
        if len(chunk) < wanted:
            return
        offset += position
        wanted = max(_CHUNK_BYTES, needed)


def _is_unwritten(file: int, offset: int) -> bool:
    """Whether nothing but zeros follows: the file had grown when power failed."""
    while chunk := os.pread(file, _CHUNK_BYTES, offset):
        if chunk.strip(b"\0"):
            return False
        offset += len(chunk)
    return True


def _damaged(path: Path, offset: int, what: str) -> NoReturn:
    raise StoreError(
        f"spool {path} is damaged at byte {offset}: {what} does not match",
        hint="the points before it are stored; `ablate retry RUN` goes on from a checkpoint",
    )


def unavailable(path: Path, verb: str, error: OSError) -> NoReturn:
    """Translate what the file system says."""
    hint = "free some space on its disk" if error.errno in _FULL else None
    raise StoreUnavailableError(
        f"spool {path} cannot be {verb}: {error.strerror}", hint=hint
    ) from error


def read_attempt_id(file: int, path: Path) -> int | None:
    """Return whose spool it is, or None when the header is not there yet."""
    start = os.pread(file, _HEADER.size, 0)
    if len(start) < _HEADER.size or not start.strip(b"\0"):
        return None
    magic, version, attempt_id = _HEADER.unpack(start)
    if magic != MAGIC:
        raise StoreError(f"{path} is not a spool")
    if version != VERSION:
        raise StoreError(
            f"spool {path} has version {version}, this ablate reads {VERSION}",
            hint="install a newer ablate",
        )
    return attempt_id
