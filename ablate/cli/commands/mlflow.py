"""``ablate mlflow``: the copy of the metrics in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ablate.cli.shared import FORMAT, echo, opened, settings_of, show
from ablate.cli.typos import Group
from ablate.errors import AblateError

if TYPE_CHECKING:
    from ablate.mirrors.process import Summarise

app = typer.Typer(cls=Group, help="Copy metrics to MLflow, and open its UI.", no_args_is_help=True)


@app.command()
def ui(
    context: typer.Context,
    port: int = typer.Option(5000, "--port", help="On 127.0.0.1.", min=1, max=65535),
) -> None:
    """Bring the copy up to date and serve MLflow's UI on this machine until interrupted."""
    from ablate.mirrors.process import require_local, serve_ui
    from ablate.mirrors.process import sync as sync_now

    settings = settings_of(context)
    require_local(settings)
    with opened(context, write=True) as store:
        sync_now(store, settings, _summarise())
    echo(f"MLflow's UI: http://127.0.0.1:{port} (Ctrl-C ends it)")
    serve_ui(settings, port)


@app.command()
def sync(
    context: typer.Context,
    rebuild: bool = typer.Option(False, "--rebuild", help="Copy everything anew."),
    follow: bool = typer.Option(False, "--follow", help="Go on until standard input closes."),
) -> None:
    """Copy what is new in the results database to MLflow; try again what it had refused."""
    from ablate.app.mirroring import standings
    from ablate.mirrors.process import follow as follow_process
    from ablate.mirrors.process import shown_uri
    from ablate.mirrors.process import sync as sync_now

    settings = settings_of(context)
    with opened(context, write=True) as store:
        if follow:
            follow_process(store, settings, _summarise())
            return
        copied = sync_now(store, settings, _summarise(), rebuild=rebuild)
        parked = sum(s.state == "parked" for s in standings(store, settings))
    what = f"{copied.points} points of {copied.runs} runs"
    what += f" and {copied.files} files" if copied.files else ""
    echo(f"copied {what} to {shown_uri(settings)}")
    if parked:
        raise AblateError(f"MLflow refused {parked} items", hint="see why: ablate mlflow status")


@app.command()
def status(
    context: typer.Context,
    form: str = FORMAT,
) -> None:
    """Show how far each run is copied, and what MLflow refused and why. Asks MLflow nothing."""
    from ablate.app.mirroring import standings
    from ablate.mirrors.process import shown_uri
    from ablate.render.mirror import standings_table

    settings = settings_of(context)
    with opened(context) as store:
        table = standings_table(standings(store, settings), shown_uri(settings))
    show(table, form, "mirror")


def _summarise() -> Summarise:
    from ablate.app.mirroring import summariser
    from ablate.render.comparison.text import render

    return summariser(lambda comparison: render(comparison, "md"))
