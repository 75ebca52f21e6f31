"""The walls between rooms: no cycle, small folders, and contracts each of which bites."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ablate", "trainer", "dashboards")

PLANTED = {
    "layers": [
        ("ablate/store/sql.py", "ablate.analysis.comparison"),
        ("ablate/app/lookup.py", "ablate.render.tables"),
        ("ablate/render/tables.py", "ablate.cli.shared"),
    ],
    "pages": [
        ("ablate/render/formats.py", "dashboards.page"),
        ("dashboards/theme.py", "ablate.cli.shared"),
    ],
    "store-rooms": [("ablate/store/reading/spans.py", "ablate.store.writing.leases")],
    "analysis-rooms": [
        ("ablate/analysis/curves/windows.py", "ablate.analysis.judging.verdicts"),
        ("ablate/analysis/diagnosis/level.py", "ablate.analysis.statistics.contrasts"),
    ],
    "trainer-rooms": [("trainer/model/fsq.py", "trainer.losses.audio")],
    "trainer-seam": [
        ("trainer/signals.py", "ablate.settings"),
        ("trainer/optimizer.py", "ablate.rules"),
    ],
    "no-trainer": [("ablate/planning/plan.py", "trainer.spec")],
    "training-process": [
        ("ablate/attempt/guards.py", "ablate.store.base"),
        ("ablate/spool/frames.py", "ablate.planning.plan"),
    ],
    "sqlalchemy": [
        ("ablate/app/imports/importing.py", "sqlalchemy"),
        ("ablate/cli/commands/db.py", "alembic"),
    ],
    "terminal": [("ablate/app/cleaning.py", "rich"), ("dashboards/report.py", "typer")],
    "mlflow": [("ablate/app/mirroring.py", "mlflow"), ("ablate/importers/base.py", "mlflow")],
    "plotly": [("ablate/render/listing.py", "plotly"), ("ablate/notebook.py", "jinja2")],
    "pyarrow": [("ablate/app/exporting.py", "pyarrow")],
    "torch": [("ablate/attempt/context.py", "torch"), ("dashboards/samples.py", "torch")],
    "pandas": [("dashboards/page.py", "pandas")],
    "study-files": [
        ("ablate/app/creating.py", "ruamel.yaml"),
        ("trainer/config/parsing.py", "ruamel.yaml"),
    ],
    "pydantic": [("ablate/rules.py", "pydantic"), ("trainer/optimizer.py", "pydantic")],
}
"""Contract -> (file, what is imported there against it)."""


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the packages and their contracts."""
    copy = tmp_path_factory.mktemp("walls")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / ".importlinter", copy)
    return copy


_LINTER = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def checked(folder: Path, contract: str) -> str:
    """Return what the import linter says of one contract."""
    done = subprocess.run(
        [sys.executable, "-c", _LINTER, "--contract", contract],
        cwd=folder,
        env={"PATH": "", "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def contracts() -> dict[str, str]:
    """Return contract -> its name."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    prefix = "importlinter:contract:"
    return {s.removeprefix(prefix): parser[s]["name"] for s in parser if s.startswith(prefix)}


@pytest.mark.parametrize("contract", contracts())
def test_a_contract_refuses_what_is_planted_with_file_and_line(contract: str, copied: Path) -> None:
    before = {path: (copied / path).read_text() for path, _ in PLANTED[contract]}
    try:
        for path, target in PLANTED[contract]:
            (copied / path).write_text(f"{before[path]}\nimport {target}\n")
        said = checked(copied, contract)
    finally:
        for path, text in before.items():
            (copied / path).write_text(text)

    assert f"{contracts()[contract]} BROKEN" in said
    for path, target in PLANTED[contract]:
        module = path.removesuffix(".py").replace("/", ".")
        line = len(before[path].splitlines()) + 2
        shown = re.escape(target.partition(".")[0] if target == "ruamel.yaml" else target)
        assert re.search(rf"{module} -> {shown}\b.*\(l\.{line}\)", said), said


@pytest.mark.parametrize(
    "path",
    ["ablate/loose.py", "ablate/store/loose.py", "ablate/analysis/loose.py", "trainer/loose.py"],
)
def test_a_module_without_a_layer_is_refused(path: str, copied: Path) -> None:
    (copied / path).write_text("")
    try:
        said = "".join(checked(copied, c) for c in contracts() if c in ("layers", *_ROOMS))
    finally:
        (copied / path).unlink()

    assert "loose" in said


_ROOMS = ("store-rooms", "analysis-rooms", "trainer-rooms")


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph(*PACKAGES)
    imports = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle: {' -> '.join(error.args[1])}")


def test_no_folder_has_more_than_14_modules() -> None:
    sizes = Counter(path.parent for p in PACKAGES for path in (ROOT / p).rglob("*.py"))

    assert {str(f.relative_to(ROOT)): n for f, n in sizes.items() if n > 14} == {}


def test_the_training_process_needs_nothing_of_others_but_psutil_and_the_gpu_library() -> None:
    graph = grimp.build_graph("ablate", include_external_packages=True)
    rooms = ("ablate.attempt", "ablate.spool")
    found = {
        imported.partition(".")[0]
        for room in rooms
        for module in {room, *graph.find_descendants(room)}
        for imported in graph.find_modules_directly_imported_by(module)
    }

    assert found - set(sys.stdlib_module_names) == {"ablate", "psutil", "pynvml"}
