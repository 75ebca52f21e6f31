"""Spec -> plan: phases and factor levels become variants, each resolved and identified. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ablate.designs import DESIGNS
from ablate.domain import Config, Json, Origin, Plan, Variant
from ablate.errors import StudyFileError, UsageError, did_you_mean
from ablate.identity import identity
from ablate.planning.spec import FactorSpec, PhaseSpec, Start, StudySpec
from ablate.protocol import ConfigError, Trainer

IMPLICIT_PHASE = "base"
"""The phase of a study that has factors alone: its base config as it stands."""
MAX_RUNS = 10_000

_Path = tuple[str | int, ...]


class Places(Protocol):
    """Makes an error that points at a key of the study file."""

    def error(
        self, message: str, path: _Path = (), *, at_value: bool = False, hint: str | None = None
    ) -> StudyFileError:
        """Return the error."""
        ...


@dataclass(frozen=True, slots=True)
class _Draft:
    """A variant before its config is resolved."""

    name: str
    settings: Mapping[str, Json]
    origins: Mapping[str, _Path]
    """Dotted key -> where in the study file its value was set."""
    factors: Mapping[str, str]
    is_phase: bool
    start: Start | None = None
    start_path: _Path = ()
    """Where in the study file its start was set."""


def make_plan(spec: StudySpec, trainer: Trainer, places: Places) -> Plan:
    """Return what the study wants.

    Args:
        spec: The checked study.
        trainer: The description of its trainer.
        places: Where errors point to.

    Raises:
        StudyFileError: For an unknown parent or design, a cycle, two baselines, a gate that judges
            nothing, a start that no checkpoint can serve, or a config that the trainer refuses; it
            points at the key.
    """
    phases = spec.phases or {IMPLICIT_PHASE: PhaseSpec(baseline=True)}
    baseline = _baseline_name(phases, places)
    drafts = [_draft_phase(spec, phases, name, places) for name in phases]
    drafts += _draft_design(spec, drafts, baseline, places)
    _refuse_too_many(spec, len(drafts), places)
    made: dict[str, Variant] = {}
    for draft in _parents_first(drafts, places):
        made[draft.name] = _resolve(draft, spec, trainer, places, made)
    variants = _distinct([made[draft.name] for draft in drafts], baseline)
    _refuse_idle_gates(spec, variants, places)
    return Plan(
        study=spec.study,
        question=spec.question,
        trainer=spec.trainer,
        trainer_version=trainer.version,
        spec=spec.to_json(),
        variants=variants,
        seeds=spec.seed_list,
    )


def _baseline_name(phases: Mapping[str, PhaseSpec], places: Places) -> str:
    marked = [name for name, phase in phases.items() if phase.baseline]
    if len(marked) > 1:
        raise places.error(
            f"'{marked[1]}' is a second baseline beside '{marked[0]}'",
            ("phases", marked[1], "baseline"),
            hint="a study has one baseline; choose another per comparison with --baseline",
        )
    return marked[0] if marked else next(iter(phases))


def _draft_phase(
    spec: StudySpec, phases: Mapping[str, PhaseSpec], name: str, places: Places
) -> _Draft:
    settings: dict[str, Json] = dict(spec.base)
    origins: dict[str, _Path] = {key: ("base", key) for key in spec.base}
    start, start_path = None, ()
    for ancestor in _lineage(phases, name, places):
        for key, value in phases[ancestor].set.items():
            settings[key] = value
            origins[key] = ("phases", ancestor, "set", key)
        if phases[ancestor].start:
            start, start_path = phases[ancestor].start, ("phases", ancestor, "start_at")
    return _Draft(name, settings, origins, {}, True, start, start_path)


def _lineage(phases: Mapping[str, PhaseSpec], name: str, places: Places) -> list[str]:
    """Return the phase and its ancestors, the oldest first."""
    line = [name]
    while (parent := phases[line[-1]].parent) is not None:
        path = ("phases", line[-1], "from")
        if parent not in phases:
            raise places.error(
                f"there is no phase '{parent}'",
                path,
                at_value=True,
                hint=did_you_mean(parent, phases),
            )
        if parent in line:
            circle = " from ".join([*line, parent])
            raise places.error(f"phases go in a circle: {circle}", path, at_value=True)
        line.append(parent)
    return line[::-1]


def _draft_design(
    spec: StudySpec, phases: list[_Draft], baseline: str, places: Places
) -> list[_Draft]:
    if spec.design.kind not in DESIGNS:
        raise places.error(
            f"there is no design '{spec.design.kind}'",
            ("design", "kind"),
            at_value=True,
            hint=did_you_mean(spec.design.kind, DESIGNS),
        )
    start = spec.design.parent or baseline
    parents = {draft.name: draft for draft in phases}
    if start not in parents:
        raise places.error(
            f"there is no phase '{start}'",
            ("design", "from"),
            at_value=True,
            hint=did_you_mean(start, parents),
        )
    count = math.prod(len(f.levels) for f in spec.factors.values()) if spec.factors else 0
    if spec.design.kind == "grid":
        _refuse_too_many(spec, count, places)
    labels = {name: list(factor.settings()) for name, factor in spec.factors.items()}
    combinations = DESIGNS[spec.design.kind](labels)
    return [_draft_levels(parents[start], spec.factors, chosen) for chosen in combinations]


def _draft_levels(
    parent: _Draft, factors: Mapping[str, FactorSpec], chosen: Mapping[str, str]
) -> _Draft:
    settings = dict(parent.settings)
    origins = dict(parent.origins)
    for factor, label in chosen.items():
        for key, value in factors[factor].settings()[label].items():
            settings[key] = value
            named = isinstance(factors[factor].levels, dict)
            origins[key] = ("factors", factor, *(("levels", label, key) if named else ("key",)))
    name = ",".join(f"{factor}={label}" for factor, label in chosen.items())
    return _Draft(name, settings, origins, dict(chosen), False, parent.start, parent.start_path)


def _refuse_too_many(spec: StudySpec, variants: int, places: Places) -> None:
    count = variants * len(spec.seed_list)
    if count > MAX_RUNS:
        raise places.error(
            f"the study has {count:,} runs, more than {MAX_RUNS:,}",
            ("design",) if spec.factors else ("seeds",),
            hint="use fewer levels or seeds, or the design one_at_a_time",
        )


def _refuse_idle_gates(spec: StudySpec, variants: Sequence[Variant], places: Places) -> None:
    """Refuse gates at which nothing could ever be judged."""
    if spec.gates and not spec.targets:
        raise places.error(
            "gates judge targets, and the study has none", ("gates",), hint="add 'targets:'"
        )
    ends = [variant.config.get("steps") for variant in variants]
    known = [steps for steps in ends if isinstance(steps, int)]
    for index, gate in enumerate(spec.gate_rules):
        if len(known) == len(ends) and gate.step > max(known):
            raise places.error(
                f"no run reaches the gate at step {gate.step}; the longest has {max(known)} steps",
                ("gates", index),
            )


def _parents_first(drafts: Sequence[_Draft], places: Places) -> list[_Draft]:
    """Return the drafts so that each comes after the one from whose checkpoint it starts."""
    phases = {draft.name: draft for draft in drafts if draft.is_phase}
    return sorted(drafts, key=lambda draft: _depth(draft, phases, places))


def _depth(draft: _Draft, phases: Mapping[str, _Draft], places: Places) -> int:
    """Return how many checkpoints of others lie between a draft and a beginning."""
    line = [draft.name]
    while draft.start is not None:
        phase = draft.start.phase
        if phase not in phases:
            hint = did_you_mean(phase, phases)
            message = f"there is no phase '{phase}'"
            raise places.error(message, draft.start_path, at_value=True, hint=hint)
        if phase in line:
            circle = " at ".join([*line[line.index(phase) :], phase])
            message = f"phases start in a circle: {circle}"
            raise places.error(message, draft.start_path, at_value=True)
        line.append(phase)
        draft = phases[phase]
    return len(line)


def _resolve(
    draft: _Draft, spec: StudySpec, trainer: Trainer, places: Places, made: Mapping[str, Variant]
) -> Variant:
    try:
        config = trainer.resolve(draft.settings)
        origin = _origin(draft, config, places, made)
        digest = identity(
            config,
            trainer=spec.trainer,
            version=trainer.version,
            not_identity=trainer.not_identity,
            absent_means=trainer.absent_means,
            guards=spec.guard_rules,
            gates=spec.gate_rules,
            start_at=origin,
        )
    except ConfigError as error:
        path = draft.origins.get(error.key) or _nearest(draft, error.key)
        message = f"{error.key}: {error.message} (in '{draft.name}')"
        raise places.error(message, path, hint=error.hint) from error
    return Variant(
        name=draft.name,
        identity=digest,
        config=config,
        factors=draft.factors,
        is_phase=draft.is_phase,
        start_at=origin,
    )


def _origin(
    draft: _Draft, config: Config, places: Places, made: Mapping[str, Variant]
) -> Origin | None:
    """Return where a draft branches off, after checking that there can be such a checkpoint."""
    if draft.start is None:
        return None
    parent, step = made[draft.start.phase], draft.start.step
    own_end, end = config.get("steps"), parent.config.get("steps")
    begin = parent.start_at.step if parent.start_at else 0
    fault = None
    if isinstance(own_end, int) and step >= own_end:
        fault = f"'{draft.name}' ends at step {own_end} and cannot start at step {step}"
    elif isinstance(end, int) and step > end:
        fault = f"'{parent.name}' ends at step {end} and has no checkpoint at step {step}"
    elif step <= begin:
        fault = f"'{parent.name}' itself starts at step {begin}; start at a later one"
    if fault:
        raise places.error(fault, draft.start_path, at_value=True)
    return Origin(variant=parent.name, identity=parent.identity, step=step)


def _nearest(draft: _Draft, key: str) -> _Path:
    """Return the place of a setting above or below ``key``, else of the phase."""
    for set_key, path in draft.origins.items():
        if key.startswith(f"{set_key}.") or set_key.startswith(f"{key}."):
            return path
    return ("phases", draft.name)


def _distinct(variants: list[Variant], baseline: str) -> tuple[Variant, ...]:
    """Let a phase stand for the levels that equal it, so that no variant is there twice."""
    names = Counter(variant.name for variant in variants)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"two variants are named '{twice[0]}'; rename the phase or the factor")
    phases = {v.identity for v in variants if v.is_phase}
    levels: dict[str, dict[str, Json]] = {}
    for variant in variants:
        levels.setdefault(variant.identity, {}).update(variant.factors)
    return tuple(
        replace(v, factors=levels[v.identity], is_baseline=v.name == baseline) if v.is_phase else v
        for v in variants
        if v.is_phase or v.identity not in phases
    )
