"""Which numbers in the names of runs are seeds."""

from __future__ import annotations

import re
from collections.abc import Collection

_WORD = re.compile(r"[-_./, ]*(?<![a-z0-9])seed[-_=: ]*(\d{1,10})(?!\d|\.\d)", re.IGNORECASE)
_LETTER = re.compile(r"(.+?)[-_./ ]s[-_= ]?(\d{1,10})")
_NUMBER = re.compile(r"(.*?)(?:[-_./ ][A-Za-z]?)?[-_=]?(\d{1,10})")
_BETWEEN = "-_./, "
_AUTOMATIC = re.compile(
    r"[a-z]+-[a-z]+-\d+|(version|run|exp|experiment|train|trial)?[-_ ]?\d*"
    r"|[\d._:-]+|[0-9a-f]{8,32}|[A-Z][a-z]{2}\d\d_\d\d-\d\d-\d\d_.*"
)


def split_seed(name: str) -> tuple[str, int | None]:
    """Return a name without what says the seed, and the seed.

    It is the word ``seed`` with a number, anywhere (``seed_3/big``, ``lr=0.1,seed=3``), or a small
    ``s`` with a number at the end (``big-s3``). A capital one says a size, as in ``ViT-S16``.
    """
    if found := _WORD.search(name):
        before, after = name[: found.start()], name[found.end() :]
        if not before:
            after = after.lstrip(_BETWEEN)
        return before + after, int(found[1])
    if found := _LETTER.fullmatch(name):
        return found[1], int(found[2])
    return name, None


def says_seed(name: str) -> bool:
    """Whether a name has the word ``seed`` with a number."""
    return _WORD.search(name) is not None


def split_number(name: str) -> tuple[str, int | None]:
    """Return a name without the number at its end, and the number, whatever it stands for."""
    stem, seed = split_seed(name)
    found = _NUMBER.fullmatch(name) if seed is None else None
    return (found[1], int(found[2])) if found else (stem, seed)


def are_seeds(numbers: Collection[int]) -> bool:
    """Whether numbers behind a bare ``s`` look like seeds: from 0, in a row, or no usual size."""
    in_a_row = max(numbers) - min(numbers) == len(numbers) - 1
    if 0 in numbers or (in_a_row and max(numbers) < 10) or (in_a_row and len(numbers) > 1):
        return True
    return not all(n % 8 == 0 or n.bit_count() == 1 for n in numbers)


def is_automatic(name: str) -> bool:
    """Whether a program made the name, as ``version_3`` or ``fluffy-cloud-7``."""
    return _AUTOMATIC.fullmatch(name) is not None
