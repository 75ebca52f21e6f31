"""Build the site of the documents in `build/site`; see `make docs` and `zensical.toml`.

The pages link to each other, and to those beside this folder, as a code host needs it. So they are
put together under `build/pages` at the same places, and the site is made of that.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "pages"
BESIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")
SUFFIXES = (".md", ".svg", ".png")


def main() -> None:
    """Build it; a link that leads nowhere ends the build."""
    gather()
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)  # noqa: S603 - our own words


def gather() -> None:
    """Copy every page and picture to its place below `build/pages`."""
    shutil.rmtree(PAGES, ignore_errors=True)
    below = [path for name in ("docs", "benchmarks") for path in (ROOT / name).rglob("*.*")]
    below = [path for path in below if path.suffix in SUFFIXES]
    for page in [*(ROOT / name for name in BESIDE), *below]:
        target = PAGES / page.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, target)


if __name__ == "__main__":
    main()
