"""TensorBoard: a folder with event files is a run, with what writers put into folders of its own.

``SummaryWriter.add_scalars("loss", {"train": ..., "val": ...})`` writes ``RUN/loss_train`` and
``RUN/loss_val``, each with the one tag ``loss``; ``add_hparams`` writes a folder with the time as
its name. Both are parts of ``RUN``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.domain import AttemptState, Json
from ablate.importers.base import (
    Importer,
    ImportRequest,
    Reading,
    SourceRun,
    ending,
    file_digest,
    plain_config,
)
from ablate.importers.points import Points
from ablate.importers.reading.events import events

_MARK = "tfevents"
_TIME = re.compile(r"\d{9,}(\.\d+)?")


def is_event_file(path: Path) -> bool:
    """Whether a file has the name of an event file."""
    return _MARK in path.name


def read(request: ImportRequest) -> Reading:
    """Return a run for each folder with event files that is no part of another."""
    by_folder: dict[Path, list[Path]] = {}
    for path in request.files:
        by_folder.setdefault(path.parent, []).append(path)
    folders = [_Folder.read(request, path, files) for path, files in sorted(by_folder.items())]
    roots: dict[Path, list[_Folder]] = {}
    for folder in folders:
        # Both writers make a file in the run's own folder first.
        is_part = folder.is_part and folder.path.parent in by_folder
        roots.setdefault(folder.path.parent if is_part else folder.path, []).append(folder)
    return Reading(runs=[_run(request, path, parts) for path, parts in sorted(roots.items())])


@dataclass(slots=True)
class _Folder:
    """What the event files of one folder say."""

    path: Path
    files: list[Path]
    points: Points
    config: dict[str, Json]
    has_records: bool
    """Whether its files hold more than their heads."""

    @classmethod
    def read(cls, request: ImportRequest, path: Path, files: list[Path]) -> _Folder:
        points = Points(time=max(file.stat().st_mtime for file in files))
        config: dict[str, Json] = {}
        heads = records = 0
        for file in files:
            heads += 1
            for event in events(file, points.counts):
                records += 1
                if event.is_start and event.step > 0:
                    # `SummaryWriter(purge_step=...)`: TensorBoard hides them too.
                    points.drop_from(event.step)
                config |= event.config
                for tag, value in event.scalars:
                    points.add(tag, event.step, value, event.time)
        points.settle()
        return cls(path, files, points, plain_config(config), records > heads)

    @property
    def is_session(self) -> bool:
        """Whether it is what `add_hparams` wrote: a folder with the time as its name."""
        return bool(self.config) and _TIME.fullmatch(self.path.name) is not None

    @property
    def is_part(self) -> bool:
        """Whether it belongs to the run of the folder above it."""
        return self.is_session or self._main_tag is not None

    @property
    def _main_tag(self) -> str | None:
        """The tag of `add_scalars`, which begins the folder's name too."""
        if len(self.points.names) != 1:
            return None
        (tag,) = self.points.names
        start = tag.replace("/", "_") + "_"
        return tag if self.path.name.startswith(start) and self.path.name != start else None

    def as_part(self) -> Points:
        """Return its points under names that no other part has: ``loss/val``."""
        tag = self._main_tag
        if tag is None:
            return self.points
        rest = self.path.name.removeprefix(tag.replace("/", "_") + "_")
        return self.points.under(lambda name: f"{name}/{rest}")


def _run(request: ImportRequest, path: Path, parts: Sequence[_Folder]) -> SourceRun:
    first, *others = (p.as_part() if p.path != path else p.points for p in parts)
    points = first
    for other in others:
        points = points.continued_by(other)
    files = [file for part in parts for file in part.files]
    named = files[0] if request.root.is_file() else path
    config: dict[str, Json] = {}
    for part in parts:
        config |= part.config
    state, reason = ending(points, request.now)
    if not points.names and not any(part.has_records for part in parts):
        state, reason = AttemptState.FAILED, "its event files hold no record"
    return SourceRun(
        source=f"tensorboard:{request.relative(named)}",
        points=points,
        config=config,
        state=state,
        reason=reason,
        place=request.place(path),
        folder=path,
        files={request.relative(file): file_digest(file) for file in files},
    )


IMPORTER = Importer(read, "event files", is_event_file)
