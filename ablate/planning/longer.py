"""Which variants of a plan are those of an earlier one, trained for longer. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ablate.domain import Config, Json, Longer, Plan, Variant
from ablate.identity import canonical_json, flatten, identity
from ablate.keys import STEPS
from ablate.planning.study_file.spec import StudySpec

_LENGTHS = frozenset(
    {
        "epochs",
        "iterations",
        "iters",
        "max_epochs",
        "max_iters",
        "max_iterations",
        "max_steps",
        "n_epochs",
        "n_iters",
        "n_steps",
        "num_epochs",
        "num_iterations",
        "num_iters",
        "num_steps",
        "num_train_epochs",
        "num_train_steps",
        STEPS,
        "total_steps",
        "train_steps",
    }
)
"""What trainers call how long they train: the last part of a dotted key."""


def longer_variants(old: Plan, new: Plan) -> tuple[Longer, ...]:
    """Return the variants that only train for longer than those of the same name did.

    All else has to be the same: the config, the trainer's version, from where it starts, what stops
    a run up to where it ended. A run of the old plan can then go on from its last checkpoint.
    """
    if old.trainer != new.trainer or old.trainer_version != new.trainer_version:
        return ()
    known = {variant.name: variant for variant in old.variants}
    wanted = {variant.identity for variant in new.variants}
    found: dict[str, Longer] = {}
    for variant in new.variants:
        former = known.get(variant.name)
        if former is None or former.identity in wanted or former.identity in found:
            continue
        grown = _grown(former.config, variant.config)
        if grown and _starts_alike(former, variant) and _stops_alike(old, new, grown):
            key, before, after = grown
            found[former.identity] = Longer(
                variant=variant.name,
                identity=variant.identity,
                former=former.identity,
                change=f"{key} {before} -> {after}",
            )
    return tuple(found.values())


def _grown(old: Config, new: Config) -> tuple[str, float, float] | None:
    """Return (key, before, after) of the one length in which two configs differ."""
    differing = list(_differing(flatten(old), flatten(new)))
    if len(differing) != 1 or differing[0].rpartition(".")[2] not in _LENGTHS:
        return None
    key = differing[0]
    before, after = _number(flatten(old).get(key)), _number(flatten(new).get(key))
    if before is None or after is None or not before < after:
        return None
    return key, before, after


def _differing(old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[str]:
    for key in dict.fromkeys([*old, *new]):
        if key not in old or key not in new or canonical_json(old[key]) != canonical_json(new[key]):
            yield key


def _number(value: Json) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None


def _starts_alike(old: Variant, new: Variant) -> bool:
    return (old.start_at and (old.start_at.identity, old.start_at.step)) == (
        new.start_at and (new.start_at.identity, new.start_at.step)
    )


def _stops_alike(old: Plan, new: Plan, grown: tuple[str, float, float]) -> bool:
    """Whether a run of the old plan would have been stopped by the same guards and gates."""
    return _stops(old, grown) == _stops(new, grown)


def _stops(plan: Plan, grown: tuple[str, float, float]) -> str:
    spec = StudySpec.model_validate(plan.spec)
    key, end, _ = grown
    in_steps = "epoch" not in key
    return identity(
        {},
        trainer=plan.trainer,
        version=plan.trainer_version,
        guards=spec.guard_rules,
        # A gate behind the old end has judged nothing yet; a resumed run meets it.
        gates=[gate for gate in spec.gate_rules if not in_steps or gate.step <= end],
    )
