"""The house itself: layout traps, layers, sizes, documents."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support import commands
from tests.support.patience import PATIENCE_S
from tests.support.projects import environment

ROOT = Path(__file__).parents[2]
PACKAGES = ("ablate", "trainer", "dashboards")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
DOCUMENTS = [
    *(
        ROOT / name
        for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def test_alembic_folder_is_no_package() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()
    import alembic

    assert "site-packages" in str(alembic.__file__)


def test_no_module_is_longer_than_500_lines() -> None:
    long = {str(p): n for p in MODULES if (n := len(p.read_text().splitlines())) > 500}

    assert long == {}


def test_no_function_is_longer_than_80_lines_or_takes_more_than_8_parameters() -> None:
    found: list[str] = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            lines = (node.end_lineno or 0) - node.lineno + 1
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            names = [a.arg for a in arguments if a.arg not in ("self", "cls")]
            # A command's parameters are its options; each has its help beside it.
            is_command = path.parent.parts[-2:] == ("cli", "commands") or path.parent.name == "cli"
            if lines > 80 or (len(names) > 8 and not is_command):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")

    assert found == []


def test_every_public_function_and_class_is_documented() -> None:
    missing = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in MODULES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]

    assert missing == []


def test_what_tests_share_lies_in_one_place() -> None:
    shared = re.compile(r"^\s*(?:from|import) tests(?!\.(?:support|tools)\b)\b.*", re.MULTILINE)
    found = {
        str(path.relative_to(ROOT)): names
        for path in (ROOT / "tests").rglob("*.py")
        if (names := shared.findall(path.read_text()))
    }

    assert found == {}


def test_no_folder_holds_more_than_20_test_modules() -> None:
    folders = Counter(str(path.parent.relative_to(ROOT)) for path in TESTS)

    assert {folder: n for folder, n in folders.items() if n > 20} == {}


HEAVY = ("torch", "mlflow", "pandas", "optuna", "plotly", "ray", "sqlalchemy", "numpy", "pydantic")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, json\n"
        "sys.argv = ['ablate', '--help']\n"
        "from ablate.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        f"print(json.dumps([m for m in {HEAVY} if m in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert json.loads(done.stdout.splitlines()[-1]) == []


def every_command() -> list[str]:
    """Return every command, subcommands included, from the command line itself."""
    from typer.main import get_command

    from ablate.cli import app

    found: list[str] = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        found += [f"{name} {inner}" for inner in getattr(command, "commands", {})] or [name]
    return found


@pytest.mark.parametrize("command", every_command())
def test_every_command_has_help_and_stands_in_the_reference(command: str) -> None:
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text()

    assert f"`ablate {command}" in reference
    done = commands.run((*command.split(), "--help"), ROOT, environment(), PATIENCE_S)
    assert done.returncode == 0
    assert "Usage: " in done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text())

    for target in targets:
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


def test_decisions_are_short() -> None:
    for path in (ROOT / "docs" / "adr").glob("*.md"):
        text = path.read_text()
        assert len(text.splitlines()) <= 40, path.name
        assert re.search(r"^Status: (accepted|rejected|superseded by \d+)$", text, re.MULTILINE)


def test_study_files_that_ship_can_be_planned() -> None:
    from ablate.planning.plan import make_plan
    from ablate.planning.study_file.parsing import read_study
    from ablate.planning.study_file.templates import templates
    from ablate.planning.trainers.registry import load_trainer

    for path in templates().values():
        spec, document = read_study(path)
        plan = make_plan(spec, load_trainer(spec.trainer, ROOT), document)
        assert plan.cells


def test_every_table_and_column_is_documented() -> None:
    from ablate.store.schema.models import Base

    page = (ROOT / "docs" / "reference" / "database.md").read_text()
    missing = [
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if f"`{table.name}`" not in page or f"`{column.name}`" not in page
    ]

    assert missing == []
