"""Dotted keys in, a checked `Config` out; and back to the nested mapping that is stored."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ablate.protocol import ConfigError
from trainer.config.config import UNIT_S, Config
from trainer.config.presets import PRESETS


def parse(overrides: Mapping[str, Any]) -> Config:
    """Return the config for dotted-key overrides of a preset.

    Raises:
        ConfigError: For an unknown key, a wrong type, a value out of range, or a combination that
            cannot work.
    """
    preset = overrides.get("preset", "base")
    if preset not in PRESETS:
        raise ConfigError(
            "preset", f"there is no preset {preset!r}", hint=f"one of {', '.join(PRESETS)}"
        )
    values = {**PRESETS[preset], **overrides}
    known = _leaves(Config())
    for key in values:
        if key not in known:
            raise _unknown(key, known)
    config = _build(Config, "", values)
    _check_combinations(config)
    return config


def from_nested(config: Mapping[str, Any]) -> Config:
    """Return the `Config` of a full nested mapping, as `plain` made it.

    Raises:
        ConfigError: As `parse`.
    """
    return parse(dict(_flatten(config, "")))


def _flatten(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            pairs += _flatten(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs


def plain(value: Any) -> Any:
    """Return a config as nested mappings of JSON's types."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value


def _leaves(config: Config) -> list[str]:
    return [key for key, _ in _flatten(plain(config), "")]


def _unknown(key: str, known: list[str]) -> ConfigError:
    under = [name for name in known if name.startswith(f"{key}.")]
    if under:
        return ConfigError(key, "is a group, not a value", hint=f"set {under[0]}, for example")
    if key == "seed":
        return ConfigError(key, "is not part of the config", hint="a study gives `seeds`")
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if key.startswith("losses."):
        names = sorted({name.split(".")[1] for name in known if name.startswith("losses.")})
        message = f"there is no loss {key.split('.')[1]!r}; there are {', '.join(names)}"
        if key.split(".")[1] in names:
            message = f"losses.{key.split('.')[1]} has no such key"
        return ConfigError(key, message, hint=f"did you mean {near[0]}?" if near else None)
    return ConfigError(key, "is unknown", hint=f"did you mean {near[0]}?" if near else None)


def _build(cls: type[Any], prefix: str, values: Mapping[str, Any]) -> Any:
    """Return an instance of the dataclass ``cls`` with the values found under ``prefix``."""
    hints = get_type_hints(cls)
    return _filled(cls(), prefix, values, hints)


def _filled(default: Any, prefix: str, values: Mapping[str, Any], hints: dict[str, Any]) -> Any:
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(default):
        key = f"{prefix}{field.name}"
        current = getattr(default, field.name)
        if dataclasses.is_dataclass(current):
            inner = get_type_hints(type(current))
            changes[field.name] = _filled(current, f"{key}.", values, inner)
        elif key in values:
            value = _typed(key, values[key], hints[field.name])
            _check_range(key, value, field.metadata)
            changes[field.name] = value
    return dataclasses.replace(default, **changes)


def _typed(key: str, value: Any, hint: Any) -> Any:
    if get_origin(hint) is Literal:
        return _choice(key, value, get_args(hint))
    if get_origin(hint) is tuple:
        return _list(key, value, get_args(hint)[0])
    converters: Mapping[Any, Any] = {bool: _boolean, int: _integer, float: _number, str: _text}
    return converters[hint](key, value)


def _choice(key: str, value: Any, options: tuple[str, ...]) -> str:
    if value not in options:
        near = difflib.get_close_matches(str(value), options, n=1)
        raise ConfigError(
            key,
            f"{value!r} is not one of {', '.join(options)}",
            hint=f"did you mean {near[0]}?" if near else None,
        )
    return value


def _boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(key, f"{value!r} is not true or false")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(key, f"{value!r} is not a text")
    return value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(key, f"{value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(key, f"{value!r} is not finite")
    return number


def _integer(key: str, value: Any) -> int:
    number = value if isinstance(value, int) else _number(key, value)
    if isinstance(value, bool) or number != int(number):
        raise ConfigError(key, f"{value!r} is not a whole number")
    return int(number)


def _list(key: str, value: Any, hint: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or (hint is int and not value):
        kind = "whole numbers" if hint is int else "names"
        raise ConfigError(key, f"{value!r} is not a list of {kind}")
    return tuple(_typed(key, item, hint) for item in value)


def _check_range(key: str, value: Any, limits: types.MappingProxyType[Any, Any]) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        for name, limit in limits.items():
            if not _within(number, name, limit):
                raise ConfigError(key, f"{number!r} is out of range; {_range_text(limits)}")


def _within(number: float, name: str, limit: float) -> bool:
    match name:
        case "minimum":
            return number >= limit
        case "above":
            return number > limit
        case "maximum":
            return number <= limit
        case _:
            return number < limit


def _range_text(limits: Mapping[str, float]) -> str:
    words = {"minimum": "at least", "above": "above", "maximum": "at most", "below": "below"}
    return "it must be " + " and ".join(f"{words[n]} {limit:g}" for n, limit in limits.items())


def _check_combinations(config: Config) -> None:
    _check_model(config)
    _check_segment(config)
    _check_parts(config)
    _check_labels(config)
    quantizer = config.quantizer
    if (
        quantizer.prenorm == "time"
        and config.model.causal
        and not quantizer.allow_noncausal_prenorm
    ):
        raise ConfigError(
            "quantizer.prenorm",
            "`time` looks at the whole segment, but model.causal is true",
            hint="set quantizer.allow_noncausal_prenorm: true, or model.causal: false",
        )
    if quantizer.post_affine and quantizer.ste == "detached":
        raise ConfigError(
            "quantizer.post_affine",
            "would never learn: `quantizer.ste: detached` copies the gradient around it",
            hint="set quantizer.ste: consistent",
        )
    if quantizer.update == "ema" and quantizer.metric == "cosine":
        raise ConfigError(
            "quantizer.update",
            "running means of vectors are no means of directions",
            hint="with quantizer.metric: cosine set quantizer.update: gradient",
        )
    if quantizer.update == "ema" and config.losses.codebook.weight > 0:
        raise ConfigError(
            "losses.codebook.weight",
            "has no effect on codes that are running means",
            hint="set it to 0, or quantizer.update: gradient",
        )
    if all(term.weight == 0 for term in _audio_terms(config)):
        raise ConfigError("losses", "no term that compares the output with the target has a weight")


def _audio_terms(config: Config) -> list[Any]:
    others = {"norm_reg", "commitment", "codebook", "content_ce", "adversarial", "feature_matching"}
    fields = dataclasses.fields(config.losses)
    return [getattr(config.losses, f.name) for f in fields if f.name not in others]


def _check_model(config: Config) -> None:
    model = config.model
    if len(model.channels) != len(model.strides):
        raise ConfigError(
            "model.channels",
            f"{len(model.channels)} widths for {len(model.strides)} strides",
            hint="give one width per stride",
        )
    if model.topology == "bottleneck" and model.final_conv != "none":
        raise ConfigError(
            "model.final_conv", "belongs to model.topology: pre_output", hint="set it to none"
        )


def _check_parts(config: Config) -> None:
    model = config.model
    absent = {
        "speaker_encoder": model.speaker_dim == 0,
        "content_head": model.content_units == 0,
        "post_rvq": model.topology == "pre_output",
        "final_conv": model.final_conv == "none",
    }
    for part in config.optim.freeze:
        if absent.get(part):
            raise ConfigError("optim.freeze", f"this codec has no {part}")
    if not model.content_gradient and model.content_units == 0:
        raise ConfigError(
            "model.content_gradient",
            "nothing would train the content encoder",
            hint="set model.content_units, or model.content_gradient: true",
        )
    per_unit = UNIT_S * config.data.sample_rate_hz / config.total_stride
    if model.content_units and (per_unit < 1 or per_unit != int(per_unit)):
        raise ConfigError(
            "model.content_units",
            f"a unit of 20 ms would be {per_unit:g} frames of the encoder, not a whole number",
            hint="choose model.strides whose product divides 20 ms",
        )
    if config.discriminator.enabled and not config.discriminator.kinds:
        raise ConfigError("discriminator.kinds", "is empty, but the discriminators are enabled")
    if config.losses.norm_reg.weight > 0 and not config.losses.norm_reg.parameters:
        raise ConfigError("losses.norm_reg.parameters", "is empty, but the term has a weight")


def _check_segment(config: Config) -> None:
    samples = config.data.segment_s * config.data.sample_rate_hz
    stride = config.total_stride
    whole = max(1, round(samples / stride)) * stride
    if abs(samples - whole) > 1e-6 * whole:
        raise ConfigError(
            "data.segment_s",
            f"{config.data.segment_s:g} s are {samples:g} samples, not a multiple of the total "
            f"stride {stride}",
            hint=f"write {whole / config.data.sample_rate_hz:.6g}",
        )
    if config.data.valid_s < config.data.segment_s:
        raise ConfigError("data.valid_s", "is shorter than one segment (data.segment_s)")


def _check_labels(config: Config) -> None:
    _check_pattern(config.data.speaker_pattern)
    if not config.data.units_file:
        return
    if config.data.source != "folder":
        raise ConfigError("data.units_file", "belongs to data.source: folder")
    if config.model.content_units == 0:
        raise ConfigError(
            "data.units_file",
            "is not read: model.content_units is 0",
            hint="set model.content_units to the number of units",
        )


def _check_pattern(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ConfigError(
            "data.speaker_pattern", f"{pattern!r} is no regular expression: {error}"
        ) from error
    if pattern and "speaker" not in groups:
        raise ConfigError(
            "data.speaker_pattern",
            f"{pattern!r} has no group `speaker`",
            hint="for example _(?P<speaker>[a-z]+)_",
        )
