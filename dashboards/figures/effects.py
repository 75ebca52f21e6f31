"""The difference of every variant to the baseline in one metric, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.analysis.comparison import Comparison, Metric
from ablate.analysis.statistics.contrasts import Contrast
from ablate.render.comparison.tables import contrast_text
from dashboards.theme import INK, Look, axis, label, layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True)
class Effect:
    """One variant's difference to the baseline."""

    variant: str
    difference: float
    low: float | None
    high: float | None
    text: str
    """As in the tables."""
    is_resolved: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectsInfo:
    """What a figure of effects shows."""

    key: str
    baseline: str
    wanted: str
    effects: tuple[Effect, ...]


def effects_info(comparison: Comparison, metric: Metric) -> EffectsInfo | None:
    """Return what is to be drawn of a metric, None when nothing differs from the baseline."""
    effects: list[Effect] = []
    for row in comparison.rows:
        summary = row.values.get(metric.key)
        contrast = summary.contrast_to(comparison.baseline) if summary else None
        if contrast and contrast.difference is not None:
            effects.append(_effect(row.variant, contrast.difference, contrast))
    if not effects:
        return None
    wanted = {
        "min": "left is better",
        "max": "right is better",
        "target": "in distance to target; left is better",
        None: "",
    }[metric.goal]
    return EffectsInfo(
        key=metric.key, baseline=comparison.baseline, wanted=wanted, effects=tuple(effects)
    )


def effects_figure(info: EffectsInfo, looks: Mapping[str, Look]) -> Figure:
    """Return the figure: a point and interval for each variant, hollow where unresolved."""
    from plotly.graph_objects import Figure

    zero = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1}
    title = f"difference to {info.baseline}"
    return Figure(
        data=[_trace(effect, looks[effect.variant]) for effect in info.effects],
        layout=layout(
            info.key,
            xaxis=axis(f"{title}, {info.wanted}" if info.wanted else title),
            yaxis=axis(
                type="category",
                autorange="reversed",
                categoryorder="array",
                categoryarray=[label(effect.variant) for effect in info.effects],
            ),
            shapes=[zero | {"line": {"color": INK, "width": 1}}],
            showlegend=False,
            height=130 + 34 * len(info.effects),
        ),
        skip_invalid=False,
    )


def _effect(variant: str, difference: float, contrast: Contrast) -> Effect:
    return Effect(
        variant,
        difference,
        contrast.ci_low,
        contrast.ci_high,
        contrast_text(contrast),
        contrast.verdict not in ("unresolved", "withheld"),
    )


def _trace(effect: Effect, look: Look) -> dict[str, Any]:
    low, high = effect.low, effect.high
    errors: dict[str, Any] = {"visible": False}
    if low is not None and high is not None:
        errors = {
            "type": "data",
            "symmetric": False,
            "array": [high - effect.difference],
            "arrayminus": [effect.difference - low],
            "color": look.color,
            "thickness": 2,
            "width": 6,
        }
    name = label(effect.variant)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [effect.difference],
        "y": [name],
        "error_x": errors,
        "marker": {
            "size": 10,
            "symbol": look.symbol,
            "color": look.color if effect.is_resolved else "#ffffff",
            "line": {"color": look.color, "width": 2},
        },
        "hovertemplate": f"{name}: {label(effect.text)}<extra></extra>",
    }
