"""An error as a user reads it: what, where with a caret, and what to do next."""

from __future__ import annotations

from ablate.errors import AblateError, StudyFileError


def error_text(error: AblateError) -> str:
    """Return the lines for stderr, without a final newline."""
    lines = [f"error: {error.message}"]
    if isinstance(error, StudyFileError):
        lines += _place(error)
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return "\n".join(lines)


def _place(error: StudyFileError) -> list[str]:
    if error.file is None:
        return []
    place = ":".join(str(part) for part in (error.file, error.line, error.column) if part)
    lines = [f"  --> {place}"]
    if error.source is not None and error.line is not None and error.column is not None:
        number = str(error.line)
        blank = " " * len(number)
        # A tab in the source stays a tab above the caret, so that it points at the right column.
        lead = "".join("\t" if c == "\t" else " " for c in error.source[: error.column - 1])
        lines += [f"  {blank} |", f"  {number} | {error.source}", f"  {blank} | {lead}^"]
    return lines
