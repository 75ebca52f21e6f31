"""Finds what nobody wants any more, in the database and on the disk, and deletes it.

The rows of a run go first, all at once, and then its folder. After a crash in between, the folder
belongs to no run; it is found as such and goes the next time.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ablate.domain import IMPORTED, Orphan
from ablate.files import size_of
from ablate.settings import Settings
from ablate.spool.folders import RunFolder
from ablate.store.base import Store

_RUN_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """A run that no study wants, with its folder; or a folder that belongs to no run."""

    name: str
    """The run's id, which is the folder's name too."""
    orphan: Orphan | None
    """None for a folder alone."""
    folder: Path
    """It may not be there."""
    size_bytes: int
    """Of the files in the folder."""
    kept_because: str | None
    """Why it is not deleted, None when it can be."""


def leftovers(
    store: Store, settings: Settings, studies: Collection[str] = ()
) -> tuple[Leftover, ...]:
    """Return the runs that no study wants, and the folders without a run. Changes nothing.

    Args:
        store: The project's.
        settings: Of the project.
        studies: Only runs that these have wanted, and no folders without a run; empty for all.

    Raises:
        NotFoundError: For an unknown study.
    """
    for name in studies:
        store.study(name)
    # Folders are listed first: the run of a folder is in the database before there is a folder.
    folders = sorted(settings.runs_dir.glob("*")) if not studies else []
    found = [
        Leftover(
            name=orphan.run.id,
            orphan=orphan,
            folder=(folder := _folder_of(orphan, settings)),
            size_bytes=size_of(folder),
            kept_because=_why_kept(orphan),
        )
        for orphan in store.orphans()
        if not studies or orphan.run.study in studies
    ]
    # Another process may delete a run between the two looks: it is in the list already.
    known = store.run_ids() | {leftover.name for leftover in found}
    found += [
        Leftover(
            name=folder.name,
            orphan=None,
            folder=folder,
            size_bytes=size_of(folder),
            kept_because=_why_folder_kept(folder, store.url),
        )
        for folder in folders
        if folder.is_dir() and _RUN_ID.fullmatch(folder.name) and folder.name not in known
    ]
    return tuple(found)


def _folder_of(orphan: Orphan, settings: Settings) -> Path:
    is_imported = orphan.run.trainer == IMPORTED
    folder = settings.imports_dir if is_imported else settings.runs_dir
    return folder / orphan.run.id


def _why_kept(orphan: Orphan) -> str | None:
    if orphan.is_held:
        return "is running" if orphan.run.study else "is being imported"
    if orphan.branches:
        more = f" and {n} more" if (n := len(orphan.branches) - 1) else ""
        return f"{orphan.branches[0]}{more} begins from it"
    return None


def _why_folder_kept(folder: Path, database: str) -> str | None:
    """Whether a folder may belong to a run of another database that this project is used with."""
    try:
        others = RunFolder(folder).databases - {database}
    except (OSError, ValueError):
        others = {None}
    if not others:
        return None
    known = sorted(other for other in others if other)
    return f"was trained for {known[0]}" if known else "may belong to another database"


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of leftovers."""

    deleted: tuple[Leftover, ...]
    faults: tuple[str, ...]
    """Folders that could not be deleted and why; they belong to no run now and are found again."""


def delete(store: Store, found: Collection[Leftover]) -> Deletion:
    """Delete leftovers that are not kept.

    A run that came to be wanted, or to be begun from, since it was found is left alone.
    """
    deleted: list[Leftover] = []
    faults: list[str] = []
    waiting = [leftover for leftover in found if leftover.kept_because is None]
    while waiting:
        # A run from which another begins can go once that other is gone.
        gone = [item for item in waiting if item.orphan is None or store.delete_orphan(item.name)]
        kept = {item.name: fault for item in gone if (fault := _remove(item.folder))}
        faults += kept.values()
        deleted += [item for item in gone if item.orphan or item.name not in kept]
        waiting = [item for item in waiting if item not in gone] if gone else []
    return Deletion(tuple(deleted), tuple(faults))


def _remove(folder: Path) -> str | None:
    """Delete a folder, also one that was moved and linked to; return what hinders it."""
    try:
        if folder.exists():
            shutil.rmtree(folder.resolve())
        if folder.is_symlink():
            folder.unlink()
    except FileNotFoundError:
        return None  # another process deletes it too
    except OSError as error:
        return f"{folder} cannot be deleted: {error.strerror or error}"
    return None
