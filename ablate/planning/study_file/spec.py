"""What a study file may say, as pydantic models; the same models serve a study made in Python."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from ablate.errors import RuleError
from ablate.keys import RMS, TOTAL, metric_key
from ablate.planning.copies import MAX_COPIES
from ablate.planning.designs import DESIGNS
from ablate.planning.designs.base import Design
from ablate.planning.study_file.names import check_name
from ablate.rules import (
    DEFAULT_RULE,
    DeclaredMetric,
    Demand,
    Gate,
    Guard,
    Margin,
    MetricRule,
    Pairing,
    Scale,
    Target,
)

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def _check_key(key: str) -> str:
    if not key.strip(" /"):
        raise ValueError(f"'{key}' is not a metric key; write split/group/name, as {RMS}")
    return metric_key(key)


def _check_json(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "a config value is a finite number, a text, true, false, null, a list or a mapping"
        ) from error
    return value


def _empty_if_left_out(section: Any) -> Any:
    """Return a mapping for a key that stands there without a value, as ``base:``."""
    return {} if section is None else section


_Section = BeforeValidator(_empty_if_left_out)

Name = Annotated[str, AfterValidator(check_name)]
MetricKey = Annotated[str, AfterValidator(_check_key)]
ConfigValue = Annotated[JsonValue, BeforeValidator(_check_json)]
ConfigKey = Annotated[str, StringConstraints(min_length=1)]
Settings = Annotated[dict[ConfigKey, ConfigValue], _Section]


class Start(NamedTuple):
    """A checkpoint by the phase that makes it."""

    phase: str
    step: int


def _parse_start(text: str) -> Start:
    found = re.fullmatch(r"([^@]+)@(\d{1,18})", text.strip())
    if not found or int(found[2]) == 0:
        raise ValueError(f"cannot read '{text}'; write a phase and a step, as phase_a@2000")
    return Start(found[1], int(found[2]))


class PhaseSpec(BaseModel):
    """A variant named by hand: its difference to its parent."""

    model_config = _STRICT

    parent: str | None = Field(default=None, alias="from")
    """The phase it starts from; without one it starts from ``base``."""
    baseline: bool = False
    """Whether the others are compared with this one."""
    set: Settings = Field(default_factory=dict)
    """Dotted config keys and their values."""
    start_at: str | None = None
    """``<phase>@<step>``: begin from the checkpoint that this phase makes at this step."""

    @field_validator("start_at")
    @classmethod
    def _start_reads(cls, text: str | None) -> str | None:
        if text is not None:
            _parse_start(text)
        return text

    @property
    def start(self) -> Start | None:
        """Where it starts, None for the beginning."""
        return None if self.start_at is None else _parse_start(self.start_at)


class FactorSpec(BaseModel):
    """What is varied: one key and its levels, or named levels that each set several keys.

    Of imported runs nothing is set: ``key`` is read from their configs, or ``phases`` says it.
    """

    model_config = _STRICT

    key: ConfigKey | None = None
    """The dotted config key whose values are the levels."""
    levels: list[ConfigValue] | dict[str, Settings] | None = None
    """Values of ``key``, or level name -> dotted keys and values."""
    phases: dict[Name, ConfigValue] | None = None
    """Of imported runs: phase -> its level, where no config says it."""

    @model_validator(mode="after")
    def _key_fits_levels(self) -> Self:
        if isinstance(self.levels, dict) and self.key is not None:
            raise ValueError(
                "named levels set their own keys; remove 'key' or write levels as a list"
            )
        if isinstance(self.levels, list) and self.key is None:
            raise ValueError("a list of levels needs 'key', the config key that takes the values")
        if self.phases is not None and (self.key is not None or self.levels is not None):
            raise ValueError("'phases' says the levels by itself; remove 'key' and 'levels'")
        if self.levels is None and (self.key is not None or self.phases):
            return self
        if not self.levels:
            raise ValueError("a factor needs at least one level")
        labels = list(self.settings())
        if isinstance(self.levels, list) and len(labels) < len(self.levels):
            raise ValueError("a level is there twice")
        return self

    def settings(self) -> dict[str, Settings]:
        """Return level label -> dotted keys and values."""
        if isinstance(self.levels, dict):
            return dict(self.levels)
        if self.levels is None or self.key is None:
            return {}
        return {level_label(value): {self.key: value} for value in self.levels}


class DesignSpec(BaseModel):
    """How the factors' levels are combined into variants.

    Other keys are options of the design, which says which it takes.
    """

    model_config = _STRICT | ConfigDict(extra="allow")

    kind: str = "one_at_a_time"
    parent: str | None = Field(default=None, alias="from")
    """The phase on which the levels are set; the baseline when it is not given."""

    @property
    def options(self) -> dict[str, Any]:
        """What is given beside kind and phase."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _options_known(self) -> DesignSpec:
        # A kind that nothing has is told when the study is planned, with those that there are.
        if self.options and self.kind in DESIGNS.names():
            design: Design = DESIGNS.load(self.kind)
            for name in self.options:
                if name not in design.options:
                    raise UnknownOptionError(name, tuple(design.options))
        return self


def _as_text(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.17g}" if is_number else value


class MetricSpec(BaseModel):
    """Which way is better, which step counts, and how differences are told."""

    model_config = _STRICT

    goal: Literal["min", "max", "target"]
    rule: str = DEFAULT_RULE.text
    # Keys that are newer than stored studies stand in a stored one only where they say something.
    primary: bool = Field(default=False, exclude_if=operator.not_)
    """Whether it decides verdicts: one to three metrics may; without any, the first does."""
    scale: Scale | None = None
    """``log`` compares ratios, ``identity`` differences; by default as the metric's kind is."""
    margin: Annotated[str, BeforeValidator(_as_text)] | None = None
    """The smallest difference that matters: ``2%``, or ``0.5`` in the metric's unit."""

    @field_validator("rule")
    @classmethod
    def _rule_reads(cls, text: str) -> str:
        return _read(MetricRule.parse, text).text

    @field_validator("margin")
    @classmethod
    def _margin_reads(cls, text: str | None) -> str | None:
        return None if text is None else _read(Margin.parse, text).text

    @model_validator(mode="after")
    def _margin_fits_scale(self) -> Self:
        margin = Margin.parse(self.margin) if self.margin else None
        if margin and self.scale and margin.scale != self.scale:
            how = "a percentage, as 2%" if self.scale == "log" else "a number in the metric's unit"
            raise _PlaceError(f"with the scale {self.scale} a margin is {how}", "margin")
        return self

    def declared(self, key: str) -> DeclaredMetric:
        """Return it as a rule."""
        margin = Margin.parse(self.margin) if self.margin else None
        return DeclaredMetric(
            key,
            self.goal,
            MetricRule.parse(self.rule),
            is_primary=self.primary,
            scale=self.scale or (margin.scale if margin else None),
            margin=margin,
        )


class GuardSpec(BaseModel):
    """A rule evaluated while a run trains."""

    model_config = _STRICT

    when: str = Field(
        description="<metric key> <operator> <number>, <metric key> is nan, or <metric key> "
        "is not finite; several joined by and",
        examples=[f"{RMS} < 0.0075", f"{TOTAL} is not finite"],
    )
    for_steps: Annotated[int, Field(ge=0)] = Field(default=0, alias="for")
    """Steps over which it must hold without a break."""
    after_step: Annotated[int, Field(ge=0)] = Field(default=0, alias="after")
    """Not judged before this step."""
    do: Literal["stop", "flag"] = "flag"

    @field_validator("when")
    @classmethod
    def _when_reads(cls, text: str) -> str:
        return _read(partial(Guard.parse, "", do="flag"), text).when


class GateSpec(BaseModel):
    """A step at which the targets are judged, and what follows."""

    model_config = _STRICT

    at: Annotated[int, Field(ge=1)]
    """The step."""
    do: Literal["stop", "flag"] = "flag"
    """``stop`` ends a run of which a target is critical."""


class BudgetSpec(BaseModel):
    """What the study may cost. Refused in study files until something acts on it."""

    model_config = _STRICT

    gpu_hours: Annotated[float, Field(gt=0)]


MAX_PRIMARIES = 3
"""Every further one makes all differences harder to decide."""


def _expand_metric(value: Any) -> Any:
    return {"goal": value} if isinstance(value, str) else value


def _expand_factor(value: Any) -> Any:
    return {"key": value} if isinstance(value, str) else value


def _expand_design(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


class StudySpec(BaseModel):
    """One question: base config, phases, factors, design, seeds, metrics, targets and what acts."""

    model_config = _STRICT

    study: Name
    question: str = ""
    trainer: str = "bundled"
    """A registered trainer, ``module:function``, or ``imported``: runs of other tools alone."""
    code: Literal["identity"] | None = None
    """``identity``: runs of a trainer of the user's own are new ones when its code is edited."""
    preload: list[str] | None = None
    """Installed modules that are imported once for all runs, beside those that are found."""
    stall_timeout_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Seconds without a sign after which a run counts as hung, 0 for never. Learned by default."""
    base: Settings = Field(default_factory=dict)
    """Dotted config keys that every variant starts from."""
    phases: Annotated[dict[Name, Annotated[PhaseSpec, _Section]], _Section] = Field(
        default_factory=dict
    )
    factors: Annotated[
        dict[Name, Annotated[FactorSpec, BeforeValidator(_expand_factor)]], _Section
    ] = Field(default_factory=dict)
    """What is varied; of imported runs ``NAME: KEY`` is short for its key."""
    design: Annotated[DesignSpec, BeforeValidator(_expand_design)] = Field(
        default_factory=DesignSpec
    )
    """How levels are combined; ``design: grid`` is short for its kind."""
    baseline: str | None = None
    """Of imported runs: the phase that the others are compared with. Other phases say it."""
    seeds: Annotated[int, Field(ge=1, le=1000)] | list[Annotated[int, Field(ge=0, lt=2**31)]] = 1
    """How many seeds, counted from 0, or the seeds themselves."""
    aa: Annotated[int, Field(ge=0, le=MAX_COPIES)] = Field(default=0, exclude_if=operator.not_)
    """Copies of the baseline under other seeds, which say how large a difference nothing makes."""
    metrics: Annotated[
        dict[MetricKey, Annotated[MetricSpec, BeforeValidator(_expand_metric)]], _Section
    ] = Field(default_factory=dict)
    targets: Annotated[dict[MetricKey, str], _Section] = Field(default_factory=dict)
    references: Annotated[list[Name], Field(min_length=1)] | None = None
    """Phases that all other phases are compared with, in place of the one each is made from."""
    pairing: Pairing = Field(default="auto", exclude_if=lambda value: value == "auto")
    """Whether differences are paired by seed."""
    gates: list[Annotated[int, Field(ge=1)] | GateSpec] = Field(
        default_factory=list[int | GateSpec]
    )
    """Steps at which the targets are judged; a bare one only flags."""
    guards: Annotated[dict[Name, GuardSpec], _Section] = Field(default_factory=dict)
    budget: BudgetSpec | None = None

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: int | list[int]) -> int | list[int]:
        if isinstance(seeds, list) and (not seeds or len(set(seeds)) < len(seeds)):
            raise ValueError("seeds are a number, or a list without repeats")
        return seeds

    @field_validator("targets")
    @classmethod
    def _targets_read(cls, targets: dict[str, str]) -> dict[str, str]:
        return {key: _read(Target.parse, text, key).text for key, text in targets.items()}

    @field_validator("metrics")
    @classmethod
    def _few_are_primary(cls, metrics: dict[str, MetricSpec]) -> dict[str, MetricSpec]:
        primary = [key for key, metric in metrics.items() if metric.primary]
        if len(primary) > MAX_PRIMARIES:
            raise _PlaceError(
                f"at most {MAX_PRIMARIES} metrics are primary: each makes all harder to decide",
                primary[MAX_PRIMARIES],
            )
        return metrics

    @field_validator("references")
    @classmethod
    def _references_differ(cls, names: list[str] | None) -> list[str] | None:
        if names and len(set(names)) < len(names):
            raise ValueError("a reference is there twice")
        return names

    @field_validator("gates")
    @classmethod
    def _gates_rise(cls, gates: list[int | GateSpec]) -> list[int | GateSpec]:
        steps = [gate if isinstance(gate, int) else gate.at for gate in gates]
        if steps != sorted(set(steps)):
            raise ValueError("gates are steps in rising order")
        return gates

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds, in the order in which they are run."""
        return tuple(range(self.seeds) if isinstance(self.seeds, int) else self.seeds)

    @property
    def named_keys(self) -> tuple[str, ...]:
        """The metrics that the study speaks of, each once."""
        guarded = (key for guard in self.guard_rules for key in guard.keys)
        return tuple(dict.fromkeys((*self.metrics, *self.targets, *guarded)))

    @property
    def metric_rules(self) -> dict[str, DeclaredMetric]:
        """The metrics by their keys, in the order in which they are declared."""
        return {key: metric.declared(key) for key, metric in self.metrics.items()}

    @property
    def target_rules(self) -> dict[str, Target]:
        """The targets by the keys of their metrics."""
        return {key: Target.parse(text) for key, text in self.targets.items()}

    @property
    def guard_rules(self) -> tuple[Guard, ...]:
        """The guards, ready to be evaluated."""
        return tuple(
            Guard.parse(name, g.when, for_steps=g.for_steps, after_step=g.after_step, do=g.do)
            for name, g in self.guards.items()
        )

    @property
    def gate_rules(self) -> tuple[Gate, ...]:
        """The gates, ready to be judged."""
        metrics = self.metric_rules
        demands = tuple(
            Demand(key, target, metrics[key].rule if key in metrics else DEFAULT_RULE)
            for key, target in self.target_rules.items()
        )
        specs = [GateSpec(at=gate) if isinstance(gate, int) else gate for gate in self.gates]
        return tuple(Gate(step=gate.at, do=gate.do, demands=demands) for gate in specs)

    def to_json(self) -> dict[str, Any]:
        """Return the study with its defaults filled in, as JSON under the file's own names."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


_DECLARED = ("metrics", "targets", "pairing", "gates", "guards")


def declarations(spec: Mapping[str, Any]) -> StudySpec:
    """Return what a stored study says of metrics, targets, pairing, gates and guards alone.

    The rest may be of a version that knew other keys; what is compared need not know them.
    """
    found = {name: spec[name] for name in _DECLARED if spec.get(name)}
    return StudySpec.model_validate({"study": "declared", **found})


def level_label(value: Any) -> str:
    """Return how a level is named: YAML's spelling of the value, without blanks."""
    if isinstance(value, str):
        return value
    return re.sub(r"\s+", "", json.dumps(value))


def json_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a study file, for editors."""
    return StudySpec.model_json_schema(by_alias=True)


class UnknownOptionError(ValueError):
    """A design does not take a key.

    Args:
        key: The one that is given.
        known: The options that it takes.
    """

    def __init__(self, key: str, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown key '{key}'")
        self.key = key
        self.known = known


class _PlaceError(ValueError):
    """A rule that cannot be read, at a key below the field."""

    def __init__(self, message: str, key: str | None) -> None:
        super().__init__(message)
        self.key = key


def _read(parse: Any, text: str, key: str | None = None) -> Any:
    try:
        return parse(text)
    except RuleError as error:
        raise _PlaceError(str(error), key) from error
