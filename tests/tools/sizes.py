"""``make sizes``: how long functions and modules are, and how much test there is to the code."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ablate", "trainer", "dashboards")


def modules_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of each function, and where it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            yield (node.end_lineno or node.lineno) - node.lineno + 1, place


def spread(sizes: Sequence[tuple[int, str]]) -> str:
    """Return median, 90th percentile and maximum, and what is longest."""
    lengths = [length for length, _ in sizes]
    p90 = statistics.quantiles(lengths, n=10)[-1]
    longest, place = max(sizes)
    return f"{statistics.median(lengths):6.0f} {p90:6.0f} {longest:6d}   {place}"


def main() -> None:
    print(f"{'':22} {'count':>6} {'median':>6} {'p90':>6} {'max':>6}   longest")
    for package in PACKAGES:
        modules = modules_of(package)
        functions = [each for path in modules for each in functions_of(path)]
        sizes = [(n, str(path.relative_to(ROOT))) for path in modules if (n := lines_of(path))]
        print(f"{package + ', functions':22} {len(functions):6d} {spread(functions)}")
        print(f"{package + ', modules':22} {len(sizes):6d} {spread(sizes)}")
    code = sum(lines_of(path) for package in PACKAGES for path in modules_of(package))
    tests = sum(map(lines_of, modules_of("tests")))
    print(f"tests to code: {tests} lines to {code}, {tests / code:.2f}")


if __name__ == "__main__":
    main()
