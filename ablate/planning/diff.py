"""What re-creating a study would change. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.domain import Plan
from ablate.identity import canonical_json

_RULES = ("question", "metrics", "targets", "gates", "guards", "budget")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanDiff:
    """A new plan against the stored one; every tuple holds ``variant`` or ``variant-sN`` labels."""

    added_runs: tuple[str, ...]
    unchanged_runs: int
    orphaned_runs: tuple[str, ...]
    """Runs that the new plan no longer wants; they are kept, but no longer claimed or compared."""
    redefined: tuple[str, ...]
    """Variants whose name stays and whose config is another."""
    retuned: tuple[str, ...]
    """Variants that keep their identity and whose config changes all the same: how often it saves,
    or a config that an earlier version had stored wrong. Runs that never began take it."""
    rules: tuple[str, ...]
    """Parts of the study that change without touching a run: targets, metrics, the question."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        changes = (self.added_runs, self.orphaned_runs, self.redefined, self.retuned, self.rules)
        return not any(changes)


def diff_plans(old: Plan | None, new: Plan) -> PlanDiff:
    """Return what changes when ``new`` replaces ``old`` (None: the study is new)."""
    before = {} if old is None else {(c.variant, c.identity, c.seed) for c in old.cells}
    after = {(c.variant, c.identity, c.seed): f"{c.variant}-s{c.seed}" for c in new.cells}
    known = {} if old is None else {v.name: v for v in old.variants}
    old_identity = {name: variant.identity for name, variant in known.items()}
    return PlanDiff(
        added_runs=tuple(label for cell, label in after.items() if cell not in before),
        unchanged_runs=sum(cell in before for cell in after),
        orphaned_runs=tuple(
            f"{variant}-s{seed}"
            for variant, digest, seed in sorted(before)
            if (variant, digest, seed) not in after
        ),
        redefined=tuple(
            v.name for v in new.variants if old_identity.get(v.name, v.identity) != v.identity
        ),
        retuned=tuple(
            v.name
            for v in new.variants
            if old_identity.get(v.name) == v.identity
            and canonical_json(known[v.name].config) != canonical_json(v.config)
        ),
        rules=()
        if old is None
        else tuple(part for part in _RULES if old.spec.get(part) != new.spec.get(part)),
    )
