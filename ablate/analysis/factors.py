"""Which factors the variants of a study differ in, and at which levels each of them stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ablate.domain import Plan, Variant
from ablate.errors import UsageError, did_you_mean
from ablate.identity import canonical_json
from ablate.planning.configs import trained_with
from ablate.planning.study_file.spec import level_label

ABSENT = "unset"
"""The level of a variant whose config lacks the key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FactorTable:
    """The variants as combinations of levels."""

    source: Literal["design", "declared", "configs"]
    """Whether the study's design combined the levels, its file says which config keys or which
    variants they are, or the configs were asked in what they differ."""
    levels: Mapping[str, tuple[str, ...]]
    """Factor -> its levels in order; two or more."""
    of: Mapping[str, Mapping[str, str]]
    """Variant -> factor -> level; variants that are no combination are absent."""
    left_out: tuple[str, ...] = ()
    """The variants that are no combination."""
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Factor -> the config keys that it stands for, where several always change together."""
    held: Mapping[str, str] = field(default_factory=dict[str, str])
    """Factors that are declared and have one level only."""

    @property
    def combinations(self) -> int:
        """How many combinations of all levels there are."""
        count = 1
        for levels in self.levels.values():
            count *= len(levels)
        return count


def factors_of(plan: Plan, variants: Sequence[Variant]) -> FactorTable:
    """Return the factors of a study.

    Args:
        plan: Of the study: what its file declares, and which phase its design starts from.
        variants: Those to look at.

    Raises:
        UsageError: If the study file names a config key or a phase that no imported run has.
    """
    declared: Mapping[str, Any] = plan.spec.get("factors") or {}
    imported = {cell.variant for cell in plan.imported}
    if any(variant.factors for variant in variants):
        return _of_design(plan, variants, declared)
    if declared and imported:
        return _declared([v for v in variants if v.name in imported], declared, variants)
    return _of_configs(variants)


def declared_factors(plan: Plan, variants: Sequence[Variant]) -> FactorTable | None:
    """Return the factors that a study declares, None where it declares none that can be read.

    What its file says wrong is told by `factors_of`: a comparison needs no factors.
    """
    try:
        table = factors_of(plan, variants)
    except UsageError:
        return None
    return None if table.source == "configs" else table


def _of_design(plan: Plan, variants: Sequence[Variant], declared: Mapping[str, Any]) -> FactorTable:
    """Return the levels that a design set; the others are as in the phase it starts from."""
    names = list(declared) or list(dict.fromkeys(n for v in variants for n in v.factors))
    parent = _parent(plan)
    start = _start_levels(parent, names, declared) if parent else {}
    is_partial = any(v.factors and set(v.factors) != set(names) for v in plan.variants)
    of: dict[str, dict[str, str]] = {}
    for variant in variants:
        is_start = parent is not None and variant.name == parent.name and is_partial
        levels = start | {name: level_label(label) for name, label in variant.factors.items()}
        if (variant.factors or is_start) and set(levels) == set(names):
            of[variant.name] = levels
    order = {name: [*_labels(declared.get(name)), start.get(name, "")] for name in names}
    return _table("design", order, of, variants)


def _parent(plan: Plan) -> Variant | None:
    named = (plan.spec.get("design") or {}).get("from")
    return next((v for v in plan.variants if (v.name == named if named else v.is_baseline)), None)


def _start_levels(
    parent: Variant, names: Sequence[str], declared: Mapping[str, Any]
) -> dict[str, str]:
    """Return the level of each factor in the phase that a design starts from."""
    found: dict[str, str] = {}
    flat = trained_with(parent.config)
    for name in names:
        key = (declared.get(name) or {}).get("key")
        if name in parent.factors:
            found[name] = level_label(parent.factors[name])
        elif key in flat:
            found[name] = level_label(flat[key])
        else:
            found[name] = f"as {parent.name}"
    return found


def _labels(factor: Mapping[str, Any] | None) -> list[str]:
    return [level_label(level) for level in (factor or {}).get("levels") or ()]


def _declared(
    imported: Sequence[Variant], declared: Mapping[str, Any], variants: Sequence[Variant]
) -> FactorTable:
    """Return the levels of imported runs: as the study file maps them, else from their configs."""
    of: dict[str, dict[str, str]] = {variant.name: {} for variant in imported}
    configs = {variant.name: trained_with(variant.config) for variant in imported}
    for name, factor in declared.items():
        mapped: Mapping[str, Any] = factor.get("phases") or {}
        key = factor.get("key")
        _refuse_unknown(name, key, mapped, configs)
        for variant in imported:
            value = mapped.get(variant.name, configs[variant.name].get(key, _NONE))
            if value is not _NONE:
                of[variant.name][name] = level_label(value)
    whole = {name: levels for name, levels in of.items() if len(levels) == len(declared)}
    order = {
        name: [*_labels(factor), *_sorted(levels[name] for levels in whole.values())]
        for name, factor in declared.items()
    }
    return _table("declared", order, whole, variants)


_NONE = object()


def _refuse_unknown(
    name: str,
    key: str | None,
    mapped: Mapping[str, Any],
    configs: Mapping[str, Mapping[str, Any]],
) -> None:
    """Refuse a factor that no imported run has a level of.

    Raises:
        UsageError: With the closest name.
    """
    known = {each for config in configs.values() for each in config}
    if key is not None and key not in known:
        raise UsageError(
            f"the factor '{name}' reads the config key '{key}', which no imported run has",
            hint=did_you_mean(key, known)
            or "import the runs with their configs: --config FILE, or --map COLUMN=config",
        )
    for phase in mapped:
        if phase not in configs:
            raise UsageError(
                f"the factor '{name}' has a level of '{phase}', which is no imported phase",
                hint=did_you_mean(phase, configs),
            )


def _of_configs(variants: Sequence[Variant]) -> FactorTable:
    """Return the config keys in which variants differ; keys that change together are one factor."""
    configs = {variant.name: trained_with(variant.config) for variant in variants}
    keys = dict.fromkeys(key for config in configs.values() for key in config)
    groups: dict[tuple[int, ...], list[str]] = {}
    for key in keys:
        texts = [canonical_json(c[key]) if key in c else "" for c in configs.values()]
        if len(set(texts)) > 1:
            groups.setdefault(tuple(texts.index(text) for text in texts), []).append(key)
    of: dict[str, dict[str, str]] = {name: {} for name in configs}
    for first, *_ in groups.values():
        for name, config in configs.items():
            of[name][first] = level_label(config[first]) if first in config else ABSENT
    order = {name: _sorted(levels[name] for levels in of.values()) for name, *_ in groups.values()}
    kept = {first: (first, *rest) for first, *rest in groups.values() if rest}
    return _table("configs", order, of if groups else {}, variants, kept)


def _table(
    source: Literal["design", "declared", "configs"],
    order: Mapping[str, Iterable[str]],
    of: Mapping[str, Mapping[str, str]],
    variants: Sequence[Variant],
    keys: Mapping[str, tuple[str, ...]] | None = None,
) -> FactorTable:
    """Return a table without the factors that have one level only."""
    seen = {name: {levels[name] for levels in of.values()} for name in order}
    levels = {
        name: tuple(label for label in dict.fromkeys(labels) if label in seen[name])
        for name, labels in order.items()
    }
    varied = {name for name, labels in levels.items() if len(labels) > 1}
    return FactorTable(
        source=source,
        levels={name: labels for name, labels in levels.items() if name in varied},
        of={
            variant: {name: label for name, label in found.items() if name in varied}
            for variant, found in of.items()
        },
        left_out=tuple(v.name for v in variants if v.name not in of),
        keys=keys or {},
        held={name: labels[0] for name, labels in levels.items() if len(labels) == 1},
    )


def _sorted(labels: Iterable[str]) -> list[str]:
    """Return labels once each: numbers and truth values in order, others as they come."""
    found = list(dict.fromkeys(labels))
    try:
        return sorted(found, key=_rank)
    except ValueError:
        return found


def _rank(label: str) -> float:
    known = {ABSENT: float("-inf"), "null": float("-inf"), "false": 0.0, "true": 1.0}
    return known[label] if label in known else float(label)
