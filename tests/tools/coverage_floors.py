"""``make cover``: coverage of each package against its floor; ``make raise`` raises them.

A floor is a percentage of lines and branches. None is ever lowered here.
"""

from __future__ import annotations

import json
import math
import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPORT = ROOT / ".coverage" / "report.json"
FLOORS = ROOT / "tests" / "coverage_floors.toml"
SLACK = 1.0
"""Percentage points: which process runs a line last is not always the same."""


def package_of(path: str) -> str:
    """Return the package, or the room of one, in which a module lies."""
    return ".".join(Path(path).parent.parts[:2])


def measured(report: Mapping[str, dict]) -> dict[str, float]:
    """Return package -> percentage of its lines and branches that some test ran."""
    covered: dict[str, int] = defaultdict(int)
    wanted: dict[str, int] = defaultdict(int)
    for path, file in report.items():
        found = file["summary"]
        package = package_of(path)
        covered[package] += found["covered_lines"] + found["covered_branches"]
        wanted[package] += found["num_statements"] + found["num_branches"]
    return {name: 100 * covered[name] / n for name, n in sorted(wanted.items()) if n}


def raised(now: Mapping[str, float], floors: Mapping[str, int]) -> dict[str, int]:
    """Return the floors as they may be: none lower, none for a package that is gone."""
    return {name: max(floors.get(name, 0), math.floor(at - SLACK)) for name, at in now.items()}


def compared(
    now: Mapping[str, float], floors: Mapping[str, int], elsewhere: Sequence[str] = ()
) -> list[str]:
    """Return a line for each package; one that starts with a star says what is wrong."""
    lines = [f"{'':2}{'package':24}{'covered':>8}{'floor':>7}"]
    for name, at in now.items():
        if name not in elsewhere:
            floor = floors.get(name)
            mark = " " if floor is not None and at >= floor else "*"
            shown = "none" if floor is None else floor
            lines.append(f"{mark:2}{name:24}{at:8.1f}{shown:>7}")
    lines += [f"* {name:24}{'gone':>8}{floors[name]:7}" for name in floors if name not in now]
    return lines


def main() -> int:
    now = measured(json.loads(REPORT.read_text(encoding="utf-8"))["files"])
    text = FLOORS.read_text(encoding="utf-8")
    read = tomllib.loads(text)
    floors, elsewhere = read["floors"], read["elsewhere"]
    if "--raise" in sys.argv:
        floors = raised({n: at for n, at in now.items() if n not in elsewhere}, floors)
        head = text.partition("[floors]")[0]
        FLOORS.write_text(
            head + "[floors]\n" + "".join(f'"{n}" = {f}\n' for n, f in floors.items())
        )
    lines = compared(now, floors, elsewhere)
    print("\n".join(lines))
    return any(line.startswith("*") for line in lines)


if __name__ == "__main__":
    sys.exit(main())
