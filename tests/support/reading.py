"""What the importers give, as `ablate import` goes on with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ablate.importers.base import ImportRequest, Reading, SourceRun
from ablate.importers.joining import join
from ablate.importers.names import KeyMap
from ablate.importers.points import Counts
from ablate.importers.sources import find_source, read_source
from ablate.importers.titles import titled

LATER = 1e10
"""Unix seconds at which every run of a test has long ended."""


def read(
    source: Path,
    *maps: str,
    kind: str | None = None,
    now: float = LATER,
    pattern: str | None = None,
) -> Reading:
    """Return what a file or folder holds, under metric keys."""
    names = KeyMap(maps)
    found = find_source(str(source), kind)
    request = ImportRequest(
        root=found.root, files=found.files, roles=names.roles, now=now, pattern=pattern
    )
    reading = read_source(found.kind, request)
    reading.runs = [replace(run, points=run.points.under(names.key)) for run in reading.runs]
    return reading


def runs_in(
    source: Path, *, together: Sequence[str] = (), is_separate: bool = False
) -> list[SourceRun]:
    """Return the runs of a folder, their pieces joined, each with a title."""
    found = find_source(str(source), None)
    request = ImportRequest(root=found.root, files=found.files, now=LATER)
    pieces = read_source(found.kind, request).runs
    joined = join(pieces, together=together, is_separate=is_separate)
    return titled(joined.runs)


def points(reading: Reading, index: int = 0) -> dict[tuple[str, int], tuple[float, float]]:
    """Return (key, step) -> (value, time), as the store is given them."""
    return points_of(reading.runs[index])


def points_of(run: SourceRun) -> dict[tuple[str, int], tuple[float, float]]:
    """Return (key, step) -> (value, time)."""
    return {
        (key, log.step): (value, log.time)
        for batch in run.points.batches()
        for log in batch.logs
        for key, value in zip(log.keys, log.values, strict=True)
    }


def total(reading: Reading) -> Counts:
    """Return what became of all values."""
    counts = Counts()
    for each in (reading.counts, *(run.points.counts for run in reading.runs)):
        counts.add(each)
    return counts
