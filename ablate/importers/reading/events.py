"""TensorBoard's event files: framed records with checksums, each a protocol buffer ``Event``.

A file that is cut in the middle, because its writer was killed, gives its good records. Scalars
and hyper-parameters are read; histograms, images, texts and graphs are counted.

Source: the TFRecord format (length, masked CRC-32C of it, data, masked CRC-32C of that),
``event.proto``, ``summary.proto`` and ``tensor.proto`` in TensorFlow's documentation, and
``plugin_data.proto`` of TensorBoard's hparams plugin.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ablate.domain import Json
from ablate.importers.points import Counts
from ablate.importers.reading.protobuf import (
    Field,
    Malformed,
    fields,
    message_of,
    number_of,
    text_of,
)
from ablate.importers.reading.protobuf import signed as signed_number

_CHUNK = 50_000
"""Records whose checksums are computed side by side."""
_CHUNK_BYTES = 64 * 1024 * 1024
_FEW = 16
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_SESSION_START = 1
_SESSION = "_hparams_/session_start_info"


@dataclass(slots=True)
class LoggedEvent:
    """One record."""

    time: float = 0.0
    """Unix seconds."""
    step: int = 0
    is_start: bool = False
    """Whether a writer says that it begins anew at this step."""
    scalars: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    config: dict[str, Json] = field(default_factory=dict[str, Json])
    """Hyper-parameters, where the record has them."""


def events(path: Path, counts: Counts) -> Iterator[LoggedEvent]:
    """Yield the events of a file; what cannot be read or is no scalar is counted."""
    for record in records(path, counts):
        try:
            yield _event(record, counts)
        except Malformed:
            counts.skip("record that is no event")


def _event(record: bytes, counts: Counts) -> LoggedEvent:
    event = LoggedEvent()
    for number, value in fields(record):
        match number:
            case 1:
                event.time = number_of(value, "<d")
            case 2:
                event.step = signed_number(value)
            case 5:
                _take_summary(message_of(value), event, counts)
            case 7:
                status = dict(fields(message_of(value))).get(1)
                event.is_start = status == _SESSION_START
            case _:
                pass
    return event


def _take_summary(message: bytes, event: LoggedEvent, counts: Counts) -> None:
    for number, value in fields(message):
        if number == 1:
            _take_value(message_of(value), event, counts)


def _take_value(message: bytes, event: LoggedEvent, counts: Counts) -> None:
    tag, scalar, metadata = "", None, b""
    for number, value in fields(message):
        match number:
            case 1:
                tag = text_of(value)
            case 2:
                scalar = number_of(value, "<f")
            case 8:
                scalar = _scalar(message_of(value))
            case 9:
                metadata = message_of(value)
            case _:
                pass
    if tag.startswith("_hparams_/"):
        event.config |= _hparams(metadata) if tag == _SESSION else {}
    elif scalar is None:
        counts.skip("not a scalar")
    else:
        event.scalars.append((tag, scalar))


def _hparams(metadata: bytes) -> dict[str, Json]:
    """Return the hyper-parameters of a session: SummaryMetadata, PluginData, HParamsPluginData."""
    content = _inner(_inner(metadata, 1), 2)
    session = _inner(content, 3)
    pairs = (dict(fields(message_of(v))) for number, v in fields(session) if number == 1)
    return {
        text_of(pair.get(1, b"")): _struct_value(message_of(pair.get(2, b""))) for pair in pairs
    }


def _inner(message: bytes, wanted: int) -> bytes:
    return next((message_of(value) for n, value in fields(message) if n == wanted), b"")


def _struct_value(message: bytes) -> Json:
    """Return a value of ``struct.proto``: a number, a text or a boolean; None for others."""
    for number, value in fields(message):
        match number:
            case 2:
                found = number_of(value, "<d")
                return int(found) if found.is_integer() and abs(found) < 2**53 else found
            case 3:
                return text_of(value)
            case 4:
                return bool(value)
            case _:
                pass
    return None


_FORMS = {1: ("<f", 5), 2: ("<d", 6), 3: ("<i", 7), 9: ("<q", 10)}
"""Type of a tensor -> its form and the field with its values: float, double, int32, int64."""


def _scalar(tensor: bytes) -> float | None:
    """Return the one number of a tensor, None for any other tensor."""
    found: dict[int, list[Field]] = {}
    for number, value in fields(tensor):
        found.setdefault(number, []).append(value)
    kind = found.get(1, [0])[0]
    if not isinstance(kind, int) or kind not in _FORMS:
        return None
    form, place = _FORMS[kind]
    content = b"".join(message_of(value) for value in found.get(4, []))
    if content:
        return float(number_of(content, form)) if len(content) == struct.calcsize(form) else None
    values = found.get(place, [])
    if len(values) != 1:
        return None
    (value,) = values
    if isinstance(value, int):
        return float(signed_number(value))
    if place in (5, 6):
        return number_of(value, form) if len(value) == struct.calcsize(form) else None
    numbers = [number for _, number in fields(b"\x08" + value)]  # a packed list of one varint
    return float(signed_number(numbers[0])) if len(numbers) == 1 else None


def records(path: Path, counts: Counts) -> Iterator[bytes]:
    """Yield the good records of a file; what is cut or damaged is counted and left out."""
    # Not mapped into memory: a file that is cut meanwhile would end the process.
    with path.open("rb") as file:
        frames = _frames(file, counts)
        while part := _chunk(frames):
            heads = _checksums([head[:8] for head, _, _ in part])
            sums = _checksums([body for _, body, _ in part])
            for (head, body, tail), of_head, of_body in zip(part, heads, sums, strict=True):
                if head[8:] != of_head:
                    counts.skip("damaged: the rest of the file cannot be read")
                    return
                if tail != of_body:
                    counts.skip("damaged record")
                    continue
                yield body


_Frame = tuple[bytes, bytes, bytes]
"""A record's size with its checksum, its data, and their checksum."""


def _frames(file: BinaryIO, counts: Counts) -> Iterator[_Frame]:
    """Yield each frame that is whole."""
    left = os.fstat(file.fileno()).st_size
    while head := file.read(12):
        size = int.from_bytes(head[:8], "little")
        left -= 16 + size
        body, tail = (file.read(size), file.read(4)) if left >= 0 else (b"", b"")
        if len(head) < 12 or len(body) < size or len(tail) < 4:
            counts.skip("cut at the end of the file")
            return
        yield head, body, tail


def _chunk(frames: Iterator[_Frame]) -> list[_Frame]:
    """Return the next frames, as many as are looked through side by side."""
    part: list[_Frame] = []
    total = 0
    for frame in frames:
        part.append(frame)
        total += len(frame[1])
        if len(part) == _CHUNK or total > _CHUNK_BYTES:
            break
    return part


def _table() -> list[int]:
    table: list[int] = []
    for byte in range(256):
        state = byte
        for _ in range(8):
            state = (state >> 1) ^ (_POLYNOMIAL if state & 1 else 0)
        table.append(state)
    return table


_TABLE = _table()


def _checksums(parts: list[bytes]) -> list[bytes]:
    """Return the masked CRC-32C of each part: those of one length side by side, byte by byte."""
    import numpy as np

    by_size: dict[int, list[int]] = {}
    for i, part in enumerate(parts):
        by_size.setdefault(len(part), []).append(i)
    sums = [0] * len(parts)
    table = np.array(_TABLE, dtype=np.uint32)
    for size, places in by_size.items():
        if len(places) < _FEW:
            for i in places:
                sums[i] = crc32c(parts[i])
            continue
        joined = np.frombuffer(b"".join(parts[i] for i in places), dtype=np.uint8)
        columns = joined.reshape(len(places), size).T
        state = np.full(len(places), 0xFFFFFFFF, dtype=np.uint32)
        for column in columns:
            state = table[(state ^ column) & 0xFF] ^ (state >> np.uint32(8))
        for i, value in zip(places, (~state).tolist(), strict=True):
            sums[i] = value
    return [masked(value) for value in sums]


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes.

    Source: RFC 3720, appendix B.4.
    """
    state = 0xFFFFFFFF
    for byte in data:
        state = _TABLE[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def masked(checksum: int) -> bytes:
    """Return a checksum as TFRecord holds it: rotated and shifted, little-endian."""
    rotated = ((checksum >> 15) | (checksum << 17)) & 0xFFFFFFFF
    return ((rotated + _MASK_DELTA) & 0xFFFFFFFF).to_bytes(4, "little")
