"""The command line: parse, call one function of the library, render. One file for each noun.

stdout is data, stderr is progress. Heavy libraries are imported by the commands that need them, so
that ``--help`` and completion answer at once.
"""

from __future__ import annotations

import gc
import sys
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, NoReturn

import typer

from ablate.cli.commands import (
    artifacts,
    clean,
    compare,
    data,
    db,
    effects,
    imports,
    inspect,
    mlflow,
    project,
    run,
    runs,
    study,
)
from ablate.cli.last_net import PIPE_CLOSED, ended, hold_streams
from ablate.cli.shared import Globals
from ablate.cli.typos import Group
from ablate.errors import AblateError

EXIT_CODES = """
Exit codes: 0 good · 1 finished with failed runs · 2 usage or bad study file · 3 not found ·
4 database, file or MLflow trouble · 5 held by another · 70 a fault of ablate ·
129 the terminal was closed · 130 Ctrl-C · 141 the reader of the output left · 143 SIGTERM
"""


class _Group(Group):
    """The commands; typer would end one whose reader left like one that failed."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise SystemExit(PIPE_CLOSED) from error


app = typer.Typer(
    name="ablate",
    cls=_Group,
    help="Define ablation studies, run them, and read which change helps.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(study.app, name="study")
app.add_typer(db.app, name="db")
app.add_typer(mlflow.app, name="mlflow")
for module in (project, run, runs, compare, effects, data, imports, inspect, artifacts, clean):
    module.register(app)


def show_version(is_wanted: bool) -> None:
    """Print the version and exit, before a command is missed."""
    if is_wanted:
        from ablate import __version__

        print(f"ablate {__version__}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    db_url: str | None = typer.Option(
        None, "--db", help="Results database: a SQLite file or a SQLAlchemy URL."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks of errors."),
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=show_version, is_eager=True
    ),
) -> None:
    """Read the options that every command shares."""
    context.obj = Globals(db=db_url, debug=debug)


def main() -> NoReturn:
    """Run the command; turn errors into text and exit codes."""
    hold_streams()
    # Rows by the hundred thousand are no garbage, and looking through them takes time.
    gc.set_threshold(100_000, 20, 100)
    sys.exit(ended(_start, is_debug="--debug" in sys.argv))


def _start() -> None:
    _refuse_namesake()
    app()


def _refuse_namesake() -> None:
    """Refuse to start beside another package that owns the same import name."""
    try:
        other = distribution("ablate")
    except PackageNotFoundError:
        return
    raise AblateError(
        f"the package 'ablate' {other.version} is installed beside 'ablate-studies'; both own the "
        "import name 'ablate'",
        hint="pip uninstall ablate, then pip install --force-reinstall ablate-studies",
    )
