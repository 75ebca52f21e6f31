"""Markdown: lines that fit on a screen, and pages that can be found from the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
WRITTEN = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "benchmarks" / "results").glob("*.md")),
    *PAGES,
]
WIDTH = 120
ROWS = {"docs/reference/faults.md": 200, "docs/reference/trainer.md": 220}
"""Pages whose tables are read by tests, row by row; a row of a table cannot be broken."""


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_lines_of_documents_fit(page: Path) -> None:
    is_measured = page.parent.name == "results"  # rows as a benchmark prints them
    rows = 200 if is_measured else ROWS.get(named(page), WIDTH)

    long = [
        f"{named(page)}:{number} has {len(line)} columns"
        for number, line in enumerate(page.read_text().splitlines(), 1)
        if len(line) > (rows if line.startswith("| ") else WIDTH)
    ]

    assert long == []


def links_of(page: Path) -> list[Path]:
    """Return the files to which a page links, those of this repository."""
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
    return [(page.parent / t).resolve() for t in targets if "://" not in t]


def test_every_page_is_linked_from_the_index() -> None:
    linked = links_of(DOCS / "index.md")

    assert [named(page) for page in PAGES if page.name != "index.md" and page not in linked] == []
