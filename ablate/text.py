"""Text: which can be kept in both databases, in files and in JSON; and lists in sentences."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence

_JOINERS = "\u200c\u200d"
"""Zero-width characters that emoji and several scripts are written with."""


def printable(text: object) -> str:
    """Return text that can do nothing to a terminal: control characters as their escapes.

    Names come from files that others wrote. Escape sequences, line breaks and characters that turn
    the direction of writing are shown, not obeyed.
    """
    text = str(text)
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """Return `printable` text of several lines: its line breaks and tabs stay."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and character not in _JOINERS):
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character


_FORMULA = re.compile(r"'*[=+\-@\t\r].", re.DOTALL)
_QUOTED = re.compile(r"''*[=+\-@\t\r].", re.DOTALL)


def csv_text(text: str) -> str:
    """Return a cell of CSV that no spreadsheet takes for a formula: ``'=cmd()`` for ``=cmd()``.

    A number stays as it is. `from_csv_text` gives the original back, whatever it was.
    """
    if not _FORMULA.match(text):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def from_csv_text(text: str) -> str:
    """Return what `csv_text` was given."""
    return text[1:] if _QUOTED.match(text) else text


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


def duration(seconds: float) -> str:
    """Return ``1m15s`` or ``2h05m``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def silence(seconds: float) -> str:
    """Return ``no step for 75 s``: for how long a run has logged nothing."""
    return f"no step for {seconds:.0f} s" if seconds < 600 else f"no step for {duration(seconds)}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 run``, ``3 runs``; of a noun that takes no ``s`` its plural is given."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


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
