"""Small, valid values for tests, each field of which can be given."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ablate.domain import Checkpoint, Claim, Event, Plan, Variant
from ablate.spool.batch import SpoolBatch, StepValues
from ablate.store.base import ClaimFilter, Store


def make_variant(name: str, **changes: Any) -> Variant:
    """Return a variant whose identity follows from its config, which follows from its name."""
    config = changes.pop("config", {"name": name, "losses": {"l1": {"weight": 1.0}}})
    identity = hashlib.sha256(repr(config).encode()).hexdigest()
    fields: dict[str, Any] = {"identity": identity, "factors": {}, "is_phase": True}
    return Variant(name=name, config=config, **fields | changes)


def make_plan(
    study: str = "scale-fix",
    variants: Sequence[str | Variant] = ("phase1", "phase2a"),
    seeds: Sequence[int] = (0, 1),
    **changes: Any,
) -> Plan:
    """Return a plan; of variants given by name the first is the baseline."""
    made = tuple(
        make_variant(variant, is_baseline=position == 0) if isinstance(variant, str) else variant
        for position, variant in enumerate(variants)
    )
    fields: dict[str, Any] = {
        "question": "Which change helps?",
        "trainer": "bundled",
        "trainer_version": "1",
        "spec": {"study": study},
    }
    return Plan(study=study, variants=made, seeds=tuple(seeds), **fields | changes)


def make_checkpoint(step: int) -> Checkpoint:
    """Return a checkpoint of a step."""
    return Checkpoint(
        step=step,
        path=f"checkpoints/{step}.pt",
        sha256=f"{step:064x}",
        size_bytes=1000 + step,
        note_sha256=f"{step:064x}",
    )


def logs(
    steps: Sequence[int], values: Mapping[str, float], *, time: float = 1.5
) -> tuple[StepValues, ...]:
    """Return logs of the same values at each step, a second apart."""
    keys, numbers = tuple(values), tuple(values.values())
    return tuple(StepValues(step, time + step, keys, numbers) for step in steps)


def must_claim(store: Store, runner: str = "runner-1") -> Claim:
    """Claim the next run, which has to be there."""
    claim = store.claim(runner, ClaimFilter())
    assert claim is not None, "no run is queued"
    return claim


def feed(store: Store, claim: Claim, **content: Any) -> SpoolBatch:
    """Ingest one batch behind what is stored; return it.

    Args:
        store: Where to.
        claim: Who writes.
        content: Fields of `SpoolBatch`; ``start`` is short for where the attempt starts.
    """
    if "start" in content:
        content |= {"has_started": True, "start_step": content.pop("start")}
    attempt = store.attempts(claim.run.id)[claim.attempt - 1]
    batch = SpoolBatch(
        start_offset=attempt.spool_offset, end_offset=attempt.spool_offset + 100, **content
    )
    assert store.ingest(claim, batch) == batch.end_offset
    return batch


def make_event(name: str, step: int, **data: Any) -> Event:
    """Return an event."""
    return Event(name, step, data, 1.5 + step)
