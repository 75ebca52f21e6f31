"""Writers of other tools' logs, made from the formats' documentation."""

import json
import os
import struct
import time
import zlib
from pathlib import Path

from ablate.importers.formats.wandb import BLOCK, FIRST, FULL, HEADER, LAST, MIDDLE
from ablate.importers.reading.events import crc32c, masked

DAY = 86400


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def single(number: int, value: float) -> bytes:
    return varint(number << 3 | 5) + struct.pack("<f", value)


def frame(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + masked(crc32c(head)) + data + masked(crc32c(data))


def event(time: float, step: int, *values: bytes) -> bytes:
    summary = b"".join(field(1, value) for value in values)
    return frame(double(1, time) + field(2, step) + field(5, summary))


def scalar(tag: str, value: float) -> bytes:
    return field(1, tag) + single(2, value)


def tensor(tag: str, content: bytes) -> bytes:
    return field(1, tag) + field(8, content)


def session_start(step: int) -> bytes:
    return frame(double(1, 0.0) + field(2, step) + field(7, field(1, 1)))


VERSION = frame(double(1, 1.0) + field(3, "brain.Event:2"))


def wandb_item(key: str, value: object, *, nested: tuple[str, ...] = ()) -> bytes:
    names = b"".join(field(2, name) for name in nested)
    return field(1, key) + names + field(16, json.dumps(value))


def wandb_history(step: int, **values: object) -> bytes:
    items = b"".join(field(1, wandb_item(k, v)) for k, v in ({"_step": step} | values).items())
    return field(1, step) + field(2, items)


def write_wandb(path: Path, records: list[bytes]) -> None:
    out = bytearray(HEADER)
    for record in records:
        rest, is_first = record, True
        while rest or is_first:
            room = BLOCK - len(out) % BLOCK
            if room < 7:
                out += bytes(room)
                continue
            part, rest = rest[: room - 7], rest[room - 7 :]
            kind = (FIRST if is_first else MIDDLE) if rest else (FULL if is_first else LAST)
            is_first = False
            checksum = zlib.crc32(bytes([kind]) + part)
            out += struct.pack("<IHB", checksum, len(part), kind) + part
    path.write_bytes(out)


def rows(first: int, last: int, *, scale: float = 1.0, seed: int | None = None) -> str:
    """Return a CSV; the value says its step."""
    head = "step,loss" + (",seed" if seed is not None else "")
    tail = f",{seed}" if seed is not None else ""
    return head + "\n" + "".join(f"{n},{n * scale}{tail}\n" for n in range(first, last))


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files as of yesterday: their runs have ended."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        yesterday = time.time() - DAY
        os.utime(path, (yesterday, yesterday))
