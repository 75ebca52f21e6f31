"""What every importer is asked and gives: a request, and runs with their points."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.domain import AttemptState, Json
from ablate.identity import canonical_json
from ablate.importers.points import Counts, Points
from ablate.storable import explanation

RECENT_S = 300.0
"""A run that logged so many seconds ago, and of which no end is known, still trains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRun:
    """One run as its source has it."""

    source: str
    """What names it for good: ``mlflow:<run id>``, ``csv:<path>``."""
    title: str = ""
    """What the source calls it, with a seed or without; empty where its place names it."""
    points: Points
    """Settled, under the source's own names."""
    said_seed: int | None = None
    """The seed by a column or a config key, whatever the title says."""
    says_variant: bool = False
    """Whether the title is a variant's by the source's own word, such as a column ``variant``."""
    config: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """What it was trained with, as far as the source says."""
    state: AttemptState = AttemptState.SUCCEEDED
    reason: str | None = None
    place: str = ""
    """The path of its folder, or of its file without the suffix; empty where it has no file."""
    folder: Path | None = None
    """Where a config may lie beside its logs."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """The files it was read from, each with its SHA-256."""
    part: str = ""
    """Which of the runs of its file it is."""
    parts: tuple[str, ...] = ()
    """The sources of the pieces that were joined; empty for one piece."""

    @property
    def content(self) -> str:
        """What is equal for a run that was read from a copy; empty where there is no file."""
        return "+".join([*sorted(self.files.values()), self.part]) if self.files else ""

    def identity(self) -> str:
        """Return 64 hex digits of where it came from and what it says."""
        said = canonical_json([self.source, dict(self.config), self.state.value, self.reason])
        return hashlib.sha256(b"import/1\0" + said.encode() + self.points.digest()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportRequest:
    """What an importer is asked to read."""

    root: Path = Path()
    """The file or folder that was typed."""
    files: Sequence[Path] = ()
    """The files that it reads: the root itself, or those below it."""
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    """Column -> role, as typed."""
    relative: Callable[[Path], str] = str
    """From a path to the text that names it, which does not depend on the current folder."""
    now: float = 0.0
    """Unix seconds: what was logged shortly before is still being trained."""
    uri: str = ""
    """For MLflow: the tracking server."""
    experiment: str | None = None
    """For MLflow: the experiment's name or id."""
    pattern: str | None = None
    """For text: a regular expression for a line, with groups by the names of its values."""

    def place(self, path: Path) -> str:
        """Return the path of a file or folder as it was reached, from the current folder."""
        path, here = path.absolute(), Path.cwd()
        return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


@dataclass(slots=True)
class Reading:
    """The runs of a source, with what was left out before it could belong to one."""

    runs: list[SourceRun] = field(default_factory=list[SourceRun])
    counts: Counts = field(default_factory=Counts)
    notes: list[str] = field(default_factory=list[str])
    """What the user should know, a sentence each."""

    def add(self, other: Reading) -> None:
        """Add what was read from another file."""
        self.runs += other.runs
        self.counts.add(other.counts)
        self.notes += other.notes


def ending(points: Points, now: float) -> tuple[AttemptState, str | None]:
    """Return the state of a run whose source does not say whether it has ended."""
    if points.has_times and 0 <= now - points.span[1] < RECENT_S:
        return AttemptState.RUNNING, None
    return AttemptState.SUCCEEDED, None


def unfinished(points: Points, now: float) -> tuple[AttemptState, str | None]:
    """Return the state of a run of which its source says that it has not ended."""
    if 0 <= now - points.span[1] < RECENT_S:
        return AttemptState.RUNNING, None
    return AttemptState.STOPPED, "it had not ended at its source when it was imported"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain_config(config: Mapping[str, Any]) -> dict[str, Json]:
    """Return a config that is canonical JSON: numbers that are not finite become their words."""
    return {storable(str(key)): _plain(value) for key, value in config.items()}


def storable(text: str) -> str:
    """Return a text as it is where the databases take it, else with its escapes."""
    return explanation(text) or ""


def _plain(value: Any) -> Json:
    match value:
        case None | bool() | int():
            return value
        case str():
            return storable(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return plain_config(value)  # pyright: ignore[reportUnknownArgumentType]
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return storable(str(value))


@dataclass(frozen=True, slots=True)
class Importer:
    """One kind of logs; what an entry point of the group ``ablate.importers`` names."""

    read: Callable[[ImportRequest], Reading]
    """Returns the runs of the files that are its own, with their points under the source's names.
    It raises `UsageError` for a file that is none of these."""
    files: str
    """What its files are called, for messages."""
    fits: Callable[[Path], bool]
    """Whether a file is its own, by its name."""


def has_suffix(*suffixes: str) -> Callable[[Path], bool]:
    """Return whether a file's name ends so, in capitals or not."""
    return lambda path: path.suffix.lower() in suffixes
