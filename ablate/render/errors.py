"""An error as a user reads it: what, where with a caret, and what to do next."""

from __future__ import annotations

from ablate.errors import AblateError, StudyFileError
from ablate.text import printable

_BEFORE, _SHOWN = 60, 120
"""Characters of a line that are shown: before its fault, and in all."""
_LONGEST = 2000
"""Characters of a message."""


def error_text(error: AblateError) -> str:
    """Return the lines for stderr, without a final newline."""
    lines = [f"error: {_one_line(error.message)}"]
    if isinstance(error, StudyFileError):
        lines += _place(error)
    if error.hint:
        lines.append(f"hint: {_one_line(error.hint)}")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Return what a file or a server said in one line, with nothing that a terminal obeys."""
    shown = printable(" ".join(text.split("\n")))
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 4]} ..."


def _place(error: StudyFileError) -> list[str]:
    if error.file is None:
        return []
    place = ":".join(str(part) for part in (error.file, error.line, error.column) if part)
    lines = [f"  --> {printable(place)}"]
    if error.source is not None and error.line is not None and error.column is not None:
        number = str(error.line)
        blank = " " * len(number)
        # Of a long line what is around the place.
        start = max(0, error.column - 1 - _BEFORE)
        source = printable(error.source[start : start + _SHOWN].replace("\t", " "))
        lead = len(printable(error.source[start : error.column - 1].replace("\t", " ")))
        lines += [f"  {blank} |", f"  {number} | {source}", f"  {blank} | {' ' * lead}^"]
    return lines
