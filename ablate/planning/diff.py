"""What re-creating a study would change. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.domain import Json, Longer, Plan, Variant
from ablate.identity import canonical_json, flatten, without_absent
from ablate.planning.longer import longer_variants

_RULES = (
    "question",
    "metrics",
    "targets",
    "references",
    "pairing",
    "gates",
    "guards",
    "budget",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanDiff:
    """A new plan against the stored one; every tuple holds ``variant`` or ``variant-sN`` labels."""

    added_runs: tuple[str, ...]
    unchanged_runs: int
    orphaned_runs: tuple[str, ...]
    """Runs that the new plan no longer wants; they are kept, but no longer claimed or compared."""
    renamed: tuple[str, ...]
    """``old -> new``: variants whose name changes and whose runs stay."""
    redefined: tuple[str, ...]
    """Variants whose name stays and whose config, or trainer, is another."""
    retuned: tuple[str, ...]
    """Variants that keep their identity and whose config changes all the same: how often it saves,
    or a config that an earlier version had stored wrong. Runs that never began take it."""
    longer: tuple[Longer, ...]
    """Variants among the redefined that are the same, trained for longer."""
    new_keys: Mapping[str, Json]
    """Config key -> value, where the redefined variants differ from what they were in keys alone
    that they did not have; empty where they differ in more."""
    is_own_trainer: bool
    """Whether the trainer is the user's own, whose module can say what an absent key means."""
    rules: tuple[str, ...]
    """Parts of the study that change without touching a run: targets, metrics, the question."""
    trainer: str | None
    """``version 1 -> version 2``, which makes every run a new one; None where it is the same."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        runs = self.added_runs or self.orphaned_runs or self.redefined
        return not (runs or self.renamed or self.retuned or self.rules)


def diff_plans(
    old: Plan | None, new: Plan, absent_means: Mapping[str, Json] | None = None
) -> PlanDiff:
    """Return what changes when ``new`` replaces ``old``.

    Args:
        old: As it is stored; None for a new study.
        new: As its file says it now.
        absent_means: Of the trainer: dotted key -> what its absence meant. A key that a newer
            trainer writes out with that value is no change.
    """
    known = {} if old is None else {v.name: v for v in old.variants}
    renames = _renames(known, new)
    before: set[tuple[str, str, int]] = set()
    if old is not None:
        before = {(renames.get(c.variant, c.variant), c.identity, c.seed) for c in old.cells}
    after = {(c.variant, c.identity, c.seed): f"{c.variant}-s{c.seed}" for c in new.cells}
    shown = {name: former for former, name in renames.items()}
    meant = absent_means or {}
    redefined = [
        v
        for v in new.variants
        if v.name in known and known[v.name].identity != v.identity and v.name not in shown
    ]
    return PlanDiff(
        added_runs=tuple(label for cell, label in after.items() if cell not in before),
        unchanged_runs=sum(cell in before for cell in after),
        orphaned_runs=tuple(
            f"{shown.get(variant, variant)}-s{seed}"
            for variant, digest, seed in sorted(before)
            if (variant, digest, seed) not in after
        ),
        renamed=tuple(f"{former} -> {name}" for former, name in renames.items()),
        redefined=tuple(v.name for v in redefined),
        retuned=tuple(
            v.name
            for v in new.variants
            if (former := known.get(shown.get(v.name, v.name))) is not None
            and former.identity == v.identity
            and _said(former, meant) != _said(v, meant)
        ),
        trainer=_new_version(old, new),
        longer=() if old is None else longer_variants(old, new),
        new_keys=_new_keys(known, redefined),
        is_own_trainer=":" in new.trainer,
        rules=() if old is None else tuple(_new_rules(old, new)),
    )


def _said(variant: Variant, meant: Mapping[str, Json]) -> str:
    return canonical_json(without_absent(variant.config, meant))


def _new_rules(old: Plan, new: Plan) -> Iterator[str]:
    yield from (p for p in _RULES if (old.spec.get(p) or None) != (new.spec.get(p) or None))
    if old.variants and new.variants and old.baseline.name != new.baseline.name:
        yield f"baseline {old.baseline.name} -> {new.baseline.name}"


def _new_keys(known: Mapping[str, Variant], redefined: Sequence[Variant]) -> dict[str, Json]:
    """Return the keys that all of these variants gained, with the value that they have in all."""
    gained: list[dict[str, Json]] = []
    for variant in redefined:
        before, after = flatten(known[variant.name].config), flatten(variant.config)
        kept = {key: value for key, value in after.items() if key in before}
        if canonical_json(kept) != canonical_json(before):
            return {}
        gained.append({key: value for key, value in after.items() if key not in before})
    first, *others = gained or [{}]
    return {
        key: value
        for key, value in first.items()
        if all(canonical_json(other.get(key)) == canonical_json(value) for other in others)
    }


def _new_version(old: Plan | None, new: Plan) -> str | None:
    if old is None or old.trainer_version == new.trainer_version:
        return None
    return " -> ".join(
        version if " " in version else f"version {version}"
        for version in (old.trainer_version, new.trainer_version)
    )


def _renames(known: Mapping[str, Variant], new: Plan) -> dict[str, str]:
    """Return old name -> new name of variants that are the same under another name.

    A variant and its copies are the same; they are taken in their order.
    """
    kept = {v.name for v in new.variants if v.name in known}
    gone: dict[str, list[str]] = {}
    for name in (name for name in known if name not in kept):
        gone.setdefault(known[name].identity, []).append(name)
    found: dict[str, str] = {}
    for variant in (v for v in new.variants if v.name not in known):
        if former := gone.get(variant.identity):
            found[former.pop(0)] = variant.name
    return found
