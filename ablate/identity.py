"""What makes two runs the same run: SHA-256 over canonical JSON.

The identity of a variant is its resolved config without the keys that the trainer declares as not
part of identity, the trainer's name and version, and the guards and gates that stop. What stops a
run changes what it becomes, so two studies share a run only when they would stop it alike. The seed
stands beside the identity, never inside. See ADR 0002; a run that begins from another's checkpoint
has that one's identity in its own, see ADR 0010.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

from ablate.domain import Config, Json, Origin
from ablate.rules import Gate, Guard

_FORMAT = 1
"""Raised when canonical JSON itself changes, which makes every run a new one."""


def canonical_json(value: Json) -> str:
    """Return the one text for a value: sorted keys, no spaces, ``1.0`` written as ``1``.

    Raises:
        ValueError: For a number that is not finite, or a type that JSON does not have.
    """
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def identity(
    config: Config,
    *,
    trainer: str,
    version: str,
    not_identity: Collection[str] = (),
    absent_means: Mapping[str, Json] | None = None,
    guards: Sequence[Guard] = (),
    gates: Sequence[Gate] = (),
    start_at: Origin | None = None,
) -> str:
    """Return 64 hex digits that are equal exactly for runs that would train alike.

    Args:
        config: The resolved config, nested.
        trainer: Its registered name or ``module:function``.
        version: The trainer's declared version.
        not_identity: Dotted keys to leave out.
        absent_means: Dotted key -> the value that configs had in effect before the key existed.
            A key with that value is left out, so that runs made before it keep their identity.
        guards: The study's guards; only those that stop count.
        gates: The study's gates; only those that stop count, with the targets that they judge.
        start_at: Where it branches off; left out for runs that start from the beginning.
    """
    said = without_absent(config, absent_means or {})
    kept = {key: value for key, value in said.items() if key not in not_identity}
    stops = sorted(_stop(guard) for guard in guards if guard.do == "stop")
    parts: dict[str, Json] = {"config": kept, "trainer": trainer, "version": version}
    parts["stops"] = stops
    if gated := [_gate(gate) for gate in gates if gate.do == "stop"]:
        parts["gates"] = gated
    if start_at is not None:
        parts["start_at"] = [start_at.identity, start_at.step]
    text = f"ablate/{_FORMAT}:{canonical_json(parts)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _stop(guard: Guard) -> list[Json]:
    first, *others = sorted((c.key, c.operator, c.threshold) for c in guard.conditions)
    # Further conditions stand behind, so that guards with one keep the identity that they had.
    return [*first, guard.for_steps, guard.after_step, *chain(*others)]


def _gate(gate: Gate) -> list[Json]:
    demands = [(d.key, d.target, d.rule) for d in sorted(gate.demands, key=lambda d: d.key)]
    return [
        gate.step,
        [
            [key, target.kind, target.value, target.allowance, rule.kind, rule.fraction, rule.steps]
            for key, target, rule in demands
        ],
    ]


def without_absent(config: Config, absent_means: Mapping[str, Json]) -> dict[str, Json]:
    """Return dotted key -> value, without the keys that say no more than their absence did."""
    meant = {key: canonical_json(value) for key, value in absent_means.items()}
    return {
        key: value
        for key, value in flatten(config).items()
        if key not in meant or meant[key] != canonical_json(value)
    }


def flatten(config: Config) -> dict[str, Json]:
    """Return dotted key -> value for a nested config. An empty mapping stays a value."""
    flat: dict[str, Json] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{key}.{inner}": leaf for inner, leaf in flatten(value).items()}
        else:
            flat[key] = value
    return flat


def _canonical(value: Any) -> Json:
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError(f"a config value must be finite, not {value}")
            return int(value) if value.is_integer() else value
        case Mapping():
            return {str(key): _canonical(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_canonical(inner) for inner in value]
        case _:
            raise ValueError(f"a config value must be JSON, not {type(value).__name__}")
