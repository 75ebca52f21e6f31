"""What a study, phase, factor or guard may be called: one rule for files, flags and imports."""

from __future__ import annotations

import re

from ablate.text import printable

MAX_LENGTH = 100
_FORBIDDEN = r"\s/\\@,:*?\[\]\"'<>|"
_NAME = re.compile(rf"[^{_FORBIDDEN}-][^{_FORBIDDEN}]*")
_RUN_OF_FORBIDDEN = re.compile(rf"[{_FORBIDDEN}]+")


def check_name(name: str) -> str:
    """Return a name of a study, phase, factor or guard.

    Raises:
        ValueError: If it cannot be one.
    """
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise ValueError(
            "a name has no blanks, no leading - and none of / \\ @ , : * ? [ ] \" ' < > |"
        )
    if not name.isprintable():
        raise ValueError("a name has no control characters and no lone surrogates")
    if len(name) > MAX_LENGTH:
        raise ValueError(f"a name has at most {MAX_LENGTH} characters")
    return name


def cleaned_name(name: str) -> str:
    """Return a name that `check_name` takes: what it may not hold becomes ``-``."""
    plain = "".join(c if c.isprintable() else " " for c in name)
    clean = _RUN_OF_FORBIDDEN.sub("-", plain).strip("-")[:MAX_LENGTH]
    return clean if clean not in ("", ".", "..") else "imported"


def shown_name(name: str) -> str:
    """Return a name for a message: short, and with nothing that a terminal obeys."""
    return printable(name if len(name) <= MAX_LENGTH else f"{name[: MAX_LENGTH - 3]}...")
