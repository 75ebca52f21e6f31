"""The folders of a run and of its attempts: where all of it lies that is on the disk."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

_NAME = re.compile(r"attempt-(\d+)")


@dataclass(frozen=True, slots=True)
class AttemptFolder:
    """The folder of one attempt; attempts never share one."""

    path: Path

    @property
    def number(self) -> int:
        """Which attempt of the run it is, from 1."""
        found = _NAME.fullmatch(self.path.name)
        assert found is not None
        return int(found[1])

    @property
    def job(self) -> Path:
        """What the training process was told, as JSON."""
        return self.path / "job.json"

    @property
    def spool(self) -> Path:
        """Where points are safe before they are in SQL."""
        return self.path / "spool"

    @property
    def log(self) -> Path:
        """What the trainer prints into."""
        return self.path / "log.txt"

    @property
    def process(self) -> Path:
        """Where the training process says who it is; see `ablate.attempt.runners`."""
        return self.path / "process"

    @property
    def permit(self) -> Path:
        """Where it stands until when the trainer may go on; see `ablate.attempt.permit`."""
        return self.path / "permit"

    @property
    def checkpoints(self) -> Path:
        """The folder of what it saved."""
        return self.path / "checkpoints"

    @property
    def artifacts(self) -> Path:
        """The folder of the files that it kept."""
        return self.path / "artifacts"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run."""

    path: Path

    def attempt(self, number: int) -> AttemptFolder:
        """Return the folder of an attempt, which need not exist."""
        return AttemptFolder(self.path / f"attempt-{number}")

    @property
    def attempts(self) -> tuple[AttemptFolder, ...]:
        """The folders that exist, by number."""
        found = (
            AttemptFolder(path)
            for path in self.path.glob("attempt-*")
            if _NAME.fullmatch(path.name)
        )
        return tuple(sorted(found, key=lambda attempt: attempt.number))

    @property
    def files(self) -> Path:
        """The folder that belongs to the run's trainer; its attempts share it."""
        return self.path / "files"

    def set_files_aside(self) -> None:
        """Give a run that starts over an empty folder of its own; the old one stays beside it."""
        if self.files.is_dir():
            number = next(n for n in count(1) if not self.path.joinpath(f"files.{n}").exists())
            self.files.rename(self.path / f"files.{number}")

    @property
    def databases(self) -> frozenset[str | None]:
        """The databases for which its jobs say that it was trained; None for jobs of long ago."""
        jobs = [attempt.job for attempt in self.attempts if attempt.job.exists()]
        return frozenset(json.loads(j.read_text(encoding="utf-8")).get("database") for j in jobs)
