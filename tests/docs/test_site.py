"""The site of the documents: every page has its place, and nothing is fetched from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BESIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md")


def pages_of(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for each in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
        yield from pages_of(each)


def test_every_page_has_a_place_in_the_site() -> None:
    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    pages = [str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")]

    assert sorted(pages_of(project["nav"])) == sorted([*BESIDE, *pages])
    assert project["theme"]["font"] is False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("zensical is not installed")
    root = tmp_path_factory.mktemp("checkout")
    for name in (*BESIDE[:3], "LICENSE", "zensical.toml"):
        shutil.copyfile(ROOT / name, root / name)
    for name in ("docs", "benchmarks"):
        shutil.copytree(ROOT / name, root / name)
    done = subprocess.run(
        [sys.executable, "docs/build.py"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "build" / "site"


def links_of(page: Path, site: Path) -> Iterator[Path]:
    """Yield the pages to which the text of a page links, without menus."""
    _, _, text = page.read_text().partition("<article")
    for target in re.findall(r'<a[^>]*\shref="?([^"#>\s]+)', text.partition("</article>")[0]):
        if ":" not in target:
            found = (page.parent / target).resolve()
            yield found / "index.html" if found.is_dir() else found


def test_every_page_is_reached_from_the_index(site: Path) -> None:
    todo = [site / "docs" / "index.html"]
    seen: set[Path] = set()
    while todo:
        page = todo.pop()
        assert page.is_file(), page
        if page not in seen and page.suffix == ".html":
            seen.add(page)
            todo += links_of(page, site)

    pages = set(site.rglob("*.html")) - {site / "404.html"}
    assert pages - seen == set()


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    fetched = re.compile(
        r"<(?:script|img|link|iframe|source|audio|video)\b[^>]*\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)"
    )
    found = {
        (path.name, target)
        for path in site.rglob("*.html")
        for target in fetched.findall(path.read_text())
    }
    imported = re.compile(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)")
    found |= {
        (path.name, target)
        for path in site.rglob("*.css")
        for target in imported.findall(path.read_text())
    }

    assert found == set()
