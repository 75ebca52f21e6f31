"""Colours, fonts and axes of every figure. A variant keeps its look in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ablate.text import printable

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
INK = "#1f2328"
MUTED = "#59636e"
GRID = "#e6e9ed"
PAPER = "#ffffff"
BASELINE = "#6b7280"
TARGET = "#1a7f37"
SILENT = "#1f2328"

PALETTE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#8c564b",
)
"""Okabe and Ito 2008 without yellow and black, which do not hold on white, plus a brown: apart for
readers with any common colour blindness."""

_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x")


@dataclass(frozen=True, slots=True)
class Look:
    """How a variant is drawn."""

    color: str
    dash: str
    symbol: str

    def faded(self, alpha: float) -> str:
        """Return the colour as ``rgba``, for bands and thin lines."""
        red, green, blue = (int(self.color[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{alpha})"


def looks(names: Sequence[str], baseline: str) -> Mapping[str, Look]:
    """Return the look of each variant: the baseline grey, the others by their place in the plan.

    More variants than colours differ in dash and symbol.
    """
    others = [name for name in names if name != baseline]
    found = {baseline: Look(BASELINE, "solid", "circle")}
    for i, name in enumerate(others):
        turn = i // len(PALETTE)
        found[name] = Look(
            PALETTE[i % len(PALETTE)],
            _DASHES[turn % len(_DASHES)],
            _SYMBOLS[(i + 1) % len(_SYMBOLS)],
        )
    return found


def label(text: str) -> str:
    """Return foreign text for a figure, in which tags would otherwise be read as markup."""
    return escape(printable(text), quote=False)


FigureSpec = dict[str, Any]
"""A figure as plotly.js takes it, ``data`` and ``layout``, of plain numbers and text.

Plotly's own objects would check each property again, which takes most of a report's time.
"""


def layout(title: str, **changes: Any) -> dict[str, Any]:
    """Return the layout that all figures share."""
    base: dict[str, Any] = {
        "template": None,
        "title": {"text": label(title), "font": {"size": 15}, "x": 0, "xref": "paper", "y": 0.98},
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "margin": {"l": 64, "r": 16, "t": 44, "b": 44},
        "height": 340,
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT}, "namelength": -1},
        "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top", "font": {"size": 12}},
    }
    return base | changes


def axis(title: str = "", **changes: Any) -> dict[str, Any]:
    """Return an axis."""
    base: dict[str, Any] = {
        "title": {"text": label(title), "standoff": 8, "font": {"color": MUTED}},
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": GRID,
        "tickfont": {"color": MUTED},
        "automargin": True,
    }
    return base | changes
