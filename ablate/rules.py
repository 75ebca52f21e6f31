"""Rules that a study declares before it runs: which step counts, what is good, when to stop.

All pure: text in, frozen rule out; numbers in, judgement out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from ablate.errors import RuleError
from ablate.keys import RMS, TOTAL, metric_key

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


class Status(StrEnum):
    """How a value stands against its target."""

    GOOD = "good"
    DEGRADING = "degrading"
    """Missed by at most as much again as the target allows."""
    CRITICAL = "critical"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Target:
    """What a metric must satisfy.

    Written ``0.075 +-20%``, ``1.0 +-0.1``, ``>= 8``, ``<= 1.2``, or ``drift < 10%`` (relative
    change from the run's first value).
    """

    text: str
    kind: Literal["band", "at_least", "at_most", "drift"]
    value: float
    """The centre of a band, the bound of an inequality; 0 for a drift."""
    allowance: float
    """Half width of the band in the metric's unit; for a drift, the fraction allowed."""

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a target.

        Raises:
            RuleError: If it is not of one of the four forms, or allows nothing.
        """
        clean = text.strip()
        if found := re.fullmatch(rf"drift\s*<=?\s*({_NUMBER})\s*%", clean):
            return cls(clean, "drift", 0.0, _positive(float(found[1]) / 100, clean))
        if found := re.fullmatch(rf"(>=?|<=?|≥|≤)\s*({_NUMBER})", clean):
            kind = "at_least" if found[1] in (">", ">=", "≥") else "at_most"
            return cls(clean, kind, float(found[2]), abs(float(found[2])))
        if found := re.fullmatch(rf"({_NUMBER})\s*(?:\+-|±|\+/-)\s*({_NUMBER})\s*(%?)", clean):
            centre, width = float(found[1]), float(found[2])
            half = abs(centre) * width / 100 if found[3] else width
            return cls(clean, "band", centre, _positive(half, clean))
        raise RuleError(
            f"cannot read the target '{text}'; "
            "write '0.075 +-20%', '>= 8', '<= 1.2' or 'drift < 10%'"
        )

    def judge(self, value: float | None, initial: float | None = None) -> Status:
        """Return how ``value`` stands.

        A miss of at most the allowance again is ``degrading``, more is ``critical``: a norm that
        may drift 10% is degrading up to 20%, a floor of 8 down to 4. A value that is not a number
        is critical; one that was never logged is ``no data``.

        Args:
            value: The metric, or None when there is none.
            initial: The run's first value; needed for a drift alone.
        """
        if value is None:
            return Status.NO_DATA
        if not math.isfinite(value):
            return Status.CRITICAL
        if self.kind == "drift" and not initial:
            return Status.NO_DATA
        excess = self._excess(value, initial)
        if excess <= 0:
            return Status.GOOD
        return Status.DEGRADING if excess <= self.allowance else Status.CRITICAL

    def _excess(self, value: float, initial: float | None) -> float:
        """Return by how much the target is missed, in units of the allowance; <= 0 is met."""
        match self.kind:
            case "band":
                return abs(value - self.value) - self.allowance
            case "at_least":
                # Half the floor is where "degrading" ends.
                return 2 * (self.value - value)
            case "at_most":
                return value - self.value
            case "drift":
                assert initial is not None
                return abs(value / initial - 1) - self.allowance


def _positive(value: float, text: str) -> float:
    if not value > 0:
        raise RuleError(f"the target '{text}' allows nothing; give it a width above 0")
    return value


Goal = Literal["min", "max", "target"]


@dataclass(frozen=True, slots=True)
class MetricRule:
    """Which number stands for a run's curve, declared before the run.

    ``last``: the value at the compared step. ``mean_last_10%``: the mean of the points in the last
    tenth of the steps up to it. ``mean_last_50``: of the points in its last 50 steps. ``min`` and
    ``max``: the extreme up to it.
    """

    text: str
    kind: Literal["last", "mean", "min", "max"]
    fraction: float = 0.0
    """Of the compared step, for a mean written with a per cent sign; in (0, 1]."""
    steps: int = 0
    """Width in steps, for a mean written without."""

    @classmethod
    def parse(cls, text: str) -> MetricRule:
        """Read a rule.

        Raises:
            RuleError: If it is none of the forms above.
        """
        clean = text.strip()
        if clean in ("last", "min", "max"):
            return cls(clean, clean)  # pyright: ignore[reportArgumentType]
        if found := re.fullmatch(r"mean_last_(\d+)(%?)", clean):
            width = int(found[1])
            if found[2] and 0 < width <= 100:
                return cls(clean, "mean", fraction=width / 100)
            if not found[2] and width > 0:
                return cls(clean, "mean", steps=width)
        raise RuleError(
            f"cannot read the rule '{text}'; write last, mean_last_10%, mean_last_50, min or max"
        )

    def window(self, at_step: int) -> tuple[int, int]:
        """Return the steps that count, first and last inclusive, when compared at ``at_step``."""
        if self.kind == "mean":
            width = self.steps or max(1, round(self.fraction * at_step))
            return max(0, at_step - width + 1), at_step
        if self.kind == "last":
            return at_step, at_step
        return 0, at_step

    def reduce(self, values: Sequence[float]) -> float:
        """Return the number that stands for the points in the window.

        A curve that ends in NaN or an infinity is that, whatever the rule: no extreme on the way
        there makes up for it. An earlier NaN is no extreme.

        Args:
            values: By ascending step, at least one.
        """
        if self.kind == "mean":
            return mean(values)
        if self.kind == "last" or not math.isfinite(values[-1]):
            return values[-1]
        numbers = [v for v in values if not math.isnan(v)]
        return min(numbers) if self.kind == "min" else max(numbers)


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean of at least one value; NaN or infinite as soon as one is."""
    odd = [v for v in values if not math.isfinite(v)]
    if odd:
        return odd[0] if len(set(odd)) == 1 else math.nan
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        largest = max(map(abs, values))
        return math.fsum(v / largest for v in values) / len(values) * largest


DEFAULT_RULE = MetricRule.parse("mean_last_10%")

Action = Literal["stop", "flag"]
"""What a guard or a gate does to a run; both write an event."""


Scale = Literal["identity", "log"]
"""``log``: compared by ratios, for what is positive; ``identity``: by differences."""
Pairing = Literal["auto", "always", "never"]
"""Whether differences are paired by seed; ``auto`` where seeds are seen to matter."""


@dataclass(frozen=True, slots=True)
class Margin:
    """The smallest difference that matters: ``0.5`` in the metric's unit, or ``2%``."""

    text: str
    size: float
    """On the scale on which values are compared: ``2%`` is log 1.02."""
    scale: Scale

    @classmethod
    def parse(cls, text: str) -> Margin:
        """Read a margin.

        Raises:
            RuleError: If it is neither a number nor a percentage above 0.
        """
        clean = text.strip()
        if found := re.fullmatch(rf"({_NUMBER})\s*(%?)", clean):
            size = float(found[1])
            if size > 0 and math.isfinite(size):
                is_ratio = bool(found[2])
                return cls(
                    clean,
                    math.log1p(size / 100) if is_ratio else size,
                    "log" if is_ratio else "identity",
                )
        raise RuleError(f"cannot read the margin '{text}'; write 0.5 or 2%, above 0")


@dataclass(frozen=True, slots=True)
class DeclaredMetric:
    """What a study declares about a metric before it runs."""

    key: str
    goal: Goal | None
    """None when nothing says which direction is good."""
    rule: MetricRule = DEFAULT_RULE
    is_primary: bool = False
    """Whether it was declared to decide verdicts."""
    scale: Scale | None = None
    """None where the values say it."""
    margin: Margin | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A metric against a number, or whether it is a number at all."""

    key: str
    operator: Literal["<", "<=", ">", ">=", "is nan", "is not finite"]
    threshold: float = 0.0
    """0 where the operator compares with none."""

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition: ``train/audio/rms < 0.0075``, ``train/loss/total is nan``.

        Raises:
            RuleError: If it is neither ``<metric key> <operator> <number>`` nor ``<metric key> is
                nan`` or ``is not finite``.
        """
        operator: Any
        if found := re.fullmatch(r"\s*(\S+)\s+is\s+(nan|not\s+finite)\s*", text, re.IGNORECASE):
            operator = "is " + " ".join(found[2].lower().split())
            return cls(metric_key(found[1]), operator)
        found = re.fullmatch(rf"\s*(\S+)\s*(<=?|>=?)\s*({_NUMBER})\s*", text)
        if not found:
            raise RuleError(
                f"cannot read the condition '{text}'; write '{RMS} < 0.0075', "
                f"'{TOTAL} is nan' or 'is not finite', and join several with 'and'"
            )
        operator = found[2]
        return cls(metric_key(found[1]), operator, float(found[3]))

    @property
    def text(self) -> str:
        """As it is written."""
        if self.operator in ("is nan", "is not finite"):
            return f"{self.key} {self.operator}"
        short = f"{self.threshold:g}"
        exact = short if float(short) == self.threshold else repr(self.threshold)
        return f"{self.key} {self.operator} {exact}"

    def holds(self, value: float) -> bool:
        """Return whether ``value`` satisfies the condition. NaN satisfies no comparison."""
        match self.operator:
            case "is nan":
                return math.isnan(value)
            case "is not finite":
                return not math.isfinite(value)
            case "<":
                return value < self.threshold
            case "<=":
                return value <= self.threshold
            case ">":
                return value > self.threshold
            case ">=":
                return value >= self.threshold


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """A rule evaluated while a run trains: ``when`` has held over ``for_steps`` steps -> ``do``."""

    name: str
    conditions: tuple[Condition, ...]
    """All must hold at once; at least one."""
    for_steps: int
    """How many steps they must hold without a break; 0 fires at the first."""
    after_step: int
    """Not judged before this step: a warm-up, in which healthy runs may look ill."""
    do: Action

    @classmethod
    def parse(
        cls, name: str, when: str, *, for_steps: int = 0, after_step: int = 0, do: Action
    ) -> Guard:
        """Read ``when``: conditions joined by ``and``.

        Raises:
            RuleError: If one of them cannot be read.
        """
        return cls(
            name=name,
            conditions=tuple(map(Condition.parse, re.split(r"\s+and\s+", when))),
            for_steps=for_steps,
            after_step=after_step,
            do=do,
        )

    @property
    def when(self) -> str:
        """The conditions as text."""
        return " and ".join(condition.text for condition in self.conditions)

    @property
    def keys(self) -> tuple[str, ...]:
        """The metrics that it looks at, each once."""
        return tuple(dict.fromkeys(condition.key for condition in self.conditions))

    def holds(self, values: Mapping[str, float]) -> bool:
        """Return whether the values of all `keys` satisfy all conditions."""
        return all(condition.holds(values[condition.key]) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Demand:
    """A target with the rule that says which number is held against it."""

    key: str
    target: Target
    rule: MetricRule


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A step at which a run's targets are judged; ``stop`` ends a run that misses one critically.

    What counts is what the run has logged up to that step, the step itself included.
    """

    step: int
    do: Action
    demands: tuple[Demand, ...]
    """All targets of the study."""
