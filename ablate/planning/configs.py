"""Configs of other tools: which seed they say, and in what two of them differ."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ablate.domain import Json
from ablate.identity import canonical_json, flatten

_SEEDS = ("seed", "random_seed", "manual_seed", "rng_seed", "global_seed", "seed_everything")
"""Last parts of keys that say the seed, the likeliest first."""
_IS_SEED = re.compile(r"(.*_)?seed(_everything)?|random_state")
_OF_THE_RUN = re.compile(
    r"(output|out|log|logging|logs|save|run|work|exp|default_root|results?)_?(dir|path|folder)"
    r"|(run|exp|experiment|display|job)_?(name|id)|wandb_.*|timestamp|date|time|start_?time|host"
    r"|hostname|user|resume(_.*)?|ckpt(_path)?|checkpoint(_path)?|restore(_.*)?|cmd|command|argv|pid"
)
"""Last parts of keys that differ between runs of one config."""


def seed_of(config: Mapping[str, Json]) -> int | None:
    """Return the seed that a config says, None where it says none."""
    flat = _flat(config)
    for name in _SEEDS:
        for key in sorted(flat, key=lambda key: (key.count("."), key)):
            if _last(key) == name and (seed := whole_seed(flat[key])) is not None:
                return seed
    return None


def whole_seed(value: Json) -> int | None:
    """Return a seed of a column or a config: a whole number below 2**31, else None."""
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,10}(\.0*)?", text):
        return None
    seed = int(text.partition(".")[0])
    return seed if seed < 2**31 else None


def trained_with(config: Mapping[str, Json]) -> dict[str, Json]:
    """Return what of a config can make another model, without seeds: dotted keys and values."""
    return {
        key: value
        for key, value in _flat(config).items()
        if not _IS_SEED.fullmatch(_last(key))
        and not _OF_THE_RUN.fullmatch(_last(key))
        and key not in ("name", "id")
    }


def differing(one: Mapping[str, Json], other: Mapping[str, Json]) -> list[str]:
    """Return the keys in which two results of `trained_with` differ."""
    return [
        key
        for key in dict.fromkeys([*one, *other])
        if key not in one
        or key not in other
        or canonical_json(one[key]) != canonical_json(other[key])
    ]


def _flat(config: Mapping[str, Json]) -> dict[str, Json]:
    return {key.replace("/", "."): value for key, value in flatten(config).items()}


def _last(key: str) -> str:
    return key.rpartition(".")[2].lower().replace("-", "_")
