"""Seeded damage: what a crash, an editor or somebody with a plan does to a small good file."""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ablate.errors import AblateError
from tests.support.patience import slowness

LIMIT_S = 10.0 * slowness()
"""For one input, of CPU time."""
_TOKENS = (
    *(b"null", b"true", b"NaN", b"Infinity", b"-1", b"0", b"1e400", b"-0.0", b"9" * 400, b"1.5"),
    *(b"", b"\0", b"\xff", b"\xfe\xff", b"\xc3", b"\xe2\x80\xae", b"\x1b[31m", b"\r", b"\n", b"\t"),
    *(b'"', b"'", b"{", b"}", b"[", b"]", b"[" * 2000, b"{a: " * 100, b":", b",", b";", b"=", b"#"),
    *(b"*a", b"&a ", b"<<: *a", b"!!python/name:os.system", b"- ", b"---\n", b"? ", b"| ", b"%"),
    *(b"../../evil", b"=cmd()", b"'", b"\\ud800", b'"\\ud800"', b"step", b"_step", b"2026-99-99"),
    *(b"9223372036854775808", b"-9223372036854775809", b"4294967296", b"\xe6\x97\xa5", b"a" * 5000),
)


def damaged(content: bytes, seed: int) -> bytes:
    """Return a copy with one to four faults; the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_WAYS)(bytearray(content), rng)
    return content


def _flip(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 3, 20))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _cut(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data) + 1)])


def _remove(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.choice((1, 4, 50))]
    return bytes(data)


def _repeat(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((1, 10, 100))]
    return bytes(data[:start] + part * rng.choice((2, 3, 50)) + data[start:])


def _insert(data: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return bytes(data[:at] + rng.choice(_TOKENS) + data[at:])


def _replace_number(data: bytearray, rng: random.Random) -> bytes:
    return _replace(data, rng, rb"[-+]?\d[\d.e+-]*")


def _replace_word(data: bytearray, rng: random.Random) -> bytes:
    return _replace(data, rng, rb"[A-Za-z_]\w*")


def _replace(data: bytearray, rng: random.Random, pattern: bytes) -> bytes:
    found = list(re.finditer(pattern, bytes(data)))
    if not found:
        return bytes(data)
    place = rng.choice(found)
    return bytes(data[: place.start()] + rng.choice(_TOKENS) + data[place.end() :])


def _zero(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    size = min(rng.choice((4, 64, 512)), len(data) - start)
    data[start : start + size] = bytes(size)
    return bytes(data)


_WAYS: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    *(_flip, _cut, _remove, _repeat, _insert, _insert, _zero),
    *(_replace_number, _replace_number, _replace_word),
)


class Hang(BaseException):
    """An input took too long."""


@contextmanager
def soon(what: object) -> Iterator[None]:
    """End with an error what takes longer than the limit: CPU time, for what waits ten times that.

    Other work of the machine is no hang.
    """

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"{what}: more than {LIMIT_S:.0f} s")

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, 1), (signal.ITIMER_REAL, signal.SIGALRM, 10))
    before = {number: signal.signal(number, ring) for _, number, _ in timers}
    for timer, _, times in timers:
        signal.setitimer(timer, times * LIMIT_S)
    try:
        yield
    finally:
        for timer, _, _ in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def outcome(what: object, action: Callable[[], object]) -> AblateError | None:
    """Return the error of an action, None without one.

    Any other exception, and a message that is none, fails the test that called.
    """
    try:
        with soon(what):
            action()
    except AblateError as error:
        found = error
    except Exception as error:
        error.add_note(f"input: {what}")
        raise
    else:
        return None
    assert found.message.strip(), what
    return found
