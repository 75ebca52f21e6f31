"""Text: which can be kept in both databases, in files and in JSON; and lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def text_fault(text: str) -> str | None:
    """Return why a text cannot be kept exactly, or None when it can."""
    if "\0" in text:
        return "contains a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains a lone surrogate, which is not text"
    return None


def counted(number: int, noun: str) -> str:
    """Return ``1 run``, ``3 runs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(parts: Sequence[str], conjunction: str = "and") -> str:
    """Return ``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {conjunction} {parts[-1]}"


def few(names: Sequence[str], limit: int = 6) -> str:
    """Return a list of names, cut after some."""
    if len(names) <= limit:
        return listed(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"
