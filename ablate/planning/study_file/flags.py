"""A study defined by flags: a template, changed, as the text of a new study file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from ablate.domain import Json
from ablate.errors import SettingError, UsageError, did_you_mean
from ablate.planning.study_file.document import (
    Document,
    parse_scalar,
    parse_values,
    round_trip_yaml,
)
from ablate.planning.study_file.dotted import DottedSettings, leaves
from ablate.planning.study_file.spec import StudySpec

_SAYS_NOTHING = ("weight", "enabled")
"""Last parts of config keys that do not tell two factors apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyFlags:
    """What was typed beside the name."""

    factors: Mapping[str, Sequence[Json]] = field(default_factory=dict[str, Sequence[Json]])
    """Config key -> levels."""
    settings: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Config key -> value for every variant."""
    design: str | None = None
    seeds: int | None = None
    aa: int | None = None
    """How many copies of the baseline."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed, so that the file can be used as it is."""
        return self == StudyFlags()


def parse_flags(
    *,
    factors: Sequence[str],
    settings: Sequence[str],
    design: str | None,
    seeds: int | None,
    aa: int | None = None,
) -> StudyFlags:
    """Read ``--factor key=v1,v2`` and ``--set key=value`` as YAML would.

    Raises:
        UsageError: For a flag without ``=``, without a level, given twice, or with a value that
            YAML does not read as one.
    """
    levels = {k: _levels(k, v) for k, v in _pairs("--factor", factors, "losses.l1.weight=1,10")}
    values = {k: _value(k, v) for k, v in _pairs("--set", settings, "data.source=folder")}
    return StudyFlags(factors=levels, settings=values, design=design, seeds=seeds, aa=aa)


def _pairs(flag: str, texts: Sequence[str], example: str) -> list[tuple[str, str]]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{flag} {text}: there is no '='", hint=f"write {flag} {example}")
        if key.strip() in pairs:
            raise UsageError(f"{flag} {key.strip()} is there twice")
        pairs[key.strip()] = value
    return list(pairs.items())


def _value(key: str, text: str) -> Json:
    try:
        return parse_scalar(text)
    except ValueError as error:
        raise UsageError(
            f"--set {key}: {error}", hint=f"""quote a text, --set "{key}='...'", and write [1, 2]"""
        ) from error


def _levels(key: str, text: str) -> list[Json]:
    try:
        levels = parse_values(text)
    except ValueError as error:
        raise UsageError(f"--factor {key}: {error}", hint="write levels as 0,0.01,0.1") from error
    if not levels:
        raise UsageError(f"--factor {key}: there is no level", hint="write levels as 0,0.01,0.1")
    return levels


def apply_flags(document: Document, spec: StudySpec, name: str, flags: StudyFlags) -> str:
    """Return the text of a study file called ``name``: the template with the flags applied.

    With ``--factor`` the new study is about those factors alone: the template's phases are reduced
    to the one on which the levels are set, with all that it inherits written out.
    """
    root = document.root
    root["study"] = name
    # What the template says of itself at its top does not hold for what is made of it.
    root.yaml_set_start_comment(f"Made from the study {spec.study} by flags.")
    if flags.factors:
        _replace_factors(root, spec, flags)
    if flags.design:
        kept = root.get("design")
        root["design"] = kept if isinstance(kept, CommentedMap) else CommentedMap()
        root["design"]["kind"] = flags.design
    if flags.seeds is not None:
        root["seeds"] = flags.seeds
    if flags.aa is not None:
        root["aa"] = flags.aa
    if flags.settings:
        _set_all(root, flags.settings)
    stream = io.StringIO()
    round_trip_yaml().dump(root, stream)
    return stream.getvalue()


def _set_all(root: CommentedMap, settings: Mapping[str, Json]) -> None:
    """Put settings into the base of the file, by the rule of `ablate.planning.study_file.dotted`.

    What the file spells nested stays nested, so that its comments are kept.
    """
    base = root.setdefault("base", CommentedMap())
    try:
        wanted = DottedSettings().apply(base).apply(settings)
    except SettingError as error:
        raise UsageError(f"--set: {error.message}") from error
    for key, value, _ in leaves(settings):
        _set_in(base, key, value)
    if not _says(base, wanted):  # as null where a mapping was
        root["base"] = CommentedMap(wanted.values)


def _set_in(node: CommentedMap, key: str, value: Json) -> None:
    parts = key.split(".")
    for length in range(len(parts) - 1, 0, -1):
        inner = node.get(".".join(parts[:length]))
        if isinstance(inner, CommentedMap) and inner:
            _set_in(inner, ".".join(parts[length:]), value)
            return
    node[key] = value


def _says(base: CommentedMap, wanted: DottedSettings) -> bool:
    try:
        return DottedSettings().apply(base).values == wanted.values
    except SettingError:
        return False


def _replace_factors(root: CommentedMap, spec: StudySpec, flags: StudyFlags) -> None:
    kind = flags.design or "one_at_a_time"
    for key in ("phases", "factors", "design"):
        root.ca.items.pop(key, None)  # comments on what is replaced
    _drop_references(root)
    root["design"] = _flow({"kind": kind})
    if spec.phases:
        start = _start(spec)
        root["phases"] = CommentedMap(
            {start: _flow({"baseline": True, "set": _write_inherited(root, spec, start)})}
        )
        root["design"]["from"] = start
    names = factor_names(list(flags.factors))
    root["factors"] = CommentedMap(
        {
            names[key]: _flow({"key": key, "levels": list(levels)})
            for key, levels in flags.factors.items()
        }
    )


def _drop_references(root: CommentedMap) -> None:
    """Take out the references, which are phases, with the comment above them."""
    keys = list(root)
    if "references" in keys[1:]:
        root.ca.items.pop(keys[keys.index("references") - 1], None)
    root.pop("references", None)


def _start(spec: StudySpec) -> str:
    start = spec.design.parent or next(
        (name for name, phase in spec.phases.items() if phase.baseline), next(iter(spec.phases))
    )
    if start not in spec.phases:
        raise UsageError(f"there is no phase '{start}'", hint=did_you_mean(start, spec.phases))
    return start


def _write_inherited(root: CommentedMap, spec: StudySpec, name: str) -> CommentedMap:
    """Return all that a phase and its ancestors set, as one mapping of dotted keys.

    Where this cannot be said over the base, as when an ancestor sets null and a child a key below
    it, the base of the file says it all.
    """
    lineage: list[str] = []
    phase: str | None = name
    while phase in spec.phases and phase not in lineage:
        lineage.append(phase)
        phase = spec.phases[phase].parent
    own, full = DottedSettings(), DottedSettings().apply(spec.base)
    for ancestor in reversed(lineage):
        own.apply(spec.phases[ancestor].set)
        full.apply(spec.phases[ancestor].set)
    if DottedSettings().apply(spec.base).apply(own.values).values == full.values:
        return CommentedMap(own.values)
    root["base"] = CommentedMap(full.values)
    return CommentedMap()


def _flow(values: Mapping[str, Any]) -> CommentedMap:
    """Return a mapping that is written on one line, its lists too."""
    node = CommentedMap(values)
    for key, value in values.items():
        if isinstance(value, list):
            node[key] = CommentedSeq(value)
            node[key].fa.set_flow_style()
    if not any(isinstance(value, Mapping) for value in values.values()):
        node.fa.set_flow_style()
    return node


def factor_names(keys: Sequence[str]) -> dict[str, str]:
    """Return key -> a short name: its last telling part, and more of it where two would clash."""
    parts = {key: _telling_parts(key) for key in keys}
    names: dict[str, str] = {}
    for key in keys:
        length = 1
        while length < len(parts[key]) and any(
            other != key and parts[other][-length:] == parts[key][-length:] for other in keys
        ):
            length += 1
        names[key] = ".".join(parts[key][-length:])
    return names if len(set(names.values())) == len(keys) else {key: key for key in keys}


def _telling_parts(key: str) -> list[str]:
    parts = key.split(".")
    while len(parts) > 1 and parts[-1] in _SAYS_NOTHING:
        parts.pop()
    return parts
