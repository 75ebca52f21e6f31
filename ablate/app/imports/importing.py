"""`ablate import` without a terminal: read sources, say what would change, change it.

Nothing is half-created: the runs are staged out of sight, and one transaction at the end puts them
all into the study.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ablate.app.imports.imported import (
    Imported,
    Meeting,
    config_alone,
    meet,
    stored,
    stored_config,
    with_baseline,
)
from ablate.domain import IMPORTED, AttemptState, Json, Plan, Study, StudyCell, Variant
from ablate.errors import NotFoundError, UsageError
from ablate.files import read_bounded
from ablate.identity import canonical_json
from ablate.importers.base import ImportRequest, Reading, SourceRun
from ablate.importers.beside import with_configs
from ablate.importers.joining import join
from ablate.importers.names import KeyMap
from ablate.importers.placing import Place, SeedRule, Wishes, place
from ablate.importers.points import Counts
from ablate.importers.sources import find_source, read_source
from ablate.importers.titles import titled
from ablate.planning.study_file.bounded import MAX_BYTES, plain_yaml
from ablate.planning.study_file.names import check_name, shown_name
from ablate.planning.study_file.spec import StudySpec
from ablate.settings import Settings, user_name
from ablate.spool.batch import Ending
from ablate.storable import check_name as check_storable
from ablate.store import open_store
from ablate.store.base import ImportedRun
from ablate.text import few

_WITHOUT_POINTS = "it logged no point before it ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """What was typed."""

    sources: Sequence[str]
    """Files, folders and the URIs of tracking servers."""
    study: str
    kind: str | None = None
    """Which importer reads them; None to see for oneself."""
    variant: str | None = None
    seed: int | None = None
    seeds: SeedRule = "auto"
    maps: Sequence[str] = ()
    map_file: str | None = None
    """A file with a mapping from names to keys."""
    goals: Sequence[str] = ()
    """``KEY=min``, ``KEY=max`` or ``KEY=target``."""
    together: Sequence[str] = ()
    """Patterns: what fits one of them is one run."""
    is_separate: bool = False
    """Whether pieces stay apart that look like one run."""
    config: str | None = None
    """A config, or the name of one that lies beside the logs of each run."""
    pattern: str | None = None
    """For text: a regular expression for a line."""
    experiment: str | None = None
    """For MLflow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A run of a source and its place in the study."""

    run: SourceRun
    cell: StudyCell
    change: Literal["new", "replaced", "unchanged"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """What an import would do."""

    plan: Plan
    arrivals: tuple[Arrival, ...]
    counts: Counts
    is_new: bool
    """Whether the study is."""
    notes: tuple[str, ...] = ()
    """What was decided or left out, a sentence each."""

    @property
    def changes(self) -> tuple[Arrival, ...]:
        """The runs that are not in the study as they are."""
        return tuple(a for a in self.arrivals if a.change != "unchanged")


def plan_import(settings: Settings, options: ImportOptions) -> Import:
    """Read sources; return what importing them would do. Changes nothing.

    Raises:
        UsageError: If a source cannot be understood, or there is nothing to import.
        NotFoundError: If there is no such source.
    """
    _check_name("--study", options.study)
    if options.variant is not None:
        _check_name("--variant", options.variant)
    names = KeyMap([*options.maps, *_maps_of_file(options.map_file)])
    reading = _read(settings, options, names)
    pieces, about_configs = with_configs(reading.runs, options.config)
    joined = join(pieces, together=options.together, is_separate=options.is_separate)
    read = [_keyed(run, names) for run in titled(joined.runs)]
    runs, about_empty = _worth_it(read)
    if not runs:
        shown = counts_text(_total(reading.counts, read))
        raise UsageError(f"{', '.join(options.sources)} has nothing to import: {shown}")
    if options.seed is not None and len(runs) > 1:
        raise UsageError(f"--seed {options.seed}: there are {len(runs)} runs")
    study, before = stored(settings, options.study)
    _refuse_goals(options, study)
    old = study.plan if study else None
    meeting = meet(settings, runs, before, is_separate=options.is_separate)
    imported = {cell.variant for cell in old.imported} if old else set[str]()
    trained = {v.name for v in old.variants} - imported if old else set[str]()
    wishes = Wishes(variant=options.variant, seed=options.seed, seeds=options.seeds)
    placement = place(meeting.runs, [run.member for run in meeting.stored], wishes, trained)
    arrivals = _arrivals(placement.places, meeting)
    arrived = {arrival.run.source for arrival in arrivals}
    copies = [run for run, met in zip(runs, meeting.runs, strict=True) if met.source not in arrived]
    return Import(
        plan=_plan(options, old, meeting.stored, arrivals),
        arrivals=tuple(arrivals),
        counts=_total(reading.counts, read, copies),
        is_new=old is None,
        notes=(
            *reading.notes,
            *about_configs,
            *joined.notes,
            *about_empty,
            *meeting.notes,
            *placement.notes,
        ),
    )


def _refuse_goals(options: ImportOptions, study: Study | None) -> None:
    """Refuse to declare beside a study file: the next ``study create`` would take it back."""
    if options.goals and study and (study.source or study.plan.trainer != IMPORTED):
        raise UsageError(
            f"the study '{study.name}' has a study file", hint="declare its metrics there"
        )


def _check_name(option: str, name: str) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"{option} {shown_name(name)}: {error}") from error


def _maps_of_file(file: str | None) -> list[str]:
    """Return the entries of a file ``NAME: KEY`` as they are typed behind --map."""
    if file is None:
        return []
    try:
        content: Any = plain_yaml(read_bounded(Path(file).expanduser(), MAX_BYTES).decode())
    except (UsageError, NotFoundError) as error:
        raise UsageError(f"--map-file: {error.message}", hint=error.hint) from error
    except ValueError as error:
        raise UsageError(f"--map-file {file}: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(
            f"--map-file {file} holds no mapping",
            hint="write a line NAME: split/group/name for each",
        )
    return [f"{name}={key}" for name, key in content.items()]  # pyright: ignore[reportUnknownVariableType]


def _read(settings: Settings, options: ImportOptions, names: KeyMap) -> Reading:
    """Return the pieces of all sources, each file once."""
    whole = Reading()
    for text in options.sources:
        source = find_source(text, options.kind)
        request = ImportRequest(
            root=source.root,
            files=source.files,
            roles=names.roles,
            relative=lambda path: _relative(path, settings.project),
            now=time.time(),
            uri=source.uri,
            experiment=options.experiment,
            pattern=options.pattern,
        )
        whole.add(read_source(source.kind, request))
        whole.notes += [source.note] if source.note else []
    first = {(run.source, *run.files): run for run in reversed(whole.runs)}
    whole.runs = [run for run in whole.runs if first[run.source, *run.files] is run]
    return whole


def _relative(path: Path, project: Path) -> str:
    path = path.resolve()
    if path.is_relative_to(project.resolve()):
        return path.relative_to(project.resolve()).as_posix()
    return path.as_posix()


def _keyed(run: SourceRun, names: KeyMap) -> SourceRun:
    """Return a run with its points under metric keys.

    Raises:
        UsageError: If two names become one key, or the database cannot hold one.
    """
    try:
        points = run.points.under(names.key)
        for key in points.names:
            check_storable(key, "metric key")
    except UsageError as error:
        raise UsageError(f"{run.title}: {error.message}", hint=error.hint) from error
    return replace(run, points=points)


def _worth_it(runs: Sequence[SourceRun]) -> tuple[list[SourceRun], list[str]]:
    """Return the runs that logged something or ended badly, and a line for the others."""
    kept: list[SourceRun] = []
    empty: list[str] = []
    for run in runs:
        if run.points.names or run.state in (AttemptState.RUNNING, AttemptState.CANCELLED):
            kept.append(run)
        elif run.state is AttemptState.SUCCEEDED:
            empty.append(run.title)
        else:
            is_known = run.state is AttemptState.FAILED and run.reason
            reason = run.reason if is_known else _WITHOUT_POINTS
            kept.append(replace(run, state=AttemptState.FAILED, reason=reason))
    return kept, [f"left out, as no number was logged: {few(empty)}"] if empty else []


def _total(others: Counts, runs: Sequence[SourceRun], copies: Sequence[SourceRun] = ()) -> Counts:
    """Return how many values were read, and kept in runs that are no copies of others."""
    total = Counts()
    total.add(others)
    for run in runs:
        total.add(run.points.counts)
    if copied := sum(run.points.counts.kept for run in copies):
        total.kept -= copied
        total.skipped["in a copy of another run"] += copied
    return total


def apply_import(settings: Settings, planned: Import) -> None:
    """Do what `plan_import` said: all or nothing.

    Raises:
        LeaseLostError: If another process imports the same run.
    """
    store = open_store(settings.db_url, data_dir=settings.data_dir)
    try:
        for arrival in planned.changes:
            run = _imported(arrival)
            by = f"import by {user_name()}"
            store.import_run(run, arrival.run.points.batches(), by=by)
        store.apply_plan(planned.plan)
    finally:
        store.close()


def _imported(arrival: Arrival) -> ImportedRun:
    run = arrival.run
    first, last = run.points.span
    return ImportedRun(
        identity=arrival.cell.identity,
        seed=arrival.cell.seed,
        config=stored_config(run),
        ending=Ending(state=run.state, reason=run.reason),
        started_at=first,
        finished_at=last,
    )


def counts_text(counts: Counts) -> str:
    """Return ``read 30 values, kept 28, skipped 2 (2 not a number)``."""
    text = f"read {counts.read} values, kept {counts.kept}, skipped {counts.skipped.total()}"
    why = ", ".join(f"{n} {why}" for why, n in sorted(counts.skipped.items()))
    return f"{text} ({why})" if why else text


def _arrivals(places: Sequence[Place], meeting: Meeting) -> list[Arrival]:
    known = {before.note.source: before.run for before in meeting.stored}
    arrivals: list[Arrival] = []
    for new in places:
        before = known.get(new.run.source)
        is_settled = before is not None and new.run.source in meeting.settled
        identity = before.identity if before and is_settled else new.run.identity()
        cell = StudyCell(variant=new.variant, identity=identity, seed=new.seed)
        was = before and StudyCell(
            variant=before.variant, identity=before.identity, seed=before.seed
        )
        change = "unchanged" if was == cell else "replaced" if before else "new"
        arrivals.append(Arrival(run=new.run, cell=cell, change=change))
    return arrivals


def _plan(
    options: ImportOptions,
    old: Plan | None,
    before: Sequence[Imported],
    arrivals: Sequence[Arrival],
) -> Plan:
    base = old or Plan(
        study=options.study,
        question="",
        trainer=IMPORTED,
        trainer_version="1",
        spec=StudySpec(study=options.study, trainer=IMPORTED).to_json(),
        variants=(),
        seeds=(),
    )
    sources = {arrival.run.source for arrival in arrivals}
    staying = [each.run for each in before if each.note.source not in sources]
    configs: dict[str, list[Mapping[str, Json]]] = {}
    cells = {
        (run.variant, run.seed): StudyCell(
            variant=run.variant, identity=run.identity, seed=run.seed
        )
        for run in staying
    }
    for run in staying:
        configs.setdefault(run.variant, []).append(config_alone(run.config))
    # A run without a point comes last: the first variant is the baseline.
    for arrival in sorted(arrivals, key=lambda each: not each.run.points.names):
        cells[arrival.cell.variant, arrival.cell.seed] = arrival.cell
        configs.setdefault(arrival.cell.variant, []).append(arrival.run.config)
    return replace(
        base,
        spec=_spec(base, options.goals),
        variants=_variants(base, configs),
        imported=tuple(cells[place] for place in sorted(cells, key=lambda p: (p[1], p[0]))),
    )


def _variants(
    base: Plan, configs: Mapping[str, Sequence[Mapping[str, Json]]]
) -> tuple[Variant, ...]:
    """Return the trained variants as they are and the imported ones, the old before the new."""
    before = {cell.variant for cell in base.imported}
    by_name = {v.name: v for v in base.variants if v.name not in before or v.name in configs}
    names = dict.fromkeys([*by_name, *configs])
    made = [
        by_name[name] if name not in configs else _variant(base.study, name, configs[name])
        for name in names
    ]
    return with_baseline(made, base.spec.get("baseline"), base)


def _variant(study: str, name: str, configs: Sequence[Mapping[str, Json]]) -> Variant:
    """Return a variant with what the configs of its runs have in common."""
    first, *others = configs
    common = {
        key: value
        for key, value in first.items()
        if all(key in c and canonical_json(c[key]) == canonical_json(value) for c in others)
    }
    text = canonical_json([IMPORTED, study, name])
    return Variant(
        name=name,
        identity=hashlib.sha256(text.encode()).hexdigest(),
        config=common,
        factors={},
        is_phase=True,
    )


def _spec(base: Plan, goals: Iterable[str]) -> Mapping[str, Json]:
    typed: dict[str, Json] = {}
    for entry in goals:
        key, _, goal = entry.rpartition("=")
        try:
            spec = StudySpec.model_validate({"study": base.study, "metrics": {key: goal}})
        except ValueError as error:
            raise UsageError(
                f"--goal {entry}: unreadable", hint="write KEY=min, max or target"
            ) from error
        typed |= spec.to_json()["metrics"]
    return {**base.spec, "metrics": {**base.spec.get("metrics", {}), **typed}}
