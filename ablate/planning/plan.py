"""Spec -> plan: phases and factor levels become variants, each resolved and identified. Pure."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ablate.domain import Config, Json, Origin, Plan, Run, Study, Variant
from ablate.errors import NotFoundError, SettingError, StudyFileError, UsageError, did_you_mean
from ablate.identity import identity
from ablate.keys import STEPS, steps_of
from ablate.planning.copies import copies_of_baseline
from ablate.planning.designs import DESIGNS
from ablate.planning.designs.base import Design, OptionError
from ablate.planning.references import more_seeds, references_of
from ablate.planning.study_file.dotted import DottedSettings, Place, leaves
from ablate.planning.study_file.spec import FactorSpec, PhaseSpec, Start, StudySpec
from ablate.protocol import ConfigError, Trainer

IMPLICIT_PHASE = "base"
"""The phase of a study that has factors alone: its base config as it stands."""
MAX_RUNS = 10_000


class Places(Protocol):
    """Makes an error that points at a key of the study file."""

    def error(
        self, message: str, path: Place = (), *, at_value: bool = False, hint: str | None = None
    ) -> StudyFileError:
        """Return the error."""
        ...


@dataclass(frozen=True, slots=True)
class _Draft:
    """A variant before its config is resolved."""

    name: str
    settings: DottedSettings
    factors: Mapping[str, str]
    is_phase: bool
    start: Start | None = None
    start_path: Place = ()
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
    _check_comparison(spec, phases, places)
    baseline = _baseline_name(phases, places)
    drafts = [_draft_phase(spec, phases, name, places) for name in phases]
    drafts += _draft_design(spec, drafts, baseline, places)
    _refuse_too_many(spec, len(drafts), places)
    spec = _without_idle_gates(spec, drafts, trainer, places)
    made: dict[str, Variant] = {}
    for draft in _parents_first(drafts, places):
        made[draft.name] = _resolve(draft, spec, trainer, places, made)
    variants = [made[draft.name] for draft in drafts]
    # A design that sets several factors at once has the cell to compare with among its own.
    if not spec.phases and _design_of(spec, places).sets_several:
        variants, baseline = _cells_alone(variants)
    stored, distinct = spec.to_json(), _distinct(variants, baseline)
    copies = copies_of_baseline(distinct, spec.aa, spec.seed_list)
    _refuse_twice([*distinct, *copies])
    return Plan(
        study=spec.study,
        question=spec.question,
        trainer=spec.trainer,
        trainer_version=trainer.version,
        spec=stored,
        variants=(*distinct, *copies),
        seeds=spec.seed_list,
        more_seeds=more_seeds(spec.seeds, references_of(stored, distinct, baseline), distinct),
    )


def imported_plan(spec: StudySpec, places: Places) -> Plan:
    """Return the plan of a study whose runs are imported; each import adds to it.

    Raises:
        StudyFileError: If gates have nothing to judge.
    """
    _refuse_gates_alone(spec, places)
    return Plan(
        study=spec.study,
        question=spec.question,
        trainer=spec.trainer,
        trainer_version="1",
        spec=spec.to_json(),
        variants=(),
        seeds=(),
    )


def _check_comparison(spec: StudySpec, phases: Mapping[str, PhaseSpec], places: Places) -> None:
    """Refuse a reference that is no phase, and a metric that could decide nothing."""
    for position, name in enumerate(spec.references or ()):
        if name not in phases:
            raise places.error(
                f"there is no phase '{name}'",
                ("references", position),
                at_value=True,
                hint=did_you_mean(name, phases),
            )
    for key, metric in spec.metrics.items():
        if metric.primary and metric.goal == "target" and key not in spec.targets:
            raise places.error(
                f"'{key}' is primary and aims at a target, and has none",
                ("metrics", key),
                hint="add it below 'targets:', or give it the goal min or max",
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
    settings = DottedSettings()
    start, start_path = None, ()
    _apply(settings, spec.base, ("base",), places)
    for ancestor in _lineage(phases, name, places):
        _apply(settings, phases[ancestor].set, ("phases", ancestor, "set"), places)
        if phases[ancestor].start:
            start, start_path = phases[ancestor].start, ("phases", ancestor, "start_at")
    return _Draft(name, settings, {}, True, start, start_path)


def _apply(
    settings: DottedSettings, layer: Mapping[str, Json], place: Place, places: Places
) -> None:
    try:
        settings.apply(layer, place)
    except SettingError as error:
        raise places.error(error.message, error.place) from error


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
    design = _design_of(spec, places)
    start = spec.design.parent or baseline
    parents = {draft.name: draft for draft in phases}
    if start not in parents:
        raise places.error(
            f"there is no phase '{start}'",
            ("design", "from"),
            at_value=True,
            hint=did_you_mean(start, parents),
        )
    labels = {name: list(factor.settings()) for name, factor in spec.factors.items()}
    if design.sets_several:
        _refuse_common_keys(spec.factors, places)
    try:
        _refuse_too_many(spec, design.size(labels, spec.design.options), places)
        layout = design.lay_out(labels, spec.design.options)
    except ValueError as error:
        path = ("design", error.option) if isinstance(error, OptionError) else ("design",)
        raise places.error(f"design {spec.design.kind}: {error}", path) from error
    if not (layout.combinations or spec.phases):
        raise places.error(f"the design {spec.design.kind} makes nothing to compare", ("design",))
    parent = parents[start]
    return [_draft_levels(parent, spec.factors, chosen, places) for chosen in layout.combinations]


def _design_of(spec: StudySpec, places: Places) -> Design:
    try:
        return DESIGNS.load(spec.design.kind)
    except NotFoundError as error:
        path = ("design", "kind")
        raise places.error(error.message, path, at_value=True, hint=error.hint) from error


def _refuse_common_keys(factors: Mapping[str, FactorSpec], places: Places) -> None:
    """Refuse two factors that set one key: in a combination the second would undo the first."""
    owner: dict[str, str] = {}
    for name, factor in factors.items():
        keys = {key for level in factor.settings().values() for key, _, _ in leaves(level)}
        for key in sorted(keys):
            for other, of in owner.items():
                if f"{other}.".startswith(f"{key}.") or f"{key}.".startswith(f"{other}."):
                    message = f"the factors '{of}' and '{name}' both set '{max(key, other)}'"
                    raise places.error(message, ("factors", name))
        owner |= dict.fromkeys(keys, name)


def _draft_levels(
    parent: _Draft, factors: Mapping[str, FactorSpec], chosen: Mapping[str, str], places: Places
) -> _Draft:
    settings = parent.settings.copy()
    for factor, label in chosen.items():
        named = isinstance(factors[factor].levels, dict)
        place = ("factors", factor, *(("levels", label) if named else ("key",)))
        _apply(settings, factors[factor].settings()[label], place, places)
    name = ",".join(f"{factor}={label}" for factor, label in chosen.items())
    return _Draft(name, settings, dict(chosen), False, parent.start, parent.start_path)


def _refuse_too_many(spec: StudySpec, variants: int, places: Places) -> None:
    count = (variants + spec.aa) * len(spec.seed_list)
    if count > MAX_RUNS:
        raise places.error(
            f"the study has {count:,} runs, more than {MAX_RUNS:,}",
            ("design",) if spec.factors else ("seeds",),
            hint="use fewer levels or seeds, or the design one_at_a_time",
        )


def _cells_alone(variants: list[Variant]) -> tuple[list[Variant], str]:
    """Return the cells of a grid without phases, and which is the baseline.

    The base config is a phase only where it is one of the cells; else the first cell is the one
    that the others are compared with.
    """
    base, *cells = variants
    if any(cell.identity == base.identity for cell in cells):
        return variants, base.name
    return cells, cells[0].name


def _refuse_gates_alone(spec: StudySpec, places: Places) -> None:
    if spec.gates and not spec.targets:
        raise places.error(
            "gates judge targets, and the study has none", ("gates",), hint="add 'targets:'"
        )


def _without_idle_gates(
    spec: StudySpec, drafts: Sequence[_Draft], trainer: Trainer, places: Places
) -> StudySpec:
    """Return the study without the gates that lie behind the end of every run."""
    _refuse_gates_alone(spec, places)
    ends = [draft.settings.values.get(STEPS) for draft in drafts] if spec.gates else []
    if None in ends:
        ends = [_config(draft, trainer, places).get(STEPS) for draft in drafts]
    known = [steps for steps in ends if isinstance(steps, int)]
    if not ends or len(known) < len(ends):
        return spec
    kept = [
        gate for gate in spec.gates if (gate if isinstance(gate, int) else gate.at) <= max(known)
    ]
    return spec.model_copy(update={"gates": kept})


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
    config = _config(draft, trainer, places)
    origin = _origin(draft, config, places, made)
    return Variant(
        name=draft.name,
        identity=identity_of(config, spec, trainer, origin),
        config=config,
        factors=draft.factors,
        is_phase=draft.is_phase,
        start_at=origin,
    )


def _config(draft: _Draft, trainer: Trainer, places: Places) -> Config:
    try:
        # A trainer may keep what it returns: what is stored shares nothing with it.
        return copy.deepcopy(trainer.resolve(draft.settings.values))
    except ConfigError as error:
        path = draft.settings.places.get(error.key) or _nearest(draft, error.key)
        message = f"{error.key}: {error.message} (in '{draft.name}')"
        raise places.error(message, path, hint=error.hint) from error


def identity_of(config: Config, spec: StudySpec, trainer: Trainer, start_at: Origin | None) -> str:
    """Return the identity of a resolved config in a study; see `ablate.identity`."""
    return identity(
        config,
        trainer=spec.trainer,
        version=trainer.version,
        not_identity=trainer.not_identity,
        absent_means=trainer.absent_means,
        guards=spec.guard_rules,
        gates=spec.gate_rules,
        start_at=start_at,
    )


def is_labelled_right(run: Run, study: Study, spec: StudySpec, trainer: Trainer) -> bool:
    """Whether a run's identity is that of the config with which it trains."""
    start_at = next((v.start_at for v in study.plan.variants if v.identity == run.identity), None)
    return identity_of(run.config, spec, trainer, start_at) == run.identity


def _origin(
    draft: _Draft, config: Config, places: Places, made: Mapping[str, Variant]
) -> Origin | None:
    """Return where a draft branches off, after checking that there can be such a checkpoint."""
    if draft.start is None:
        return None
    parent, step = made[draft.start.phase], draft.start.step
    own_end, end = steps_of(config), steps_of(parent.config)
    begin = parent.start_at.step if parent.start_at else 0
    fault = None
    if own_end is not None and step >= own_end:
        fault = f"'{draft.name}' ends at step {own_end} and cannot start at step {step}"
    elif end is not None and step > end:
        fault = f"'{parent.name}' ends at step {end} and has no checkpoint at step {step}"
    elif step <= begin:
        fault = f"'{parent.name}' itself starts at step {begin}; start at a later one"
    if fault:
        raise places.error(fault, draft.start_path, at_value=True)
    return Origin(variant=parent.name, identity=parent.identity, step=step)


def _nearest(draft: _Draft, key: str) -> Place:
    """Return the place of a setting above or below ``key``, else of the phase."""
    for set_key, path in draft.settings.places.items():
        if key.startswith(f"{set_key}.") or set_key.startswith(f"{key}."):
            return path
    return ("phases", draft.name)


def _distinct(variants: list[Variant], baseline: str) -> tuple[Variant, ...]:
    """Let a phase stand for the levels that equal it, so that no variant is there twice."""
    _refuse_twice(variants)
    phases = {v.identity for v in variants if v.is_phase}
    levels: dict[str, dict[str, Json]] = {}
    for variant in variants:
        levels.setdefault(variant.identity, {}).update(variant.factors)
    kept = [variant for variant in variants if variant.is_phase or variant.identity not in phases]
    return tuple(
        replace(
            variant,
            factors=levels[variant.identity] if variant.is_phase else variant.factors,
            is_baseline=variant.name == baseline,
        )
        for variant in kept
    )


def _refuse_twice(variants: Sequence[Variant]) -> None:
    names = Counter(variant.name for variant in variants)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"two variants are named '{twice[0]}'; rename the phase or the factor")
