"""The database and its second copy on the disk: compared, and made anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ablate.app.imports.folders import read_folders
from ablate.attempt.runners import Life, life_of, place_of
from ablate.errors import AblateError, HeldError, NotFoundError, StoreError, UsageError
from ablate.settings import Settings
from ablate.spool.folders import RunFolder
from ablate.store import open_store
from ablate.store.schema.changes import numbered
from ablate.store.schema.engine import connect, reading
from ablate.store.schema.journal import Journal, Rows, journal_path, journals_at
from ablate.store.schema.revision import HEAD
from ablate.store.upkeep.migrate import check
from ablate.store.upkeep.rebuild import Restored, rebuild
from ablate.store.upkeep.replay import Spool, SpoolOf
from ablate.store.upkeep.verify import Verification, verify
from ablate.store.writing.import_spools import import_spool


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovered:
    """What was made anew, and from what."""

    restored: Restored
    journal: Path | None
    others: tuple[Path, ...]
    """Journals of databases that were at the same place at another time."""
    lacking: tuple[str, ...]
    """What the disk does not have."""
    studies: tuple[str, ...]
    """Those that have to be created from their files, which then have their runs again."""


def compare_copies(settings: Settings) -> Verification:
    """Compare the database with what is on the disk a second time; see `verify`."""
    return verify(settings.db_url, settings.data_dir, _spools(settings))


def _spools(settings: Settings) -> SpoolOf:
    def find(run_id: str, number: int, attempt_id: int, is_imported: bool) -> Spool:
        if is_imported and (spool := import_spool(settings.imports_dir, run_id, number)).exists():
            return Spool(spool)
        return Spool(RunFolder(settings.run_dir(run_id)).attempt(number).spool)

    return find


def refuse_beside_runners(runners: Collection[str], *, doing: str, is_confirmed: bool) -> None:
    """Refuse to do something to a database that others are writing to.

    Args:
        runners: That hold runs by what is stored.
        doing: What is to be done.
        is_confirmed: Whether the user vouches for runners of which nothing is known.

    Raises:
        HeldError: If one of them lives on this machine, or may live elsewhere.
    """
    lives = {runner: life_of(runner) for runner in sorted(runners)}
    if here := [runner for runner, life in lives.items() if life is Life.ALIVE]:
        pids = " ".join(sorted({runner.split("/")[2] for runner in here}))
        raise HeldError(
            f"{doing}: runs are being trained by {_named(here)}",
            hint=f"end it first, its runs are saved and go on later: kill {pids}",
        )
    unknown = [runner for runner, life in lives.items() if life is Life.UNKNOWN]
    if unknown and not is_confirmed:
        raise HeldError(
            f"{doing}: runs may be being trained by {_named(unknown)}",
            hint="end `ablate run` there first; if it is dead already: --yes",
        )


def _named(runners: list[str]) -> str:
    """Return ``host (pid 12), other (pid 9)``."""
    return ", ".join(dict.fromkeys(str(place_of(runner) or runner) for runner in runners))


def recover(settings: Settings, *, journal: Path | None, is_confirmed: bool) -> Recovered:
    """Make the database anew from what is on the disk.

    Args:
        settings: Of the project.
        journal: Which one, where several databases were at the place; None for the last written.
        is_confirmed: Whether the user vouches for runners of which nothing is known.

    Raises:
        UsageError: If the database is there and good.
        NotFoundError: If nothing is on the disk.
        HeldError: If a runner may live; see `refuse_beside_runners`.
        StoreError: If the new database cannot be written.
    """
    with closing(connect(settings.db_url, read_only=True)) as database:
        shown, path = database.shown, database.path
    if path is not None and path.exists():
        _refuse_good(settings, shown)
    paths = journals_at(settings.data_dir, shown)
    found = _journal(paths, journal or _own_journal(settings, shown))
    others = [path for path in paths if found and not path.samefile(found.path)]
    runs, runners = _listed(found)
    refuse_beside_runners(runners, doing="the database is not made anew", is_confirmed=is_confirmed)
    folders = read_folders(settings, runs, shown)
    if not runs and not folders.rows and not (found and found.changes):
        raise NotFoundError(
            f"nothing is on the disk of the database {shown}",
            hint=f"looked for a journal and runs in {settings.data_dir}",
        )
    restored = rebuild(settings.db_url, found, folders.rows, _spools(settings))
    if folders.plan is not None:
        with closing(open_store(settings.db_url, data_dir=settings.data_dir)) as store:
            store.apply_plan(folders.plan)
    return Recovered(
        restored=restored,
        journal=found.path if found else None,
        others=tuple(others),
        lacking=(*_lacking(settings, found, runs), *folders.faults),
        studies=tuple(folders.studies),
    )


def _refuse_good(settings: Settings, shown: str) -> None:
    try:
        status = check(settings.db_url)
        is_good = status.is_good and not compare_copies(settings).differences
    except AblateError:
        return
    if is_good:
        raise UsageError(
            f"the database {shown} is good: all that is there a second time is the same",
            hint="to make it anew all the same, move the file aside",
        )


def _own_journal(settings: Settings, shown: str) -> Path | None:
    """Return the journal of the damaged database, as far as that still says which it is."""
    try:
        with closing(connect(settings.db_url, read_only=True)) as lost, reading(lost) as connection:
            name, _ = numbered(connection)
    except AblateError:
        return None
    path = journal_path(settings.data_dir, shown, name)
    return path if path.is_file() else None


def _journal(paths: Sequence[Path], wanted: Path | None) -> Journal | None:
    if wanted is not None and not wanted.is_file():
        raise NotFoundError(f"there is no journal {wanted}")
    chosen = wanted or next(iter(paths), None)
    if chosen is None:
        return None
    journal = Journal(chosen, HEAD)
    journal.look()
    if journal.changes and journal.changes[-1].revision != HEAD:
        revision = journal.changes[-1].revision
        raise StoreError(
            f"journal {journal.path} is of schema {revision}, this ablate has {HEAD}",
            hint="rebuild with the version of ablate that wrote it, then: ablate db upgrade",
        )
    return journal


def _listed(journal: Journal | None) -> tuple[set[str], set[str]]:
    """Return the runs that a journal has, and the runners that hold some of them."""
    runs: set[str] = set()
    held: dict[int, tuple[str, str]] = {}
    for part in journal.read() if journal and journal.changes else ():
        if not isinstance(part, Rows):
            runs.discard(part.run_id)
            held = {k: each for k, each in held.items() if each[0] != part.run_id}
            continue
        for row in part.rows:
            values = dict(zip(part.columns, row, strict=True))
            if part.table == "runs":
                runs.add(values["id"])
            elif part.table == "attempts" and values["state"] == "running":
                held[values["id"]] = values["run_id"], values["runner"]
            elif part.table == "attempts":
                held.pop(values["id"], None)
    return runs, {runner for _, runner in held.values() if "/" in runner}


def _lacking(settings: Settings, journal: Journal | None, runs: Collection[str]) -> Iterator[str]:
    if journal is not None and journal.damage is None:
        return
    if journal is None:
        yield "there is no journal: studies, times, users' commands and imports are not known"
    else:
        yield f"{journal.damage}; what was changed after that is not known"
    for path in sorted(settings.imports_dir.glob("*")):
        if path.name not in runs:
            yield f"{path}: of an imported run; import its source again"
