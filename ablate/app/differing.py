"""In what two variants, or two runs, differ: config, code, and where their curves part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.analysis.curves.parting import Parting, parting_of
from ablate.analysis.curves.stored_curves import StoredCurves
from ablate.app.lookup import find_runs
from ablate.domain import IMPORT_NOTE, Json, Run
from ablate.errors import UsageError
from ablate.identity import canonical_json, flatten
from ablate.keys import PERF, SYSTEM
from ablate.provenance import changes
from ablate.store.base import Store

_BESIDE = (SYSTEM.prefix(), PERF.prefix())
"""What is measured of the machine, and differs whoever trains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveDifference:
    """One metric of two runs of one seed, of the seeds the one that parts first."""

    key: str
    seed: int
    parting: Parting


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """In what the second of two things differs from the first."""

    first: str
    second: str
    seeds: tuple[int, ...]
    """Those at which runs are held against each other; empty where curves are not compared."""
    config: tuple[tuple[str, Json, Json], ...]
    """(key, value of the first, value of the second); None where a config has no such key."""
    code: tuple[str, ...] | None
    """Files whose code differs, or declared versions; None where the code of one is not known."""
    curves: tuple[CurveDifference, ...]
    """Of the metrics that both have logged, by the step at which they part."""
    only: tuple[str, ...]
    """Metrics that one of them alone has logged."""

    @property
    def parted(self) -> tuple[CurveDifference, ...]:
        """The curves that differ in any bit."""
        return tuple(curve for curve in self.curves if curve.parting.first is not None)


def difference(store: Store, first: str, second: str) -> Difference:
    """Return in what the second of two variants or runs differs from the first.

    Runs are held against each other at the seeds that both have; two single runs at any.

    Args:
        store: Where truth lives; nothing is written.
        first: A variant, a label, a run id or its prefix; with its study where several have it.
        second: The same.

    Raises:
        NotFoundError: If there is no such run, with the closest name.
        UsageError: If a name is in several studies, or both mean the same runs.
    """
    one, other = find_runs(store, [first]), find_runs(store, [second])
    if {run.id for run in one} == {run.id for run in other}:
        raise UsageError(
            f"'{first}' and '{second}' are the same runs", hint="name two variants or two runs"
        )
    pairs = _pairs(one, other)
    logged = store.keys_by_run([run.id for pair in pairs for run in pair])
    only = {key for a, b in pairs for key in set(logged.get(a.id, ())) ^ set(logged.get(b.id, ()))}
    return Difference(
        first=first,
        second=second,
        seeds=tuple(run.seed for run, _ in pairs),
        config=_config(one[0], other[0]),
        code=_code(store, one, other),
        curves=_curves(store, pairs, logged),
        only=tuple(sorted(only)),
    )


def _pairs(one: Sequence[Run], other: Sequence[Run]) -> list[tuple[Run, Run]]:
    if len(one) == len(other) == 1:
        return [(one[0], other[0])]
    theirs = {run.seed: run for run in other}
    return [(run, theirs[run.seed]) for run in one if run.seed in theirs]


def _config(one: Run, other: Run) -> tuple[tuple[str, Json, Json], ...]:
    # Where an import came from is in no config that trained anything.
    own, theirs = (
        {k: v for k, v in flatten(run.config).items() if k.partition(".")[0] != IMPORT_NOTE}
        for run in (one, other)
    )
    return tuple(
        (key, own.get(key), theirs.get(key))
        for key in dict.fromkeys([*own, *theirs])
        if canonical_json(own.get(key)) != canonical_json(theirs.get(key))
    )


def _code(store: Store, one: Sequence[Run], other: Sequence[Run]) -> tuple[str, ...] | None:
    codes = store.codes([run.id for run in (*one, *other)])
    own, theirs = (
        [code for run in runs for _, code in codes.get(run.id, ())] for runs in (one, other)
    )
    if not own or not theirs:
        return None
    return tuple(sorted({what for a in own for b in theirs for what in changes(a, b)}))


def _curves(
    store: Store, pairs: Sequence[tuple[Run, Run]], logged: Mapping[str, tuple[str, ...]]
) -> tuple[CurveDifference, ...]:
    keys = sorted({k for of_run in logged.values() for k in of_run if not k.startswith(_BESIDE)})
    curves = StoredCurves(store, [run for pair in pairs for run in pair], logged)
    found: list[CurveDifference] = []
    for key in keys:
        seen = [
            CurveDifference(key=key, seed=a.seed, parting=parting)
            for a, b in pairs
            if (one := curves.get((a.id, key)))
            and (other := curves.get((b.id, key)))
            and (parting := parting_of(one, other))
        ]
        if seen:
            found.append(min(seen, key=_place))
    return tuple(sorted(found, key=_place))


def _place(curve: CurveDifference) -> tuple[bool, int, int]:
    """Return what sorts by the first step that differs; curves that never do come last."""
    first = curve.parting.first
    return first is None, first or 0, curve.seed
