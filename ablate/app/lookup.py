"""Finds the study and the runs that a user means by names, labels and prefixes of ids."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ablate.domain import Run, Study
from ablate.errors import NotFoundError, UsageError, did_you_mean
from ablate.planning.lookup import named_variants
from ablate.store.base import Store


def study_of(store: Store, variants: Sequence[str], name: str | None) -> Study:
    """Return the study in which the variants are: the named one, else the newest that has all.

    Raises:
        NotFoundError: If there is no such study, or a variant is in none; with the closest name.
    """
    if name is not None:
        study = store.study(name)
        named_variants(study.name, study.plan.variants, variants)
        return study
    studies = store.studies()
    if not studies:
        raise NotFoundError("there is no study yet", hint="run: ablate study create scale-fix")
    for study in reversed(studies):
        if set(variants) <= {v.name for v in study.plan.variants}:
            return study
    known = {v.name for study in studies for v in study.plan.variants}
    for variant in variants:
        if variant not in known:
            raise NotFoundError(
                f"no study has a variant '{variant}'", hint=did_you_mean(variant, known)
            )
    raise NotFoundError(
        f"no study has all of: {', '.join(variants)}", hint="name one with --study NAME"
    )


def places_of(store: Store, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return (study, variant) for names that are written with their study, as ``rate/base``.

    None where a study has all of them as they are, or none is written so.

    Raises:
        NotFoundError: For a study or a variant that does not exist, with the closest name.
        UsageError: If some are written with their study and others are not.
    """
    variants = {study.name: study.plan.variants for study in store.studies()}
    known = [{variant.name for variant in of_study} for of_study in variants.values()]
    splits = [_split(name, variants) for name in names]
    if any(set(names) <= of_study for of_study in known) or not any(splits):
        return ()
    places: list[tuple[str, str]] = []
    for name, split in zip(names, splits, strict=True):
        if split is None:
            if "/" in name:
                store.study(name.rpartition("/")[0])  # says which study was meant
            written = next(f"{study}/{variant}" for study, variant in filter(None, splits))
            raise UsageError(
                f"'{name}' is written without its study, beside {written}",
                hint="write STUDY/PHASE for each",
            )
        named_variants(split[0], variants[split[0]], [split[1]])
        places.append(split)
    return tuple(places)


def _split(name: str, studies: Collection[str]) -> tuple[str, str] | None:
    """Return the study and the rest of a name that begins with a study; both may have slashes."""
    found = [study for study in studies if name.startswith(f"{study}/")]
    study = max(found, key=len, default="")
    return (study, name.removeprefix(f"{study}/")) if study else None


def find_runs(store: Store, names: Sequence[str], study: str | None = None) -> tuple[Run, ...]:
    """Return the runs that are meant: run ids or their prefixes, labels, or variant names.

    A label or variant that several studies have is written with its study, ``rate/base-s0``.

    Raises:
        NotFoundError: For a name that is none of them.
        UsageError: For a label or variant of several studies.
    """
    return find_among(store, names, store.runs(study))


def find_among(store: Store, names: Sequence[str], runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return those of the runs that are meant; see `find_runs`."""
    found: dict[str, Run] = {}
    for name in names:
        named = _named(name, runs) or [_by_id(store, name, runs)]
        found |= {run.id: run for run in named}
    return tuple(found.values())


def _named(name: str, runs: Sequence[Run]) -> list[Run]:
    of_study, slash, rest = name.rpartition("/")
    wanted = rest if slash else name
    named = [
        run
        for run in runs
        if wanted in (run.variant, run.label) and (not slash or run.study == of_study)
    ]
    ids = {run.study: {r.id for r in named if r.study == run.study} for run in named}
    if len(set(map(frozenset, ids.values()))) > 1:  # studies that share a run mean the same one
        written = ", ".join(f"{study}/{wanted}" for study in ids)
        raise UsageError(f"'{name}' is in {len(ids)} studies", hint=f"write one of: {written}")
    return named


def find_run(store: Store, name: str) -> Run:
    """Return the one run that is meant.

    Raises:
        NotFoundError: If there is none.
        UsageError: If the name stands for several; it lists them.
    """
    run, *others = find_runs(store, [name])
    if others:
        labels = ", ".join(dict.fromkeys(r.label for r in (run, *others)))
        raise UsageError(f"'{name}' names {len(others) + 1} runs", hint=f"write one of: {labels}")
    return run


def _by_id(store: Store, name: str, runs: Sequence[Run]) -> Run:
    try:
        return store.run(name)
    except NotFoundError as error:
        if any(run.id.startswith(name) for run in runs):  # several begin so: the error names them
            raise
        known = [name for run in runs for name in (run.variant, run.label)]
        message = f"there is no run or variant '{name}'"
        raise NotFoundError(message, hint=did_you_mean(name, known) or error.hint) from error
