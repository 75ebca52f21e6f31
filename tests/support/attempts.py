"""Attempts of trainers that the test plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ablate.attempt.context import RunContext
from ablate.domain import Checkpoint
from ablate.spool.batch import SpoolBatch
from ablate.spool.spool import SpoolReader, SpoolWriter
from tests.support.jobs import make_job


class Attempt:
    """A context that can be read back."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.job = make_job(folder, **changes)
        self.job.write()
        self.spool = SpoolWriter(self.job.folder.spool, attempt_id=1)
        self.context = RunContext(self.job, self.spool, on_step=lambda: None)

    def read(self) -> SpoolBatch:
        with SpoolReader(self.job.folder.spool) as reader:
            return reader.read(10**6)

    def curve(self, key: str) -> list[tuple[int, float]]:
        return [
            (log.step, log.values[log.keys.index(key)])
            for log in self.read().logs
            if key in log.keys
        ]

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        return tuple(reversed(self.read().checkpoints))
