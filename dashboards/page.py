"""One self-contained HTML file: no network, no server, the same bytes for the same content.

The page forbids itself everything by its content security policy but the two scripts that it
carries, which are named there by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.files import written_whole
from ablate.render.tables import Table, Tone, to_html
from ablate.text import printable

if TYPE_CHECKING:
    from jinja2 import Template
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure on a page."""

    id: str
    alt: str
    height: int
    spec: str
    """JSON that is safe inside a script element."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A variant in the summary."""

    title: str
    badge: str
    tone: Tone
    subtitle: str
    lines: tuple[str, ...]
    look: int
    """Index into the page's colours."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Something to listen to."""

    label: str
    uri: str
    """``data:`` with all of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """Sounds that belong together, with a picture of them."""

    title: str
    picture: str
    """A ``data:`` URI; empty for none."""
    sounds: tuple[Sound, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A stretch of a section; what is empty is left out."""

    title: str = ""
    lines: tuple[str, ...] = ()
    paragraphs: tuple[str, ...] = ()
    cards: tuple[Card, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Drawn, ...] = ()
    clips: tuple[Clip, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A section under a heading."""

    title: str
    parts: tuple[Part, ...]
    badge: str = ""
    tone: Tone = "plain"
    summary: str = ""
    """Where not empty, the section is folded behind these words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A whole page."""

    title: str
    question: str
    headline: str
    sections: tuple[Section, ...]
    colors: tuple[str, ...] = field(default=())

    @property
    def figures(self) -> tuple[Drawn, ...]:
        """All figures, in order."""
        return tuple(f for s in self.sections for part in s.parts for f in part.figures)


def to_text(page: Page) -> str:
    """Return the page as HTML."""
    from markupsafe import Markup

    plotly, boot = _plotly_js(), _asset("page.js")
    return _template().render(
        page=page,
        policy=_policy([plotly, boot] if page.figures else []),
        style=Markup(_asset("page.css")),  # noqa: S704  our own file
        colors=page.colors,
        plotly=Markup(plotly),  # noqa: S704  plotly's own file
        boot=Markup(boot),  # noqa: S704  our own file
    )


def drawn(number: int, figure: Figure, alt: str) -> Drawn:
    """Return a figure for a page.

    Args:
        number: Its place on the page; makes its id, which plotly would draw at random.
        figure: Made of plain numbers and text.
        alt: What a screen reader says.
    """
    spec = json.dumps(
        figure.to_plotly_json(), default=_plain, allow_nan=False, separators=(",", ":")
    )
    return Drawn(f"f{number}", alt, int(figure.layout.height or 340), script_safe(spec))


def script_safe(text: str) -> str:
    """Return JSON that cannot end the script element that it stands in."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def write_page(path: Path, text: str) -> None:
    """Write a page or a report, whole or not at all; its folder is made.

    Raises:
        StoreError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(text.encode())


def _plain(value: Any) -> Any:
    """Return what JSON can hold of what plotly keeps: tuples and arrays."""
    return value.tolist() if hasattr(value, "tolist") else list(value)


def _policy(scripts: Sequence[str]) -> str:
    """Return a policy that allows these inline scripts, what lies in the page, and nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{h}'" for h in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; media-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["table"] = _table_html
    environment.finalize = _finalize
    return environment.from_string(_asset("page.html.j2"))


def _table_html(table: Table) -> str:
    from markupsafe import Markup

    return Markup(to_html(table))  # noqa: S704  escaped there


def _finalize(value: object) -> object:
    """Show escape sequences in names; text that is marked as safe is ours."""
    return printable(value) if type(value) is str else value


@cache
def _asset(name: str) -> str:
    return (resources.files("dashboards") / "templates" / name).read_text("utf-8")


@cache
def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    # The browser hashes what lies between the tags after it has unified line ends.
    return get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")
