"""Reads a study's data from a store. The only module of the analysis that knows stores."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from ablate.analysis.curves.replay import replayed
from ablate.analysis.curves.stored_curves import StoredCurves
from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.diagnosis import causes, silence, trivial
from ablate.domain import Event, Plan, Run, Variant
from ablate.errors import NotFoundError
from ablate.planning.lookup import named_variants
from ablate.planning.references import references_of
from ablate.planning.study_file.spec import declarations
from ablate.provenance import Code
from ablate.store.base import Store

K = TypeVar("K")
V = TypeVar("V")


def load(
    store: Store,
    study: str,
    variants: Sequence[str] = (),
    *,
    keys: Collection[str] | None = None,
    baseline: str | None = None,
) -> StudyData:
    """Read what the analysis of a study needs; points are read when they are asked for.

    Args:
        store: Where truth lives; nothing is written. It has to stay open.
        study: Its name.
        variants: Names to compare; none for all of the study but the copies, which take part by
            name alone.
        keys: Metric keys, or patterns such as ``valid/*``, to read beside those that the verdicts
            need; None for all that were logged. A comparison without curves needs ``()``.
        baseline: The variant to compare with. Without it: the study's baseline when it is among
            the variants, else the first that was named.

    Raises:
        NotFoundError: For a study or variant that does not exist, with the closest name.
    """
    plan = store.study(study).plan
    wanted = (*variants, baseline) if variants and baseline else variants
    by_name = {*variants, baseline}
    known = named_variants(plan.study, plan.variants, wanted)
    chosen = tuple(v for v in known if v.copy is None or v.name in by_name)
    names = {v.name for v in chosen}
    copies = _copies_of(names, plan)
    apart = {v.name for v in copies}
    wished = names | apart
    runs = [run for run in store.runs(study) if run.variant in wished]
    ids = tuple(dict.fromkeys(run.id for run in runs))
    by_run = store.keys_by_run(ids)
    logged = sorted(set().union(*by_run.values()))
    spec = declarations(plan.spec)
    declared = [*spec.metrics, *spec.targets]
    guards = spec.guard_rules
    # Trained runs were judged at their gates while they trained.
    gates = spec.gate_rules if plan.imported else ()
    guarded = [key for guard in guards for key in guard.keys]
    needed = logged if keys is None else _needed(logged, declared, [*keys, *guarded])
    read = _bounded(needed, [*declared, *guarded, *(keys or ())])
    curves = StoredCurves(store, runs, _only(by_run, read))
    base, notes = _baseline(plan, chosen, variants, baseline)
    if len(read) < len(needed):
        notes = (*notes, _left_out(len(read), len(needed)))
    return StudyData(
        study=plan.study,
        question=plan.question,
        baseline=base,
        variants=chosen,
        metrics=spec.metric_rules,
        targets=spec.target_rules,
        references={} if baseline else references_of(plan.spec, chosen, base),
        pairing=spec.pairing,
        guards=guards,
        runs=tuple(run for run in runs if run.variant in names),
        copies=copies,
        copy_runs=tuple(run for run in runs if run.variant in apart),
        curves=curves,
        events=_events(store, ids) | replayed(runs, curves, guards, gates),
        codes=_codes(store, runs),
        notes=notes,
        logged=tuple(logged),
    )


def _only(
    by_run: Mapping[str, tuple[str, ...]], keys: Collection[str]
) -> dict[str, tuple[str, ...]]:
    wanted = set(keys)
    # Most runs log the same keys: look at them once.
    alike = {logged: tuple(k for k in logged if k in wanted) for logged in set(by_run.values())}
    return {run_id: alike[logged] for run_id, logged in by_run.items()}


def _copies_of(names: Collection[str], plan: Plan) -> tuple[Variant, ...]:
    """Return the copies of some variants that are not among them."""
    return tuple(v for v in plan.variants if v.copy and v.copy.of in names and v.name not in names)


def load_across(
    store: Store,
    places: Sequence[tuple[str, str]],
    *,
    keys: Collection[str] | None = None,
    baseline: tuple[str, str] | None = None,
) -> StudyData:
    """Read variants of several studies, to be compared as those of one.

    They are named ``study/variant``. What the study that was named first declares of a metric
    counts; a note says where another declares it otherwise.

    Args:
        store: As for `load`.
        places: Study and variant, in the order in which they are shown.
        keys: As for `load`.
        baseline: Study and variant to compare with; None for the first.

    Raises:
        NotFoundError: As for `load`.
    """
    shown = list(dict.fromkeys([*places, baseline] if baseline else places))
    studies = list(dict.fromkeys(study for study, _ in shown))
    specs = {study: declarations(store.study(study).plan.spec) for study in studies}
    if keys is not None:  # what one of them declares is compared in all
        keys = [*keys, *(k for spec in specs.values() for k in [*spec.metrics, *spec.targets])]
    parts: list[StudyData] = []
    for study in studies:
        own = [variant for of_study, variant in shown if of_study == study]
        parts.append(_named_with_study(load(store, study, own, keys=keys, baseline=own[0])))
    joined = _joined(parts)
    order = [f"{study}/{variant}" for study, variant in shown]
    return replace(
        joined,
        baseline="/".join(baseline or shown[0]),
        variants=tuple(sorted(joined.variants, key=lambda v: order.index(v.name))),
    )


def _named_with_study(data: StudyData) -> StudyData:
    return replace(
        data,
        variants=tuple(replace(v, name=f"{data.study}/{v.name}") for v in data.variants),
        runs=tuple(replace(run, variant=f"{data.study}/{run.variant}") for run in data.runs),
        copies=(),
        copy_runs=(),
    )


def _joined(parts: Sequence[StudyData]) -> StudyData:
    first, *others = parts
    return replace(
        first,
        study=", ".join(part.study for part in parts),
        question="",
        variants=tuple(v for part in parts for v in part.variants),
        metrics=_united(part.metrics for part in parts),
        targets=_united(part.targets for part in parts),
        guards=tuple(dict.fromkeys(guard for part in parts for guard in part.guards)),
        runs=tuple(run for part in parts for run in part.runs),
        curves=_united(part.curves for part in parts),
        events=_united(part.events for part in parts),
        codes=_united(part.codes for part in parts),
        notes=(
            *dict.fromkeys(note for part in parts for note in part.notes),
            *(note for other in others for note in _declared_otherwise(first, other)),
        ),
        logged=tuple(sorted({key for part in parts for key in part.logged})),
    )


def _united(parts: Iterable[Mapping[K, V]]) -> dict[K, V]:
    """Return what any of them holds, in their order; of one key the first counts."""
    found: dict[K, V] = {}
    for part in parts:
        for key in part:
            found.setdefault(key, part[key])
    return found


def _declared_otherwise(first: StudyData, other: StudyData) -> Iterator[str]:
    for key in first.declared_keys():
        metrics = first.metrics.get(key), other.metrics.get(key)
        targets = first.targets.get(key), other.targets.get(key)
        if any(two is not None and one != two for one, two in (metrics, targets)):
            yield f"{other.study} declares {key} otherwise; here it is judged as in {first.study}"


_READ = tuple(dict.fromkeys([*silence.SILENCE_READS, *trivial.TRIVIAL_READS, *causes.READS]))
"""Metric keys and patterns that verdicts and causes need."""


def _needed(logged: Sequence[str], declared: Sequence[str], keys: Collection[str]) -> list[str]:
    if not declared:
        return list(logged)  # the comparison chooses among all that there is
    exact = {*declared, *keys}
    globs = [*_READ, *keys]
    return [k for k in logged if k in exact or any(fnmatch.fnmatchcase(k, g) for g in globs)]


MAX_KEYS = 500
"""Metrics that are read of each run: nobody looks through more, and each takes a millisecond."""


def _bounded(wanted: Sequence[str], first: Collection[str]) -> Sequence[str]:
    """Return as many of the keys as are read: those asked for before those that verdicts need."""
    if len(wanted) <= MAX_KEYS:
        return wanted
    exact, globs = set(first), [key for key in first if any(c in key for c in "*?[")]
    ranks = {key: _rank(key, exact, globs) for key in wanted}
    kept = set(sorted(wanted, key=lambda key: ranks[key])[:MAX_KEYS])
    return [key for key in wanted if key in kept]


def _rank(key: str, exact: Collection[str], globs: Sequence[str]) -> int:
    if key in exact or any(fnmatch.fnmatchcase(key, glob) for glob in globs):
        return 0
    return 1 + (not any(fnmatch.fnmatchcase(key, glob) for glob in _READ))


def _left_out(read: int, wanted: int) -> str:
    return (
        f"{read} of {wanted} metrics are read; name others with `ablate compare --metric PATTERN`, "
        "or take all with `ablate export`"
    )


def _baseline(
    plan: Plan, chosen: tuple[Variant, ...], named: Sequence[str], wished: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return the baseline's name, with a note when it is not the study's."""
    known = [v.name for v in chosen]
    if wished is not None:
        named_variants(plan.study, chosen, [wished])
        return wished, ()
    if not known:
        raise NotFoundError(
            f"the study '{plan.study}' has no run yet",
            hint=f"run: ablate import SOURCE --study {plan.study}",
        )
    if plan.baseline.name in known:
        return plan.baseline.name, ()
    first = named[0]
    return first, (
        f"compared with {first}, the first named; the study's baseline {plan.baseline.name} "
        "is not among them",
    )


def _codes(store: Store, runs: Sequence[Run]) -> dict[str, tuple[Code, ...]]:
    # A registered trainer has a version in the identity; its code says nothing more.
    own = [run.id for run in runs if ":" in run.trainer]
    found = store.codes(own) if own else {}
    return {run_id: tuple(code for _, code in attempts) for run_id, attempts in found.items()}


def _events(store: Store, ids: Sequence[str]) -> dict[str, tuple[Event, ...]]:
    grouped: dict[str, list[Event]] = {run_id: [] for run_id in ids}
    for run_id, event in store.events(ids):
        grouped[run_id].append(event)
    return {run_id: tuple(events) for run_id, events in grouped.items()}
