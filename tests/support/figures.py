"""Figures as plotly understands them."""

from __future__ import annotations

from typing import Any

from plotly.graph_objects import Figure

from dashboards.theme import FigureSpec


def checked(figure: FigureSpec) -> Any:
    """Return a figure as plotly's own object, which refuses what plotly.js does not know."""
    return Figure(data=figure["data"], layout=figure["layout"], skip_invalid=False)
