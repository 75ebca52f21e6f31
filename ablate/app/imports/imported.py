"""What a study keeps of the runs that were imported into it: their plan, points and notes.

The config of an imported run has a note of where the run came from. The next import finds by it
which runs are there already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ablate.domain import (
    IMPORT_NOTE,
    IMPORTED,
    AttemptState,
    Config,
    Json,
    Plan,
    Run,
    Study,
    Variant,
)
from ablate.errors import NotFoundError, UsageError, did_you_mean
from ablate.importers.base import SourceRun
from ablate.importers.joining import by_time, merged
from ablate.importers.placing import Member, member_of
from ablate.importers.points import Points
from ablate.planning.configs import differing, trained_with
from ablate.settings import Settings
from ablate.store import open_store


@dataclass(frozen=True, kw_only=True, slots=True)
class _Note:
    """Where a run came from. Earlier versions wrote the source alone."""

    source: str
    parts: Sequence[str] = ()
    """The sources of its pieces, where it was joined from several."""
    title: str = ""
    seed: int | None = None
    """That its source says."""
    says_variant: bool = False
    content: str = ""
    values: str = ""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """The files it was read from, each with its SHA-256."""


def stored_config(run: SourceRun) -> dict[str, Json]:
    """Return the config under which a run of a source is stored."""
    member = member_of(run)
    note = _Note(
        source=run.source,
        parts=list(run.parts),
        title=run.title,
        seed=run.said_seed,
        says_variant=run.says_variant,
        content=member.content,
        values=member.values,
        files=dict(run.files),
    )
    return {**run.config, IMPORT_NOTE: asdict(note)}


def config_alone(config: Config) -> dict[str, Json]:
    """Return a stored config without the note."""
    return {key: value for key, value in config.items() if key != IMPORT_NOTE}


@dataclass(frozen=True, slots=True)
class Imported:
    """A run that is in the study."""

    run: Run
    note: _Note

    @classmethod
    def of(cls, run: Run) -> Imported:
        """Return a stored run with what its note says."""
        said: Any = run.config[IMPORT_NOTE]
        known = _Note.__dataclass_fields__
        return cls(run, _Note(**{key: value for key, value in said.items() if key in known}))

    @property
    def sources(self) -> frozenset[str]:
        """Its source, and those of its pieces."""
        return frozenset([self.note.source, *self.note.parts])

    @property
    def member(self) -> Member:
        """What placing asks of it."""
        return Member(
            source=self.note.source,
            title=self.note.title or self.run.variant,
            said_seed=self.note.seed,
            says_variant=self.note.says_variant,
            config=trained_with(config_alone(self.run.config)),
            content=self.note.content,
            values=self.note.values,
            variant=self.run.variant,
            seed=self.run.seed,
        )

    def holds(self, run: SourceRun) -> bool:
        """Whether all that a source has of a run is here already."""
        return bool(run.files) and self.note.files.items() >= run.files.items()

    def is_within(self, run: SourceRun) -> bool:
        """Whether a run was read from all the files, perhaps grown, that this one was read from."""
        return self.note.files.keys() <= run.files.keys()


def seeds_by_name(runs: Sequence[Run]) -> list[list[Imported]]:
    """Return groups of runs that count as seeds of one variant though nothing says that they are.

    An earlier version took any runs of one name for seeds. Configs that agree speak for them.

    Args:
        runs: Of one study.
    """
    groups: dict[str, list[Imported]] = {}
    for run in runs:
        if run.is_placed_by_name:
            groups.setdefault(run.variant, []).append(Imported.of(run))
    return [group for group in groups.values() if len(group) > 1 and not _agree(group)]


def _agree(group: Sequence[Imported]) -> bool:
    first, *others = (run.member.config for run in group)
    return bool(first) and not any(differing(first, other) for other in others)


def stored(settings: Settings, name: str) -> tuple[Study | None, list[Imported]]:
    """Return a study and its imported runs; a database that is not there is not made."""
    try:
        store = open_store(settings.db_url, read_only=True)
    except NotFoundError:
        return None, []
    try:
        study = store.study(name)
        return study, [Imported.of(r) for r in store.runs(name) if r.trainer == IMPORTED]
    except NotFoundError:
        return None, []
    finally:
        store.close()


@dataclass(frozen=True, slots=True)
class Meeting:
    """The runs of the sources as they go on with those of the study."""

    runs: list[SourceRun]
    stored: list[Imported]
    """The runs of the study but those that became parts of others."""
    settled: set[str]
    """Sources of runs of which the study has all already."""
    notes: list[str]


def meet(
    settings: Settings, runs: Sequence[SourceRun], before: list[Imported], *, is_separate: bool
) -> Meeting:
    """Join what goes on with runs of the study: no point that is there is lost."""
    meeting = Meeting([], list(before), set(), [])
    free = list(before)
    for run in runs:
        sources = {run.source} if is_separate else {run.source, *run.parts}
        same = [b for b in free if sources & ({b.note.source} if is_separate else b.sources)]
        free = [b for b in free if b not in same]
        both = _going_on(settings, run, same, meeting, is_separate=is_separate) if same else run
        meeting.runs.append(both)
    return meeting


def _going_on(
    settings: Settings,
    run: SourceRun,
    same: Sequence[Imported],
    meeting: Meeting,
    *,
    is_separate: bool,
) -> SourceRun:
    """Return a run with the points that the study has from files that were not read now."""
    first, *others = same
    for other in others:
        meeting.stored.remove(other)
        meeting.notes.append(f"{other.run.label} is now a part of {first.run.label}")
    missing = [b for b in same if not b.is_within(run) and not (is_separate and b.note.parts)]
    if missing == [first] and first.holds(run):
        meeting.settled.add(first.note.source)
        return _as_piece(settings, first, run)
    pieces = by_time([*(_as_piece(settings, b, run) for b in missing), run])
    return replace(merged(pieces), source=first.note.source, title=run.title)


def _as_piece(settings: Settings, before: Imported, run: SourceRun) -> SourceRun:
    """Return a stored run as a piece of the run of a source that goes on with it."""
    points = Points()
    store = open_store(settings.db_url, read_only=True)
    try:
        for curve in store.stream([before.run.id], store.metric_keys([before.run.id])):
            points.take_curve(curve.key, curve)
    finally:
        store.close()
    points.settle()
    return replace(
        run,
        source=before.note.source,
        title=before.note.title or before.run.variant,
        points=points,
        said_seed=before.note.seed,
        says_variant=before.note.says_variant,
        config=config_alone(before.run.config),
        state=AttemptState(before.run.state.value),
        reason=before.run.reason,
        files=dict(before.note.files),
        parts=tuple(before.note.parts),
    )


def keep_imported(plan: Plan, old: Plan | None) -> Plan:
    """Return a plan made from a study file with the runs that were imported into the study.

    Raises:
        UsageError: If the file has a variant with the name of an imported one.
    """
    if old is None or not old.imported:
        return plan
    names = dict.fromkeys(cell.variant for cell in old.imported)
    if twice := sorted(names.keys() & {v.name for v in plan.variants}):
        raise UsageError(
            f"the study has an imported variant '{twice[0]}' already", hint="rename the phase"
        )
    kept = [v for v in old.variants if v.name in names]
    wished: str | None = plan.spec.get("baseline")
    if wished is not None and wished not in names:
        raise UsageError(
            f"there is no imported phase '{wished}' to compare with",
            hint=did_you_mean(wished, names),
        )
    variants = with_baseline((*plan.variants, *kept), wished, plan)
    return replace(plan, variants=variants, imported=old.imported)


def with_baseline(
    variants: Sequence[Variant], wished: str | None, before: Plan
) -> tuple[Variant, ...]:
    """Return variants with one baseline: the wished, else that of before, else the first.

    Args:
        variants: At least one.
        wished: As the study file says; None, or not there yet.
        before: The plan that these variants add to.
    """
    names = [variant.name for variant in variants]
    former = [v.name for v in before.variants if v.is_baseline and v.name in names]
    found = wished if wished in names else next(iter([*former, *names]))
    return tuple(replace(variant, is_baseline=variant.name == found) for variant in variants)
