"""One metric of all variants on one axis: seeds, means, the target, and what is decided."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.analysis.comparison import ComparedVariant, Comparison, Metric
from ablate.analysis.statistics.summaries import MetricSummary
from ablate.rules import Scale, Target, mean
from dashboards.theme import INK, TARGET, FigureSpec, Look, axis, label, layout

_LOG_FROM = 20.0
"""Where the largest positive value is so many times the smallest the axis is logarithmic."""
_ROOM = 0.15
"""Of the axis, on either side of the values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """One variant in one metric."""

    variant: str
    seeds: tuple[float, ...]
    """Finite."""
    mean: float
    low: float | None
    """Where the variant would lie at the ends of its difference to the reference."""
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StandingsInfo:
    """What a figure of standings shows."""

    key: str
    wanted: str
    standings: tuple[Standing, ...]
    """In the order of the rows, the first on top."""
    reference: str | None
    """With which intervals are drawn; None where nothing is compared."""
    null: float | None
    """Its level."""
    floor: tuple[float, float] | None
    """As far to either side of its level as copies of it lie; None without copies."""
    band: tuple[float | None, float | None] | None
    """Where the target lies, open on one side for a floor or a ceiling."""
    is_log: bool


def standings_info(
    comparison: Comparison, metric: Metric, rows: Sequence[ComparedVariant]
) -> StandingsInfo | None:
    """Return what is to be drawn of a metric, None where no variant has a finite value."""
    seen = [(row, s) for row in rows if (s := row.values.get(metric.key)) and s.n]
    if not seen:
        return None
    contrasts = [
        c
        for row, s in seen
        for c in s.contrasts
        if c.reference in row.references and c.ci_low is not None and c.measure == "value"
    ]
    counts = Counter(c.reference for c in contrasts)
    reference = counts.most_common(1)[0][0] if counts else None
    null = None
    if reference:
        null = _level(comparison.row(reference).values[metric.key], contrasts[0].scale)
    standings = tuple(_standing(row, metric.key, reference, null) for row, _ in seen)
    values = [v for standing in standings for v in standing.seeds]
    return StandingsInfo(
        key=metric.key,
        wanted={"min": "left is better", "max": "right is better"}.get(metric.goal or "", ""),
        standings=standings,
        reference=reference,
        null=null,
        floor=_floor(comparison, metric.key, reference, null),
        band=_band(metric.target),
        is_log=min(values) > 0 and max(values) >= _LOG_FROM * min(values),
    )


def standings_figure(info: StandingsInfo, looks: Mapping[str, Look]) -> FigureSpec:
    """Return the figure: a row for each variant, seeds as dots, its mean as a line across.

    A bar that does not touch the dashed line of the reference is decided.
    """
    names = [label(standing.variant) for standing in info.standings]
    title = f"dashed: {info.reference}" if info.reference else ""
    title += ", grey: as far as its copies lie" if info.floor else ""
    return {
        "data": [t for s in info.standings for t in _traces(s, looks[s.variant])],
        "layout": layout(
            info.key,
            xaxis=axis(", ".join(filter(None, (title, info.wanted))), **_range(info)),
            yaxis=axis(
                type="category",
                autorange="reversed",
                categoryorder="array",
                categoryarray=names,
            ),
            shapes=_shapes(info),
            showlegend=False,
            height=120 + 26 * len(names),
        ),
    }


def described(info: StandingsInfo) -> str:
    """Return what a screen reader says."""
    means = ", ".join(f"{s.variant} {s.mean:.3g}" for s in info.standings)
    return f"Seeds and means of {info.key}: {means}"


def _standing(
    row: ComparedVariant, key: str, reference: str | None, null: float | None
) -> Standing:
    summary = row.values[key]
    contrast = summary.contrast_to(reference) if reference in row.references else None
    low, high = (contrast.ci_low, contrast.ci_high) if contrast else (None, None)
    return Standing(
        variant=row.variant,
        seeds=tuple(v.value for v in summary.seeds if math.isfinite(v.value)),
        mean=summary.mean,
        low=None if low is None or null is None else null + low,
        high=None if high is None or null is None else null + high,
    )


def _level(summary: MetricSummary, scale: Scale) -> float:
    """Return where the reference lies: its geometric mean where ratios are compared."""
    if scale == "identity":
        return summary.mean
    return math.exp(mean([math.log(v.value) for v in summary.seeds if v.is_at_step]))


def _floor(
    comparison: Comparison, key: str, reference: str | None, null: float | None
) -> tuple[float, float] | None:
    found = comparison.floor(reference, key) if reference else None
    if found is None or null is None:
        return None
    if found.largest_ratio is not None:
        return null / found.largest_ratio, null * found.largest_ratio
    return None if found.largest is None else (null - found.largest, null + found.largest)


def _band(target: str | None) -> tuple[float | None, float | None] | None:
    if target is None:
        return None
    parsed = Target.parse(target)
    match parsed.kind:
        case "band":
            return parsed.value - parsed.allowance, parsed.value + parsed.allowance
        case "at_least":
            return parsed.value, None
        case "at_most":
            return None, parsed.value
        case "drift":
            return None


def _traces(standing: Standing, look: Look) -> list[dict[str, Any]]:
    name = label(standing.variant)
    base = {"type": "scatter", "y": [name], "name": name}
    traces: list[dict[str, Any]] = []
    if standing.low is not None and standing.high is not None:
        traces.append(
            base
            | {
                "mode": "lines",
                "x": [standing.low, standing.high],
                "y": [name, name],
                "line": {"color": look.faded(0.35), "width": 7},
                "hoverinfo": "skip",
            }
        )
    traces.append(
        base
        | {
            "mode": "markers",
            "x": [standing.mean],
            "marker": {
                "symbol": "line-ns-open",
                "size": 16,
                "color": look.color,
                "line": {"width": 2, "color": look.color},
            },
            "hovertemplate": f"{name}: mean %{{x:.4g}}<extra></extra>",
        }
    )
    traces.append(
        base
        | {
            "mode": "markers",
            "x": list(standing.seeds),
            "y": [name] * len(standing.seeds),
            "marker": {"size": 7, "color": look.color, "line": {"color": "#ffffff", "width": 1}},
            "hovertemplate": f"{name}: %{{x:.4g}}<extra></extra>",
        }
    )
    return traces


def _limits(info: StandingsInfo) -> tuple[float, float]:
    """Return the ends of the axis: of seeds and target, not of intervals, which may be vast."""
    values = [v for standing in info.standings for v in standing.seeds]
    values += [] if info.null is None else [info.null]
    values += [end for end in (*(info.band or ()), *(info.floor or ())) if end is not None]
    if info.is_log:
        logs = [math.log10(v) for v in values if v > 0]
        room = _ROOM * (max(logs) - min(logs)) or 0.1
        return 10 ** (min(logs) - room), 10 ** (max(logs) + room)
    room = _ROOM * (max(values) - min(values)) or abs(values[0]) * 0.1 or 1.0
    return min(values) - room, max(values) + room


def _range(info: StandingsInfo) -> dict[str, Any]:
    low, high = _limits(info)
    if not info.is_log:
        return {"range": [low, high]}
    return {"type": "log", "range": [math.log10(low), math.log10(high)]}


def _shapes(info: StandingsInfo) -> list[dict[str, Any]]:
    shapes: list[dict[str, Any]] = []
    low, high = _limits(info)
    if info.floor is not None:
        start, end = info.floor
        shapes.append(_area(max(start, low), end, INK, 0.08))
    if info.band is not None:
        first, last = info.band
        start, end = low if first is None else max(first, low), high if last is None else last
        shapes.append(_area(start, end, TARGET, 0.1))
    if info.null is not None:
        line = {"color": INK, "width": 1, "dash": "dash"}
        shapes.append(
            {
                "type": "line",
                "x0": info.null,
                "x1": info.null,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": line,
            }
        )
    return shapes


def _area(start: float, end: float, color: str, opacity: float) -> dict[str, Any]:
    return {
        "type": "rect",
        "x0": start,
        "x1": end,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "fillcolor": color,
        "opacity": opacity,
        "line": {"width": 0},
        "layer": "below",
    }
