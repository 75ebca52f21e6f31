"""The difference of every variant to its references in one metric, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablate.analysis.comparison import Comparison, Metric
from ablate.analysis.statistics.contrasts import Contrast
from ablate.render.comparison.tables import GOALS, contrast_text, wanted_of
from dashboards.theme import INK, FigureSpec, Look, axis, label, layout


@dataclass(frozen=True, slots=True)
class Effect:
    """One variant's difference to a reference."""

    variant: str
    reference: str
    difference: float
    """Or ratio."""
    low: float | None
    high: float | None
    text: str
    """As in the tables."""
    is_resolved: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectsInfo:
    """What a figure of effects shows."""

    key: str
    wanted: str
    effects: tuple[Effect, ...]
    is_ratio: bool = False
    """Whether these are ratios, of which 1 is no difference."""

    @property
    def reference(self) -> str | None:
        """The one with which all are compared; None where there are several."""
        names = {effect.reference for effect in self.effects}
        return names.pop() if len(names) == 1 else None

    def label(self, effect: Effect) -> str:
        """Return how a row is named."""
        own = label(effect.variant)
        return own if self.reference else f"{own} - {label(effect.reference)}"


def effects_info(comparison: Comparison, metric: Metric) -> EffectsInfo | None:
    """Return what is to be drawn of a metric, None when it differs from no reference."""
    contrasts = [
        (row.variant, contrast)
        for row in comparison.rows
        if (summary := row.values.get(metric.key))
        for contrast in summary.contrasts
        if contrast.reference in row.references and contrast.difference is not None
    ]
    if not contrasts:
        return None
    is_ratio = all(contrast.ratio for _, contrast in contrasts)
    is_distance = any(contrast.measure != "value" for _, contrast in contrasts)
    better = "right" if wanted_of(metric) == GOALS["max"] else "left"
    wanted = f"{better} is better" if metric.goal else ""
    return EffectsInfo(
        key=metric.key,
        wanted="in distance to target; left is better" if is_distance else wanted,
        effects=tuple(_effect(name, c, is_ratio=is_ratio) for name, c in contrasts),
        is_ratio=is_ratio,
    )


def effects_figure(info: EffectsInfo, looks: Mapping[str, Look]) -> FigureSpec:
    """Return the figure: a point and interval for each variant, hollow where unresolved."""
    null = 1 if info.is_ratio else 0
    line = {"type": "line", "x0": null, "x1": null, "yref": "paper", "y0": 0, "y1": 1}
    what = "ratio" if info.is_ratio else "difference"
    title = f"{what} to {info.reference or 'what each is compared with'}"
    return {
        "data": [_trace(e, info.label(e), looks[e.variant]) for e in info.effects],
        "layout": layout(
            info.key,
            xaxis=axis(
                f"{title}, {info.wanted}" if info.wanted else title,
                **({"type": "log"} if info.is_ratio else {}),
            ),
            yaxis=axis(
                type="category",
                autorange="reversed",
                categoryorder="array",
                categoryarray=[info.label(effect) for effect in info.effects],
            ),
            shapes=[line | {"line": {"color": INK, "width": 1}}],
            showlegend=False,
            height=130 + 34 * len(info.effects),
        ),
    }


def _effect(variant: str, contrast: Contrast, *, is_ratio: bool) -> Effect:
    size, low, high = contrast.difference, contrast.ci_low, contrast.ci_high
    if is_ratio:
        size, low, high = contrast.ratio, contrast.ratio_low, contrast.ratio_high
    assert size is not None
    return Effect(
        variant,
        contrast.reference,
        size,
        low,
        high,
        contrast_text(contrast),
        contrast.verdict not in ("unresolved", "withheld"),
    )


def _trace(effect: Effect, name: str, look: Look) -> dict[str, Any]:
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
