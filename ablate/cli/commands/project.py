"""``ablate init | doctor | demo | schema``: the project around the studies."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from ablate.cli.shared import FORMAT, echo, put, settings_of, show, typed_command


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, doctor, demo, schema):
        app.command()(command)


def init(context: typer.Context) -> None:
    """Make the current folder a project: ablate.toml, studies/ and the results database."""
    from ablate.settings import PROJECT_FILE
    from ablate.store import open_store

    path = Path(PROJECT_FILE)
    if not path.exists():
        path.write_text(_PROJECT_TEXT, encoding="utf-8")
    Path("studies").mkdir(exist_ok=True)
    settings = settings_of(context)
    open_store(settings.db_url, data_dir=settings.data_dir).close()
    echo(f"the project is {settings.project}")
    echo("next: ablate study templates, ablate study create scale-fix")


_PROJECT_TEXT = """\
# The project of this folder and those below it. Everything has a default.
# db = "postgresql+psycopg://user@host/ablate"   # default: .ablate/ablate.db beside this file
# mlflow = false                                 # default: true, copy metrics to MLflow
# mlflow_uri = "http://host:5000"                # default: a database below .ablate/mlflow
# mlflow_max_keys = 50                           # metric keys of a run that are copied
# mlflow_max_points = 2000                       # points of a key that are copied
# system_metrics_s = 10                          # seconds between measurements, 0 for none
"""


def doctor(
    context: typer.Context,
    form: str = FORMAT,
) -> None:
    """Show what is installed and reachable: packages, trainers, GPUs, database. Writes nothing."""
    from ablate.app.doctor import examine
    from ablate.render.tables import Cell, Column, Table

    findings = examine(settings_of(context))
    rows = tuple(
        (Cell(f.what, tone="strong"), Cell("ok" if f.is_good else "missing"), Cell(f.detail))
        for f in findings
    )
    show(
        Table("", (Column("what", is_fixed=True), Column("state"), Column("detail")), rows),
        form,
        "doctor",
    )


_DEMO_PHASES = ("phase1", "phase_a", "phase_fixed", "base")


def demo(context: typer.Context) -> None:
    """Do the main job on four phases of scale-fix: train (some minutes), compare, report."""
    from ablate.addresses import masked
    from ablate.app.creating import create, plan_creation
    from ablate.app.running import RunRequest
    from ablate.cli.commands.compare import show_comparison, write_report
    from ablate.cli.commands.run import train
    from ablate.execution.executors.base import ExecutorRequest
    from ablate.execution.executors.registry import make_executor
    from ablate.mirrors.process import shown_uri
    from ablate.planning.study_file.flags import StudyFlags

    settings = settings_of(context)
    create(settings, plan_creation(settings, "scale-fix", flags=StudyFlags()))
    request = RunRequest(
        studies=("scale-fix",),
        only=_DEMO_PHASES,
        executor=make_executor("local", ExecutorRequest()),
    )
    train(context, settings, request)
    report = settings.data_dir / "demo.html"
    write_report(context, "scale-fix", report, variants=_DEMO_PHASES)
    show_comparison(context, _DEMO_PHASES, study="scale-fix")
    echo(f"report    {report}")
    echo(f"database  {masked(settings.db_url)}")
    look = "" if settings.mlflow_uri else f"; look with: {typed_command()} mlflow ui"
    echo(f"mirror    {shown_uri(settings)}{look}")


def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from ablate.planning.study_file.spec import json_schema

    put(json.dumps(json_schema(), indent=2))
