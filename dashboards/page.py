"""One self-contained HTML file: no network, no server, the same bytes for the same content.

The page forbids itself everything by its content security policy but the two scripts that it
carries, which are named there by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.files import written_whole
from ablate.render.document import Document, Drawing, Drawings
from ablate.render.tables import Table, to_html
from ablate.text import printable
from dashboards.theme import FigureSpec

if TYPE_CHECKING:
    from jinja2 import Template


def to_page(document: Document, colors: Sequence[str]) -> str:
    """Return the document as HTML.

    Args:
        document: What to write, figures and sounds included.
        colors: Of its entries, in order.
    """
    from markupsafe import Markup

    plotly, boot = _plotly_js(), _asset("page.js")
    drawings = [
        d for block in document.blocks if isinstance(block, Drawings) for d in block.drawings
    ]
    return _template().render(
        document=document,
        drawings=drawings,
        policy=_policy([plotly, boot] if drawings else []),
        style=Markup(_asset("page.css")),  # noqa: S704  our own file
        colors=colors,
        plotly=Markup(plotly),  # noqa: S704  plotly's own file
        boot=Markup(boot),  # noqa: S704  our own file
    )


def drawing(number: int, figure: FigureSpec, alt: str) -> Drawing:
    """Return a figure for a page.

    Args:
        number: Its place on the page; makes its id, which plotly would draw at random.
        figure: What to draw.
        alt: What a screen reader says.
    """
    spec = json.dumps(figure, allow_nan=False, separators=(",", ":"))
    return Drawing(f"f{number}", alt, figure["layout"]["height"], script_safe(spec))


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
