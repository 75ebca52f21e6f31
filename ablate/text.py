"""Text: which can be kept in both databases, in files and in JSON; and lists in sentences."""

from __future__ import annotations

import json
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


def written(value: object) -> str:
    """Return a config value as a study file writes it; a text that reads as another kind is quoted.

    Args:
        value: What JSON can hold.
    """
    if isinstance(value, str) and not _is_like_another(value):
        return value
    return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))


def _is_like_another(text: str) -> bool:
    if text.strip() != text or text.lower() in ("", "~", "null", "true", "false"):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


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
