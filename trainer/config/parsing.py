"""Dotted keys in, a checked `Config` out; what pydantic refuses, in plain words."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ablate.protocol import ConfigError
from trainer.config.config import Config
from trainer.config.losses import LossesConfig
from trainer.config.presets import PRESETS


def parse(overrides: Mapping[str, Any]) -> Config:
    """Return the config for dotted-key overrides of a preset.

    Raises:
        ConfigError: For an unknown key, a wrong type, a value out of range, or a combination that
            cannot work.
    """
    preset = overrides.get("preset", "base")
    if preset not in tuple(PRESETS):
        raise ConfigError(
            "preset", f"there is no preset {preset!r}", hint=f"one of {', '.join(PRESETS)}"
        )
    for key in overrides:
        if key not in _DEFAULTS:
            raise _unknown(key)
    try:
        return Config.model_validate(_nested({**_DEFAULTS, **PRESETS[preset], **overrides}))
    except ValidationError as error:
        raise _refusal(error) from error


def from_nested(config: Mapping[str, Any]) -> Config:
    """Return the `Config` of a full nested mapping, as `plain` made it.

    Raises:
        ConfigError: As `parse`.
    """
    return parse(dict(_flatten(config, "")))


def plain(config: Config) -> dict[str, Any]:
    """Return a config as nested mappings of JSON's types."""
    return config.model_dump(mode="json")


def _flatten(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            pairs += _flatten(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = value
    return tree


_DEFAULTS = dict(_flatten(plain(Config()), ""))


def _unknown(key: str) -> ConfigError:
    under = [name for name in _DEFAULTS if name.startswith(f"{key}.")]
    if under:
        return ConfigError(key, "is a group, not a value", hint=f"set {under[0]}, for example")
    if key == "seed":
        return ConfigError(key, "is not part of the config", hint="a study gives `seeds`")
    message, (section, _, rest) = "is unknown", key.partition(".")
    if section == "losses":
        names, name = sorted(LossesConfig.model_fields), rest.partition(".")[0]
        message = f"there is no loss {name!r}; there are {', '.join(names)}"
        if name in names:
            message = f"losses.{name} has no such key"
    return ConfigError(key, message, hint=_hint(key))


def _hint(key: str) -> str | None:
    """Return the key that was meant, else those of its section."""
    section, dot, rest = key.rpartition(".")
    beside = [
        name.removeprefix(section + dot) for name in _DEFAULTS if name.startswith(section + dot)
    ]
    if near := difflib.get_close_matches(rest, beside, n=1, cutoff=0.5):
        return f"did you mean {section}{dot}{near[0]}?"
    if section and beside:
        return f"{section} has {', '.join(beside)}"
    near = difflib.get_close_matches(key, _DEFAULTS, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else None


def _refusal(error: ValidationError) -> ConfigError:
    """Return the first value that is refused; where all are taken, the first rule broken."""
    faults = error.errors(include_url=False)
    fault = min(faults, key=lambda fault: fault["type"] == "value_error")
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return cause
    *sections, name = [part for part in fault["loc"] if isinstance(part, str)]
    model: Any = Config
    for section in sections:
        model = model.model_fields[section].annotation
    schema = model.model_json_schema()["properties"][name]
    message, hint = _said(fault["type"], fault["input"], schema.get("items", schema))
    return ConfigError(".".join([*sections, name]), message, hint=hint)


def _said(fault: str, value: Any, schema: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return what is wrong with a value, and a hint, from the JSON schema of what is wanted."""
    match fault:
        case "tuple_type" | "too_short":
            kind = "whole numbers" if schema["type"] == "integer" else "names"
            return f"{value!r} is not a list of {kind}", None
        case _ if options := schema.get("enum"):
            near = difflib.get_close_matches(str(value), options, n=1)
            hint = f"did you mean {near[0]}?" if near else None
            return f"{value!r} is not one of {', '.join(options)}", hint
        case "float_type" if type(value) is int:  # too long for a float
            return f"{value!r} is not finite", None
        case _ if fault in _WANTED:
            return f"{value!r} is not {_WANTED[fault]}", None
        case _:
            limits = [f"{words} {schema[key]:g}" for key, words in _LIMITS.items() if key in schema]
            return f"{value!r} is out of range; it must be {' and '.join(limits)}", None


_WANTED = {
    "bool_type": "true or false",
    "finite_number": "finite",
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "a text",
}
"""What pydantic calls a fault, and what should have been there."""
_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
"""Words of JSON schema, in ours."""
