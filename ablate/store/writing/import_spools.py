"""Spools of imported runs: their points lie on the disk a second time, as those of trained runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ablate.domain import Claim
from ablate.spool.batch import SpoolBatch
from ablate.spool.folders import RunFolder
from ablate.spool.frames import unavailable
from ablate.spool.spool import SpoolWriter


def import_spool(folder: Path, run_id: str, attempt: int) -> Path:
    """Return where the points of an imported run are a second time."""
    return RunFolder(folder / run_id).attempt(attempt).spool


def spooled(
    batches: Iterable[SpoolBatch], claim: Claim, folder: Path | None
) -> Iterator[SpoolBatch]:
    """Yield batches, each once it is in the spool, which is on the disk after the last.

    Args:
        batches: Of an imported run.
        claim: Its attempt.
        folder: Of all imported runs; None for no spool.

    Raises:
        StoreUnavailableError: If it cannot be written.
    """
    if folder is None:
        yield from batches
        return
    with _opened(import_spool(folder, claim.run.id, claim.attempt), claim.attempt_id) as spool:
        for batch in batches:
            if batch.has_started:
                spool.started(batch.start_step, batch.inexact, batch.first_step)
            for log in batch.logs:
                spool.points(log.step, log.time, dict(zip(log.keys, log.values, strict=True)))
            for event in batch.events:
                spool.event(event)
            yield batch


def _opened(path: Path, attempt_id: int) -> SpoolWriter:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # of a deleted attempt whose id and number came again
    except OSError as error:
        unavailable(path, "written", error)
    return SpoolWriter(path, attempt_id=attempt_id)
