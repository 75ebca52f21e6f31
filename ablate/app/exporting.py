"""Which points of a study are exported, and into what; in pieces, whatever the study's size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ablate.domain import Run
from ablate.planning.lookup import named_metrics, named_variants
from ablate.store.base import Store
from ablate.store.curves import Curve


@dataclass(frozen=True, slots=True)
class PointBlock:
    """Points of one metric of one run as one variant sees it."""

    run: Run
    curve: Curve


def point_blocks(
    store: Store, study: str, *, variants: Sequence[str] = (), metrics: Sequence[str] = ()
) -> Iterator[PointBlock]:
    """Yield the points of a study: by run in the order of its plan, then by key, then by step.

    Args:
        store: Where truth lives; nothing is written.
        study: Its name.
        variants: Names; none for all.
        metrics: Keys or patterns such as ``valid/*``; none for all.

    Raises:
        NotFoundError: For a study, variant or metric that does not exist, with the closest name.
    """
    runs = wanted_runs(store, study, variants)
    ids = list(dict.fromkeys(run.id for run in runs))
    keys = matching_keys(store.metric_keys(ids), metrics, study)
    by_id: dict[str, list[Run]] = {}
    for run in runs:
        by_id.setdefault(run.id, []).append(run)
    return _blocks(store, by_id, keys)


def _blocks(store: Store, runs: dict[str, list[Run]], keys: Sequence[str]) -> Iterator[PointBlock]:
    for piece in store.stream(list(runs), keys):
        for run in runs[piece.run_id]:
            yield PointBlock(run=run, curve=piece)


def wanted_runs(store: Store, study: str, variants: Sequence[str]) -> list[Run]:
    """Return the runs of these variants, of all when none is named.

    Raises:
        NotFoundError: For a study or variant that does not exist, with the closest name.
    """
    named_variants(study, store.study(study).plan.variants, variants)
    return [run for run in store.runs(study) if not variants or run.variant in variants]


def matching_keys(logged: Sequence[str], wanted: Sequence[str], study: str) -> tuple[str, ...]:
    """Return the logged keys that are wanted, sorted; all when nothing is named.

    Raises:
        NotFoundError: For a key or pattern that nothing matches, with the closest name.
    """
    return tuple(sorted(named_metrics(study, logged, wanted) if wanted else logged))
