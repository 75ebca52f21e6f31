"""A claim whose attempt is being executed: what its runner knows of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ablate.attempt.permit import Permit
from ablate.domain import Claim
from ablate.errors import StoreUnavailableError
from ablate.execution.progress import ProgressMeter
from ablate.spool.batch import Ending, SpoolBatch
from ablate.spool.spool import SpoolReader


class Active:
    """One attempt, from its start until all that it logged is stored.

    Args:
        claim: Of the attempt.
        spool: Where it logs.
        meter: Follows its progress.
        permit: Where its trainer reads until when it may go on; None where it has none any more.
    """

    def __init__(
        self, claim: Claim, spool: Path, meter: ProgressMeter, permit: Path | None = None
    ) -> None:
        self.claim = claim
        self.meter = meter
        self.ending: Ending | None = None
        self.hung_at: float | None = None
        """Since when it is about to be ended because it logs nothing."""
        self.has_points = claim.run.step is not None
        self._reader = SpoolReader(spool)
        self._stored = 0
        self._permit = Permit(permit) if permit else None

    def batches(self) -> Iterator[SpoolBatch]:
        """Yield what the spool holds beyond what is stored; call `stored` after each."""
        self._reader.seek(self._stored)  # a batch that could not be stored is read again
        while (batch := self._reader.read()).end_offset != batch.start_offset:
            yield batch

    def stored(self, batch: SpoolBatch, offset: int) -> None:
        """Note up to where all is stored; another place than the batch's end is read again."""
        self._stored = offset
        if offset != batch.end_offset:
            self._reader.seek(offset)
            return
        self.has_points = self.has_points or bool(batch.logs)
        self.meter.take(batch)
        self.ending = batch.ending or self.ending

    def permit(self, until: float) -> None:
        """Let the trainer know until when no other runner can have taken over.

        Raises:
            StoreUnavailableError: If it cannot be told.
        """
        if self._permit is None:
            return
        try:
            self._permit.extend(until)
        except OSError as error:
            raise StoreUnavailableError(
                f"{self._permit.path} cannot be written: {error.strerror}",
                hint="check that its folder may be written and its disk has space",
            ) from error

    def may_wait_for_space(self, folder: Path) -> bool:
        """Whether the trainer may stand still because its disk is full: then it waits."""
        probe = folder / "space.tmp"
        try:
            probe.write_bytes(os.urandom(4096))
        except OSError:
            return True
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
        return False
