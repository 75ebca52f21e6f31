"""As much of protocol buffers as logs of other tools need: fields of one message, undecoded.

Source: the wire format in the documentation of Protocol Buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Field = int | bytes
"""A varint, or the bytes of a field of 4, 8 or any length."""


class Malformed(ValueError):  # noqa: N818 - says what the bytes are
    """The bytes are no message."""


def fields(message: bytes) -> Iterator[tuple[int, Field]]:
    """Yield (number, value) of each field, in order.

    Raises:
        Malformed: If the bytes end within a field, or have a wire type that is no longer used.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
                yield tag >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(message, at)
            case 5:
                size = 4
            case other:
                raise Malformed(f"wire type {other}")
        if at + size > end:
            raise Malformed("cut within a field")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise Malformed("cut within a number")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def message_of(value: Field) -> bytes:
    """Return an embedded message.

    Raises:
        Malformed: If the field is a number.
    """
    if isinstance(value, int):
        raise Malformed("a number where a message should be")
    return value


def text_of(value: Field) -> str:
    """Return a string; bytes that are no UTF-8 are replaced."""
    return message_of(value).decode("utf-8", "replace")


def number_of(value: Field, form: str) -> float:
    """Return a float of 4 (``<f``) or 8 bytes (``<d``).

    Raises:
        Malformed: If it has another size.
    """
    try:
        return struct.unpack(form, message_of(value))[0]
    except struct.error as error:
        raise Malformed(str(error)) from error


def signed(value: Field) -> int:
    """Return an int64 or int32, which negative numbers hold as two's complement.

    Raises:
        Malformed: If it is no number.
    """
    if not isinstance(value, int):
        raise Malformed("bytes where a number should be")
    return value - (1 << 64) if value >= 1 << 63 else value
