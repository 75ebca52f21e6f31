"""What a study's author should know of its plan, though nothing is wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ablate.domain import Plan, Variant
from ablate.errors import did_you_mean
from ablate.identity import flatten
from ablate.keys import STEPS, SYSTEM
from ablate.planning.designs import DESIGNS
from ablate.planning.designs.base import Layout
from ablate.planning.references import MANY
from ablate.planning.study_file.spec import StudySpec
from ablate.planning.trainers.registry import UserTrainer
from ablate.planning.trainers.source import Sources
from ablate.planning.trainers.unread import reading_of
from ablate.protocol import Trainer
from ablate.text import listed

_LISTED = 8
_SWITCHES = ("on", "off", "yes", "no")
_MACHINE = SYSTEM.pattern
"""What is measured of the machine, whoever trains."""


def plan_notes(spec: StudySpec, plan: Plan, trainer: Trainer, project: Path) -> tuple[str, ...]:
    """Return a sentence for each thing that an author would want to know before training.

    Args:
        spec: The study as its file says it.
        plan: What was made of it.
        trainer: Of the study.
        project: Where the modules of a trainer of the user's own are.
    """
    return (
        *_aliases(spec),
        *_more_seeds(plan),
        *_idle_gates(spec, plan),
        *_twins(plan.variants),
        *_never_logged(spec, trainer),
        *_words_for_switches(plan, trainer),
        *(_unread(plan, project) if ":" in plan.trainer else ()),
    )


def _aliases(spec: StudySpec) -> list[str]:
    """Name the effects that the study's design cannot tell from each other."""
    labels = {name: list(factor.settings()) for name, factor in spec.factors.items()}
    layout: Layout = DESIGNS.load(spec.design.kind).lay_out(labels, spec.design.options)
    return [
        f"this design cannot tell {effect} from {listed(others, 'or')}"
        for effect, others in layout.aliases.items()
    ]


def _more_seeds(plan: Plan) -> list[str]:
    """Say who gets a seed more, and how to have it otherwise."""
    names = list(plan.more_seeds)
    if not names:
        return []
    verb = "gets" if len(names) == 1 else "get"
    seeds = ", ".join(map(str, plan.seeds))
    return [
        f"{listed(names)} {verb} one seed more, for {MANY} or more variants are compared with "
        f"{'it' if len(names) == 1 else 'each'}; `seeds: [{seeds}]` asks for just these"
    ]


def _idle_gates(spec: StudySpec, plan: Plan) -> list[str]:
    kept = {gate.step for gate in StudySpec.model_validate(plan.spec).gate_rules}
    idle = [str(gate.step) for gate in spec.gate_rules if gate.step not in kept]
    if not idle:
        return []
    longest = max(variant.config[STEPS] for variant in plan.variants)
    return [f"no gate at {', '.join(idle)}: the longest run has {longest} steps"]


def _twins(variants: Sequence[Variant]) -> list[str]:
    """Name the variants whose config is that of an earlier one."""
    first: dict[str, str] = {}
    notes: list[str] = []
    for variant in (v for v in variants if v.copy is None):
        earlier = first.setdefault(variant.identity, variant.name)
        if earlier != variant.name:
            notes.append(f"{variant.name} changes nothing: its config is that of {earlier}")
    return notes


def _never_logged(spec: StudySpec, trainer: Trainer) -> list[str]:
    """Name the declared metrics that the trainer says it never logs."""
    # Trainers of installed packages may have been written before they could say it.
    logged: Sequence[str] = getattr(trainer, "metrics", ())
    notes: list[str] = []
    for key in spec.named_keys if logged else ():
        if not any(fnmatchcase(key, pattern) for pattern in (*logged, _MACHINE)):
            hint = did_you_mean(key, [pattern for pattern in logged if "*" not in pattern])
            near = f"; {hint}" if hint and hint.startswith("did") else ""
            notes.append(f"the trainer '{spec.trainer}' never logs {key}{near}")
    return notes


def _words_for_switches(plan: Plan, trainer: Trainer) -> list[str]:
    """Name texts that older YAML reads as true or false: a trainer would take `off` for true."""
    if not isinstance(trainer, UserTrainer) or trainer.schema is not None:
        return []  # a trainer that declares its keys has checked their kinds
    found = {
        (key, value): None
        for variant in plan.variants
        for key, value in flatten(variant.config).items()
        if isinstance(value, str) and value.lower() in _SWITCHES
    }
    return [f"{key} is the text '{value}'; a switch is true or false" for key, value in found]


def _unread(plan: Plan, project: Path) -> list[str]:
    """Name the config keys that nothing in the trainer's code reads."""
    module = plan.trainer.partition(":")[0]
    reading = reading_of(Sources(project).reached_from(module))
    keys = dict.fromkeys(key for variant in plan.variants for key in flatten(variant.config))
    unread = [key for key in keys if not reading.reads(key)]
    if not unread:
        return []
    shown = ", ".join(unread[:_LISTED]) + (", ..." if len(unread) > _LISTED else "")
    hint = did_you_mean(unread[0].rpartition(".")[2], reading.words)
    near = f"; {hint}" if hint and hint.startswith("did") else ""
    return [f"nothing in {module} reads the config key {shown}{near}"]
