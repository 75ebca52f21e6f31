"""``ablate mlflow``: the copy of the metrics in MLflow."""

from __future__ import annotations

import typer

from ablate.cli.shared import opened, say, settings_of

app = typer.Typer(help="Copy metrics to MLflow, and open its UI.", no_args_is_help=True)


@app.command()
def ui(
    context: typer.Context,
    port: int = typer.Option(5000, "--port", help="On 127.0.0.1.", min=1, max=65535),
) -> None:
    """Bring the copy up to date and serve MLflow's UI on this machine until interrupted."""
    from ablate.mirrors.process import serve_ui
    from ablate.mirrors.process import sync as sync_now

    settings = settings_of(context)
    with opened(context, write=True) as store:
        sync_now(store, settings)
    say(f"MLflow's UI: http://127.0.0.1:{port} (Ctrl-C ends it)")
    serve_ui(settings, port)


@app.command()
def sync(
    context: typer.Context,
    rebuild: bool = typer.Option(False, "--rebuild", help="Copy everything anew."),
    follow: bool = typer.Option(False, "--follow", help="Go on until standard input closes."),
) -> None:
    """Copy what is new in the results database to MLflow."""
    from ablate.mirrors.process import follow as follow_process
    from ablate.mirrors.process import sync as sync_now

    settings = settings_of(context)
    with opened(context, write=True) as store:
        if follow:
            follow_process(store, settings)
        else:
            copied = sync_now(store, settings, rebuild=rebuild)
            say(f"copied {copied.points} points of {copied.runs} runs to {copied.uri}")
