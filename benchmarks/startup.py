"""What a user waits for `ablate --help`, beside a one-command Typer program, turn by turn."""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MINIMAL = """\
import typer

app = typer.Typer()


@app.command()
def hello(name: str) -> None:
    \"\"\"Greet somebody.\"\"\"
    print(f"hello {name}")


app()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="turns of each program")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        minimal = Path(folder) / "minimal.py"
        minimal.write_text(MINIMAL)
        ablate = Path(folder) / "ablate.py"
        ablate.write_text("from ablate.cli import main\nmain()\n")
        programs = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "one-command Typer program --help": [sys.executable, str(minimal), "--help"],
            "ablate --help": [sys.executable, "-P", str(ablate), "--help"],
        }
        times = {
            name: [measure(command) for _ in range(2)][2:] for name, command in programs.items()
        }
        for _ in range(repeats):
            for name, command in programs.items():
                times[name].append(measure(command))
    report(times)


def measure(command: list[str]) -> tuple[float, float]:
    """Return wall and CPU milliseconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall * 1000, cpu * 1000


def report(times: dict[str, list[tuple[float, float]]]) -> None:
    base = "one-command Typer program --help"
    wall = {name: statistics.median(w for w, _ in runs) for name, runs in times.items()}
    cpu = {name: statistics.median(c for _, c in runs) for name, runs in times.items()}
    count = len(times[base])
    print(f"Python {platform.python_version()}, {platform.machine()}, medians of {count} turns\n")
    print("| program | wall ms | CPU ms | wall x | CPU x |")
    print("|---|---:|---:|---:|---:|")
    for name in times:
        ratios = f"{wall[name] / wall[base]:.2f} | {cpu[name] / cpu[base]:.2f}"
        print(f"| `{name}` | {wall[name]:.0f} | {cpu[name]:.0f} | {ratios} |")


if __name__ == "__main__":
    main()
