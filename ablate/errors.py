"""Every error that `ablate` raises on purpose.

    AblateError                     exit code 1
    ├─ UsageError                   2   what was typed cannot be done
    │  ├─ StudyFileError            2   a study file is wrong; carries file, line, column
    │  ├─ SettingError              2   a setting cannot be applied; carries its place
    │  └─ RuleError                 2   the text of a rule cannot be read
    ├─ NotFoundError                3   a study, phase, run or metric of that name does not exist
    ├─ StoreError                   4   the database cannot be used
    │  ├─ SchemaVersionError        4   its schema is older or newer than this code
    │  ├─ StoreUnavailableError     4   it cannot be reached, opened or written
    │  └─ StoreGoneError            4   its file was deleted or replaced under us
    ├─ MirrorError                  4   MLflow cannot take the copy now
    │  └─ MirrorDeniedError         4   it does not let us in
    ├─ HeldError                    5   another process holds what is needed
    │  └─ LeaseLostError            5   a run was taken over by another runner
    ├─ TrainerError                 1   a trainer cannot be loaded or refuses its config
    ├─ CheckpointError              1   a checkpoint is missing, cut or altered
    │  └─ UnloadableError           1   ... or holds more than is loaded
    └─ BranchError                  1   a run cannot begin from the checkpoint of another

Only `ablate.cli` turns these into text and exit codes. A library's own exception is translated
once, where it enters, with ``raise ... from``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path


class AblateError(Exception):
    """Something that the user can understand and mend.

    Args:
        message: One sentence, without a final full stop, naming the value that was wrong.
        hint: The next command or edit that helps, or None.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AblateError):
    """What was typed cannot be done."""

    exit_code = 2


class StudyFileError(UsageError):
    """A study file is wrong at a place that can be named.

    Args:
        message: What is wrong, naming the value.
        file: Path as the user would type it, or None for a study made in Python.
        line: 1-based, or None when the fault has no place (a key that is missing).
        column: 1-based, or None.
        source: The text of that line, for the caret.
        hint: What to write instead.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        source: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.line = line
        self.column = column
        self.source = source


class SettingError(UsageError, ValueError):
    """A setting that cannot be applied.

    Args:
        message: What is wrong, naming the key.
        place: Keys of the study file from its root, or from the settings at hand, to the setting.
    """

    def __init__(self, message: str, place: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.place = place


class RuleError(UsageError, ValueError):
    """The text of a rule cannot be read; the message says what would be."""


class NotFoundError(AblateError, LookupError):
    """A study, phase, run, metric or file of that name does not exist."""

    exit_code = 3


class StoreError(AblateError):
    """The database cannot be used."""

    exit_code = 4


class SchemaVersionError(StoreError):
    """The database's schema is not the one that this code reads and writes."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached, opened or written."""


class StoreGoneError(StoreError):
    """The database's file was deleted or replaced while it was open; waiting does not help."""


class MirrorError(AblateError):
    """MLflow cannot take the copy now. Nothing is lost: SQL has it all."""

    exit_code = 4


class MirrorDeniedError(MirrorError):
    """MLflow does not let us in; trying again does not help."""


class HeldError(AblateError):
    """Another process holds what is needed."""

    exit_code = 5


class LeaseLostError(HeldError):
    """A run was taken over by another runner; nothing more may be written for this attempt."""


class TrainerError(AblateError):
    """A trainer cannot be loaded, or refuses the config it was given."""


class CheckpointError(AblateError):
    """A checkpoint's file is missing, cut or altered."""


class UnloadableError(CheckpointError):
    """A checkpoint is what was written, but holds more than is loaded."""

    def __init__(self, data: Path, cause: Exception) -> None:
        text = " ".join(str(cause).split())[:300]
        super().__init__(f"{data} cannot be loaded: {type(cause).__name__}: {text}")
        self.cause = cause


class BranchError(AblateError):
    """A run cannot begin from the checkpoint of another."""


_LISTED = 20
"""Names that a hint lists before it only counts."""
_CLOSE = 0.6
"""Likeness from which on a name is taken for a slip of the pen, 1 for the same."""


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return a hint that names the closest known name, or some of them when none is close."""
    names = sorted(set(known))
    if close := closest(name, names):
        return f"did you mean '{close}'?"
    if not names:
        return None
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"known: {', '.join(names[:_LISTED])}{more}"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was meant, None where it cannot be told.

    ``phaseA`` means ``phase_a``, ``verdcit`` means ``verdict``, and ``tb`` means ``tensorboard``
    where no other name has these letters in this order.
    """
    names = sorted(set(known))
    wanted = _plain(name)
    if same := [each for each in names if _plain(each) == wanted]:
        return same[0]
    if close := difflib.get_close_matches(name, names, n=1, cutoff=_CLOSE):
        return close[0]
    longer = [each for each in names if len(wanted) > 1 and _is_short_for(wanted, _plain(each))]
    return longer[0] if len(longer) == 1 else None


def _plain(name: str) -> str:
    """Return a name without what is easily got wrong: case, and what stands between words."""
    return re.sub(r"[\s_.-]", "", name).casefold() or name


def _is_short_for(short: str, name: str) -> bool:
    letters = iter(name)
    return name[:1] == short[:1] and all(letter in letters for letter in short)
