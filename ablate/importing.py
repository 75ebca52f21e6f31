"""`ablate import` without a terminal: read a source, say what would change, change it.

Nothing is half-created: the runs are staged out of sight, and one transaction at the end puts them
all into the study.
"""

from __future__ import annotations

import getpass
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ablate.domain import IMPORTED, Cell, Json, Plan, Run, Variant
from ablate.errors import NotFoundError, UsageError
from ablate.identity import canonical_json
from ablate.importers import csv, jsonl, mlflow, tensorboard, wandb
from ablate.importers.base import Counts, Reading, Request, SourceRun
from ablate.importers.names import KeyMap, variant_name
from ablate.settings import Settings
from ablate.store import open_store
from ablate.store.base import Ending, ImportedRun, Store

READERS: dict[str, Callable[[Request], Reading]] = {
    "csv": csv.read,
    "jsonl": jsonl.read,
    "tensorboard": tensorboard.read,
    "mlflow": mlflow.read,
    "wandb": wandb.read,
}
_NOTE = "import"
"""Key of a run's config under which its source is kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """What was typed."""

    kind: str
    source: str
    study: str
    variant: str | None = None
    seed: int | None = None
    maps: Sequence[str] = ()
    goals: Sequence[str] = ()
    """``KEY=min``, ``KEY=max`` or ``KEY=target``."""
    experiment: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A run of the source and its place in the study."""

    run: SourceRun
    cell: Cell
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
    """Read a source; return what importing it would do. Changes nothing.

    Raises:
        UsageError: If the source cannot be understood, or has nothing to import.
        NotFoundError: If there is no such source.
    """
    if variant_name(options.study) != options.study:
        raise UsageError(f"--study {options.study}: no name for a study")
    request = Request(
        source=options.source,
        names=KeyMap(options.maps),
        relative=lambda path: _relative(Path(path), settings.project),
        experiment=options.experiment,
    )
    reading = READERS[options.kind](request)
    counts = reading.total()
    runs = [run for run in reading.runs if run.points.counts.kept]
    if not runs:
        raise UsageError(f"{options.source} has nothing to import: {counts_text(counts)}")
    old, stored = _stored(settings, options.study)
    arrivals = _place(runs, options, old, stored)
    plan = _plan(options, old, stored, arrivals)
    return Import(
        plan=plan,
        arrivals=tuple(arrivals),
        counts=counts,
        is_new=old is None,
        notes=tuple(reading.notes),
    )


def apply_import(settings: Settings, planned: Import) -> None:
    """Do what `plan_import` said: all or nothing.

    Raises:
        LeaseLostError: If another process imports the same run.
    """
    store = open_store(settings.db_url)
    try:
        for arrival in planned.arrivals:
            run = _imported(arrival)
            by = f"import by {getpass.getuser()}"
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
        config=_config(run),
        ending=Ending(state=run.state, reason=run.reason),
        started_at=first,
        finished_at=last,
    )


def _config(run: SourceRun) -> dict[str, Json]:
    return {**run.config, _NOTE: {"source": run.source}}


def counts_text(counts: Counts) -> str:
    """Return ``read 30 values, kept 28, skipped 2 (2 not a number)``."""
    text = f"read {counts.read} values, kept {counts.kept}, skipped {counts.skipped.total()}"
    why = ", ".join(f"{n} {why}" for why, n in sorted(counts.skipped.items()))
    return f"{text} ({why})" if why else text


def keep_imported(plan: Plan, old: Plan | None) -> Plan:
    """Return a plan made from a study file with the runs that were imported into the study.

    Raises:
        UsageError: If the file has a variant with the name of an imported one.
    """
    if old is None or not old.imported:
        return plan
    names = {cell.variant for cell in old.imported}
    if twice := sorted(names & {v.name for v in plan.variants}):
        raise UsageError(
            f"the study has an imported variant '{twice[0]}' already", hint="rename the phase"
        )
    kept = (replace(v, is_baseline=False) for v in old.variants if v.name in names)
    return replace(plan, variants=(*plan.variants, *kept), imported=old.imported)


def _relative(path: Path, project: Path) -> str:
    path = path.resolve()
    if path.is_relative_to(project.resolve()):
        return path.relative_to(project.resolve()).as_posix()
    return path.as_posix()


def _stored(settings: Settings, study: str) -> tuple[Plan | None, tuple[Run, ...]]:
    """Return the study's plan and its imported runs; a database that is not there is not made."""
    try:
        store: Store = open_store(settings.db_url, read_only=True)
    except NotFoundError:
        return None, ()
    try:
        plan = store.study(study).plan
        return plan, tuple(run for run in store.runs(study) if run.trainer == IMPORTED)
    except NotFoundError:
        return None, ()
    finally:
        store.close()


def _place(
    runs: Sequence[SourceRun], options: ImportOptions, old: Plan | None, stored: Sequence[Run]
) -> list[Arrival]:
    """Give each run its variant and seed: those it has, those asked for, else the next free."""
    if options.seed is not None and len(runs) > 1:
        raise UsageError(f"--seed {options.seed}: the source has {len(runs)} runs")
    known = {_source(run): run for run in stored}
    taken = {(r.variant, r.seed): _source(r) for r in stored}
    imported = {cell.variant for cell in old.imported} if old else set[str]()
    trained = {v.name for v in old.variants} - imported if old else set[str]()
    arrivals: list[Arrival] = []
    for run in runs:
        before = known.get(run.source)
        variant = options.variant or (before.variant if before else variant_name(run.name))
        if variant in trained:
            raise UsageError(
                f"the study '{options.study}' trains a variant '{variant}' itself",
                hint="give the imported one another name with --variant",
            )
        if before:
            taken.pop((before.variant, before.seed), None)
        seed = _seed(run, options, variant, before, taken)
        taken[variant, seed] = run.source
        cell = Cell(variant=variant, identity=run.identity(), seed=seed)
        same = before and (before.variant, before.identity, before.seed) == (
            cell.variant,
            cell.identity,
            cell.seed,
        )
        change = "unchanged" if same else "replaced" if before else "new"
        arrivals.append(Arrival(run=run, cell=cell, change=change))
    return arrivals


def _seed(
    run: SourceRun,
    options: ImportOptions,
    variant: str,
    before: Run | None,
    taken: Mapping[tuple[str, int], str],
) -> int:
    if options.seed is not None:
        if (variant, options.seed) in taken:
            other = taken[variant, options.seed]
            raise UsageError(f"{variant}-s{options.seed} is there already, from {other}")
        return options.seed
    wishes = [before.seed] if before else [run.seed] if run.seed is not None else []
    free = (seed for seed in [*wishes, *range(len(taken) + 1)] if (variant, seed) not in taken)
    return next(free)


def _source(run: Run) -> str:
    note: Any = run.config.get(_NOTE, {})
    return note["source"]


def _plan(
    options: ImportOptions, old: Plan | None, stored: Sequence[Run], arrivals: Sequence[Arrival]
) -> Plan:
    base = old or Plan(
        study=options.study,
        question="",
        trainer=IMPORTED,
        trainer_version="1",
        spec={"study": options.study, "trainer": IMPORTED, "metrics": {}},
        variants=(),
        seeds=(),
    )
    sources = {arrival.run.source for arrival in arrivals}
    staying = [run for run in stored if _source(run) not in sources]
    configs: dict[str, list[Mapping[str, Json]]] = {}
    cells = {
        (run.variant, run.seed): Cell(variant=run.variant, identity=run.identity, seed=run.seed)
        for run in staying
    }
    for run in staying:
        configs.setdefault(run.variant, []).append(run.config)
    for arrival in arrivals:
        cells[arrival.cell.variant, arrival.cell.seed] = arrival.cell
        configs.setdefault(arrival.cell.variant, []).append(_config(arrival.run))
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
    baseline = next((v.name for v in by_name.values() if v.is_baseline), made[0].name)
    return tuple(replace(variant, is_baseline=variant.name == baseline) for variant in made)


def _variant(study: str, name: str, configs: Sequence[Mapping[str, Json]]) -> Variant:
    """Return a variant with what the configs of its runs have in common."""
    first, *others = configs
    common = {
        key: value
        for key, value in first.items()
        if key != _NOTE
        and all(key in c and canonical_json(c[key]) == canonical_json(value) for c in others)
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
    typed: dict[str, str] = {}
    for entry in goals:
        found = re.fullmatch(r"(\S+/\S+)=(min|max|target)", entry)
        if not found:
            raise UsageError(f"--goal {entry}: unreadable", hint="write KEY=min, max or target")
        typed[found[1]] = found[2]
    if typed and base.trainer != IMPORTED:
        raise UsageError(
            f"the study '{base.study}' has a study file", hint="declare its metrics there"
        )
    if not typed:
        return base.spec
    return {**base.spec, "metrics": {**base.spec.get("metrics", {}), **typed}}
