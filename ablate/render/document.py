"""A document: what a page or a report says, apart from how it is set. One writer for each form.

The page with figures and sounds has its writer in ``dashboards``; the others leave these out.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from ablate.render import tables
from ablate.render.tables import STYLES, Table, Tone, html_text, markdown_text
from ablate.text import printable

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar = "heading"
    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """Sentences, one under the other, each of weight."""

    kind: ClassVar = "items"
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notes:
    """Remarks on what stands above, one under the other."""

    kind: ClassVar = "notes"
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Remarks on what stands above that belong together."""

    kind: ClassVar = "paragraph"
    lines: tuple[str, ...]
    """Whole sentences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A thing, how it came out, and why."""

    title: str
    badge: str
    """How it came out, in a word or two."""
    tone: Tone
    subtitle: str = ""
    lines: tuple[str, ...]
    """The weightiest first."""

    @property
    def heading(self) -> str:
        """Return ``phase_a: failed``."""
        return f"{self.title}: {self.badge}"


@dataclass(frozen=True, slots=True)
class Entries:
    """Things of one kind, in order."""

    kind: ClassVar = "entries"
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables that follow each other."""

    kind: ClassVar = "tables"
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure."""

    id: str
    alt: str
    """What a screen reader says."""
    height: int
    """Pixels."""
    spec: str
    """JSON that is safe inside a script element."""


@dataclass(frozen=True, slots=True)
class Drawings:
    """Figures that follow each other."""

    kind: ClassVar = "drawings"
    drawings: tuple[Drawing, ...]


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


@dataclass(frozen=True, slots=True)
class Clips:
    """Clips that follow each other."""

    kind: ClassVar = "clips"
    clips: tuple[Clip, ...]


Block = Heading | Items | Notes | Paragraph | Entries | Tables | Drawings | Clips


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Blocks under a heading, or under none."""

    title: str = ""
    blocks: tuple[Block, ...]
    """At least one."""
    badge: str = ""
    tone: Tone = "plain"
    summary: str = ""
    """Where not empty, a page folds the section behind these words."""

    @property
    def heading(self) -> str:
        """Return the title, and the badge where there is one: ``phase_a: failed``."""
        return f"{self.title}: {self.badge}" if self.badge else self.title


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A whole document."""

    title: str
    question: str
    answer: tuple[str, ...] = ()
    """What came out, in a few sentences that stand before all else."""
    headline: str
    """What is shown, with or without a full stop."""
    warning: str = ""
    """What a reader has to know before anything else."""
    sections: tuple[Section, ...]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, in order."""
        return tuple(block for section in self.sections for block in section.blocks)

    @property
    def sentence(self) -> str:
        """Return the headline with a full stop."""
        return self.headline if self.headline.endswith(".") else f"{self.headline}."


def to_plain(document: Document) -> str:
    """Return plain text, whole, as a pipe gets it."""
    parts = [_head(document)]
    for section in document.sections:
        lines = [section.heading] if section.heading else []
        for block in section.blocks:
            if isinstance(block, Tables):
                parts += [*_joined(lines), *map(tables.to_plain, block.tables)]
                lines = []
            else:
                lines += _plain_lines(block)
        parts += _joined(lines)
    return "\n\n".join(parts)


def to_terminal(document: Document, width: int, *, color: bool) -> str:
    """Return text that fits a terminal of so many columns, with colours if wanted."""
    from rich.console import Console
    from rich.text import Text

    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
    _print_head(console, document)
    for section in document.sections:
        if section.heading or not isinstance(section.blocks[0], Tables):
            console.print()  # a table brings its own
        if section.heading:
            console.print(Text(printable(section.heading), style="bold"))
        for block in section.blocks:
            _print_block(console, block, width)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def to_markdown(document: Document, *, level: int = 1) -> str:
    """Return GitHub Markdown.

    Args:
        document: What to write.
        level: Of the title's heading.
    """
    parts = [f"**{markdown_text(document.warning)}**"] if document.warning else []
    parts.append(_markdown_heading(level, document.title))
    parts += [markdown_text(document.question)] if document.question else []
    parts += _markdown_parts(Items(document.answer), level) if document.answer else []
    parts.append(markdown_text(document.sentence))
    for section in document.sections:
        parts += [_markdown_heading(level + 1, section.heading)] if section.heading else []
        parts += [part for block in section.blocks for part in _markdown_parts(block, level + 2)]
    return "\n\n".join(parts)


def to_latex(document: Document) -> str:
    """Return the tables, each by itself: a short caption, and below it what must be known."""
    common = [" ".join(block.lines) for block in document.blocks if isinstance(block, Paragraph)]
    found: list[str] = []
    for section in document.sections:
        own = [line for b in section.blocks if isinstance(b, Notes) for line in b.lines]
        shown = [table for b in section.blocks if isinstance(b, Tables) for table in b.tables]
        for table in shown:
            notes = (document.sentence, *table.notes, *own, *common)
            caption = _caption(document, table)
            found.append(tables.to_latex(replace(table, notes=notes), caption=caption))
    return "\n\n".join(found)


def _caption(document: Document, table: Table) -> str:
    warning = f"{document.warning}. " if document.warning else ""
    return f"{warning}{document.title}{f': {table.title}' if table.title else ''}."


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:24px;color:#1f2328}"
    "table{border-collapse:collapse}caption{text-align:left;font-weight:600}"
    "th,td{text-align:left;padding:3px 12px 3px 0;border-bottom:1px solid #d1d9e0}"
    ".number{text-align:right}.bad{color:#c21f2c}.warn{color:#8a5a00}.good{color:#1a7f37}"
    ".scroll{overflow-x:auto;margin:16px 0 4px}.note,dd,.muted{color:#59636e}dt{font-weight:600}"
    "th.muted{font-weight:400;padding-left:12px}"
)


def to_html(document: Document) -> str:
    """Return a small page without script, whose tables and lists follow each other."""
    title = html_text(document.title)
    warning = f"<p><strong>{html_text(document.warning)}</strong></p>" if document.warning else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>"
        f"<body>{warning}<h1>{title}</h1><p>{html_text(document.question)}</p>"
        f"{_html_block(Items(document.answer)) if document.answer else ''}"
        f"<p>{html_text(document.sentence)}</p>"
        f"{''.join(map(_html_block, document.blocks))}</body></html>"
    )


def _head(document: Document) -> str:
    answer = (f"- {line}" for line in document.answer)
    lines = (document.warning, document.title, document.question, *answer, document.headline)
    return "\n".join(printable(line) for line in lines if line)


def _joined(lines: list[str]) -> list[str]:
    return ["\n".join(map(printable, lines))] if lines else []


def _plain_lines(block: Block) -> Iterator[str]:
    match block:
        case Heading(text):
            yield text
        case Items(lines):
            yield from (f"- {line}" for line in lines)
        case Notes(lines):
            yield from (f"- {line}" for line in lines)
        case Paragraph(lines):
            yield from lines
        case Entries(entries):
            for entry in entries:
                yield entry.heading
                yield from (f"  - {line}" for line in entry.lines)
        case Tables() | Drawings() | Clips():
            return


def _print_head(console: Console, document: Document) -> None:
    from rich.text import Text

    for line in filter(None, (document.warning, document.title, document.question)):
        console.print(Text(printable(line)))
    for line in document.answer:
        _print_item(console, line, style="bold")
    console.print(Text(printable(document.headline)))


def _print_item(console: Console, line: str, *, style: str = "", indent: int = 0) -> None:
    """Print a line behind a bullet, its further lines under its first letter."""
    from rich.padding import Padding
    from rich.text import Text

    text = Text(printable(line), style=style)
    (first, *rest) = text.wrap(console, max(20, console.width - indent - 2))
    console.print(Padding(Text("- ", style=style).append_text(first), (0, 0, 0, indent)))
    for part in rest:
        console.print(Padding(part, (0, 0, 0, indent + 2)))


def _print_block(console: Console, block: Block, width: int) -> None:
    from rich.text import Text

    match block:
        case Tables(shown):
            for part in (part for table in shown for part in tables.fit(table, width)):
                console.print()
                console.print(tables.to_rich(part))
                _print_notes(console, part.notes)
        case Entries(entries):
            for entry in entries:
                title = Text(printable(entry.title), style="bold")
                console.print(title.append(printable(f"  {entry.badge}"), style=STYLES[entry.tone]))
                for line in entry.lines:
                    _print_item(console, line, indent=2)
        case Items(lines):
            for line in lines:
                _print_item(console, line)
        case Notes(lines):
            for line in lines:
                _print_item(console, line, style="dim")
        case Paragraph(lines):
            _print_notes(console, (" ".join(lines),))
        case Heading(text):
            console.print(Text(printable(text)))
        case Drawings() | Clips():
            return


def _print_notes(console: Console, lines: tuple[str, ...]) -> None:
    from rich.text import Text

    for line in lines:
        console.print(Text(printable(line), style="dim"))


def _markdown_heading(level: int, text: str) -> str:
    return f"{'#' * level} {markdown_text(text)}"


def _markdown_parts(block: Block, level: int) -> Iterator[str]:
    """Yield what stands between empty lines."""
    match block:
        case Heading(text):
            yield _markdown_heading(level, text)
        case Items(lines) | Notes(lines):
            if lines:
                yield "\n".join(f"- {markdown_text(line)}" for line in lines)
        case Paragraph(lines):
            yield " ".join(map(markdown_text, lines))
        case Entries(entries):
            yield from map(_markdown_entry, entries)
        case Tables(shown):
            yield from map(tables.to_markdown, shown)
        case Drawings() | Clips():
            return


def _markdown_entry(entry: Entry) -> str:
    subtitle = f" ({markdown_text(entry.subtitle)})" if entry.subtitle else ""
    lines = [f"- **{markdown_text(entry.heading)}**{subtitle}"]
    return "\n".join([*lines, *(f"  - {markdown_text(line)}" for line in entry.lines)])


def _html_block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{html_text(text)}</h2>"
        case Items(lines):
            return f"<ul>{''.join(f'<li>{html_text(line)}</li>' for line in lines)}</ul>"
        case Notes(lines) | Paragraph(lines):
            return "".join(f"<p>{html_text(line)}</p>" for line in lines)
        case Entries(entries):
            return f"<dl>{''.join(map(_html_entry, entries))}</dl>"
        case Tables(shown):
            return "".join(map(tables.to_html, shown))
        case Drawings() | Clips():
            return ""


def _html_entry(entry: Entry) -> str:
    lines = "".join(f"<dd>{html_text(line)}</dd>" for line in entry.lines)
    return f"<dt>{html_text(entry.heading)}</dt>{lines}"
