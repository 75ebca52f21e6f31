"""Curves of one metric: mean and range over seeds, target, silent value and events."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate import keys
from ablate.analysis.curves.jumps import events_of
from ablate.analysis.curves.study_data import StudyData
from ablate.rules import mean
from ablate.store.curves import Stretches
from ablate.text import counted
from dashboards.theme import INK, MUTED, SILENT, TARGET, FigureSpec, Look, axis, label, layout

POINTS = 400
"""Points of a line; longer curves are drawn as means over equal stretches of steps."""
BUDGET = 40_000
"""Points of all runs together in one figure; a study of many runs gets shorter lines."""
LINES = 60
"""With more runs than this, the range alone stands for the seeds."""
DECADES = 2.0
"""Positive values that span more than this are drawn on a logarithmic axis."""
NEAR = 0.02
"""Events closer than this fraction of the axis share one mark."""
OFTEN = 4
"""An event of a variant at more steps than this is routine: marks for it would hide the curves."""


@dataclass(frozen=True, slots=True)
class Line:
    """Points that are drawn; a value that is not finite leaves a gap."""

    steps: tuple[int, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantCurves:
    """One variant: its runs, their mean and their range."""

    variant: str
    seeds: Mapping[int, Line]
    mean: Line
    low: Line
    high: Line
    """Smallest and largest value of any run, of all logged points; as long as ``mean``."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Events at one place of the axis."""

    step: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvesInfo:
    """What a figure of curves shows."""

    key: str
    variants: tuple[VariantCurves, ...]
    stretch: int
    """Steps that one drawn point is the mean of; 1 when every logged point is drawn."""
    at_step: int | None
    band: tuple[float | None, float | None] | None
    """What the target allows; None on a side that is open, None without a target or for a drift."""
    target: str | None
    silent: Line | None
    """For a loss: the value that it takes for a silent output."""
    marks: tuple[Mark, ...]
    is_log: bool


def curves_info(data: StudyData, key: str, *, at_step: int | None = None) -> CurvesInfo | None:
    """Return what is to be drawn of a key, None when no run has a point."""
    width = _width(data, key)
    found = {n: _by_seed(data, n, key, width) for n in data.names}
    curves = [curve for seeds in found.values() for curve in seeds.values()]
    if not curves:
        return None
    if width > 1 and all(count == 1 for curve in curves for count in curve.counts):
        # It was logged so rarely that each point is drawn where it is.
        width = 1
        found = {n: _by_seed(data, n, key, width) for n in data.names}
    variants = tuple(_variant(name, seeds) for name, seeds in found.items() if seeds)
    target = data.targets.get(key)
    band = None
    if target and target.kind != "drift":
        low = target.value - target.allowance if target.kind == "band" else target.value
        high = target.value + target.allowance if target.kind == "band" else target.value
        band = (
            None if target.kind == "at_most" else low,
            None if target.kind == "at_least" else high,
        )
    last = max(curve.last_step for curve in curves)
    return CurvesInfo(
        key=key,
        variants=variants,
        stretch=width,
        at_step=at_step if at_step is not None and at_step < last else None,
        band=band,
        target=target.text if target else None,
        silent=_silent(data, key, width),
        marks=_marks(data, last),
        is_log=_spans_decades(variants),
    )


def curves_figure(info: CurvesInfo, looks: Mapping[str, Look]) -> FigureSpec:
    """Return the figure."""
    traces: list[dict[str, Any]] = []
    with_seeds = sum(len(curves.seeds) for curves in info.variants) <= LINES
    for curves in info.variants:
        traces += _traces(curves, looks[curves.variant], with_seeds=with_seeds)
    if info.silent:
        traces.append(_silent_trace(info.silent))
    shapes, notes = _target_shapes(info)
    for mark in info.marks:
        shapes.append(_vertical(mark.step, "dot"))
        notes.append(_mark_note(mark))
    if info.at_step is not None:
        shapes.append(_vertical(info.at_step, "solid"))
        notes.append(_mark_note(Mark(info.at_step, "compared here")))
    every = f" (means of {info.stretch} steps)" if info.stretch > 1 else ""
    return {
        "data": traces,
        "layout": layout(
            info.key,
            xaxis=axis(f"step{every}", rangemode="tozero"),
            yaxis=axis(type="log", dtick=1, exponentformat="power")
            if info.is_log
            else axis(exponentformat="power"),
            shapes=shapes,
            annotations=notes,
        ),
    }


def _width(data: StudyData, key: str) -> int:
    """Return the steps that one drawn point stands for."""
    ends = [run.step or 0 for run in data.runs if data.curve(run.id, key)]
    points = max(40, min(POINTS, BUDGET // max(1, len(ends))))
    return math.ceil((max(ends, default=0) + 1) / points)


def _by_seed(data: StudyData, variant: str, key: str, width: int) -> dict[int, Stretches]:
    runs = data.runs_of(variant)
    return {r.seed: curve.stretched(width) for r in runs if (curve := data.curve(r.id, key))}


def _variant(name: str, seeds: Mapping[int, Stretches]) -> VariantCurves:
    gathered: dict[int, list[tuple[float | None, float | None, float | None]]] = {}
    for curve in seeds.values():
        rows = zip(curve.starts, curve.means, curve.lows, curve.highs, strict=True)
        for start, *row in rows:
            gathered.setdefault(start, []).append((row[0], row[1], row[2]))
    # The mean is drawn only where every run that is still going has a point: elsewhere it would
    # jump with the runs that take part, not with their values.
    ends = sorted(curve.starts[-1] for curve in seeds.values())
    starts = sorted(gathered)
    whole = [s for s in starts if len(gathered[s]) >= len(ends) - bisect_right(ends, s - 1)]
    means, lows, highs = (
        {s: [v for row in gathered[s] if (v := row[part]) is not None] for s in whole}
        for part in range(3)
    )
    return VariantCurves(
        variant=name,
        seeds={
            seed: _line(dict(zip(curve.starts, curve.means, strict=True)))
            for seed, curve in seeds.items()
        },
        mean=_line({s: mean(values) if values else None for s, values in means.items()}),
        low=_line({s: min(values, default=None) for s, values in lows.items()}),
        high=_line({s: max(values, default=None) for s, values in highs.items()}),
    )


def _line(points: Mapping[int, float | None]) -> Line:
    # Five digits are finer than a pixel and halve the size of the page.
    rounded = tuple(None if v is None else float(f"{v:.5g}") for v in points.values())
    return Line(tuple(points), rounded)


def _silent(data: StudyData, key: str, width: int) -> Line | None:
    split = key.partition("/")[0]
    if not keys.LOSS.holds(key, split):
        return None
    silent = keys.SILENT.key(keys.LOSS.name_in(key, split), split)
    gathered: dict[int, list[tuple[float, int]]] = {}
    for run in data.runs:
        if curve := data.curve(run.id, silent):
            own = curve.stretched(width)
            for start, value, count in zip(own.starts, own.means, own.counts, strict=True):
                of_stretch = gathered.setdefault(start, [])
                if value is not None:
                    of_stretch.append((value, count))
    if not gathered:
        return None
    return _line({start: _weighted(gathered[start]) for start in sorted(gathered)})


def _weighted(values: Sequence[tuple[float, int]]) -> float | None:
    total = sum(count for _, count in values)
    return math.fsum(value * count for value, count in values) / total if total else None


def _marks(data: StudyData, last: int) -> tuple[Mark, ...]:
    """Return the events of all variants; those that lie close together share a mark.

    What every run begins with, at step 0, and what happens again and again explains no curve.
    """
    found: list[tuple[int, str, str]] = []
    for name in data.names:
        events = [event for event in events_of(data, name, last) if event.steps[0] > 0]
        counts = Counter(event.label for event in events)
        found += [(e.steps[0], e.label, name) for e in events if counts[e.label] <= OFTEN]
    found.sort()
    clusters: list[tuple[int, dict[str, set[str]]]] = []
    for step, event, name in found:
        if not clusters or step - clusters[-1][0] > NEAR * last:
            clusters.append((step, {}))
        clusters[-1][1].setdefault(event, set()).add(name)
    return tuple(Mark(step, _mark_text(events, data.names)) for step, events in clusters)


def _mark_text(events: Mapping[str, set[str]], names: Sequence[str]) -> str:
    parts: list[str] = []
    for event, variants in events.items():
        if len(variants) == len(names):
            parts.append(event)
        else:
            whose = next(iter(variants)) if len(variants) == 1 else f"{len(variants)} variants"
            parts.append(f"{event} ({whose})")
    return ", ".join(parts)


def _spans_decades(variants: Sequence[VariantCurves]) -> bool:
    values = [v for c in variants for line in (c.low, c.high) for v in line.values if v is not None]
    if not values or min(values) <= 0:
        return False
    return math.log10(max(values) / min(values)) > DECADES


def _traces(curves: VariantCurves, look: Look, *, with_seeds: bool) -> list[dict[str, Any]]:
    name = label(curves.variant)
    shared: dict[str, Any] = {"type": "scatter", "mode": "lines", "legendgroup": name}
    hidden = shared | {"showlegend": False, "hoverinfo": "skip"}
    traces: list[dict[str, Any]] = []
    if len(curves.seeds) > 1:
        edge = {"width": 0, "color": look.color}
        traces.append(hidden | {"x": curves.high.steps, "y": curves.high.values, "line": edge})
        traces.append(
            hidden
            | {
                "x": curves.low.steps,
                "y": curves.low.values,
                "line": edge,
                "fill": "tonexty",
                "fillcolor": look.faded(0.14),
            }
        )
        for line in curves.seeds.values() if with_seeds else ():
            thin = {"width": 0.8, "color": look.faded(0.45)}
            traces.append(hidden | {"x": line.steps, "y": line.values, "line": thin})
    seeds = counted(len(curves.seeds), "seed")
    traces.append(
        shared
        | {
            "x": curves.mean.steps,
            "y": curves.mean.values,
            "name": name,
            "line": {"width": 2.2, "color": look.color, "dash": look.dash},
            "hovertemplate": f"{name}, mean of {seeds}<br>step %{{x}}: %{{y:.4g}}<extra></extra>",
        }
    )
    return traces


def _silent_trace(line: Line) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": line.steps,
        "y": line.values,
        "name": "silent output",
        "line": {"width": 1.6, "color": SILENT, "dash": "dash"},
        "hovertemplate": "silent output<br>step %{x}: %{y:.4g}<extra></extra>",
    }


def _target_shapes(info: CurvesInfo) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if info.band is None:
        return [], []
    low, high = info.band
    shapes: list[dict[str, Any]] = []
    across = {"xref": "paper", "x0": 0, "x1": 1, "layer": "below"}
    if low is not None and high is not None:
        fill = {"fillcolor": TARGET, "opacity": 0.13, "line": {"width": 0}}
        shapes.append({"type": "rect", "y0": low, "y1": high, **across, **fill})
    else:
        edge = {"line": {"color": TARGET, "width": 1.4, "dash": "longdash"}}
        bound = low if low is not None else high
        shapes.append({"type": "line", "y0": bound, "y1": bound, **across, **edge})
    at = high if high is not None else low
    assert at is not None
    note = {
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        # An annotation on a logarithmic axis stands at the exponent, unlike a shape.
        "y": math.log10(at) if info.is_log and at > 0 else at,
        "yanchor": "bottom",
        "text": label(f"target {info.target}"),
        "showarrow": False,
        "font": {"color": TARGET, "size": 11},
    }
    return shapes, [note]


def _vertical(step: int, dash: str) -> dict[str, Any]:
    line = {"color": MUTED, "width": 1, "dash": dash}
    return {"type": "line", "x0": step, "x1": step, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def _mark_note(mark: Mark) -> dict[str, Any]:
    return {
        "x": mark.step,
        "yref": "paper",
        "y": 1,
        "xanchor": "right",
        "yanchor": "top",
        "textangle": -90,
        "text": label(mark.text if len(mark.text) <= 32 else mark.text[:31] + "…"),
        "showarrow": False,
        "font": {"color": INK, "size": 10},
    }
