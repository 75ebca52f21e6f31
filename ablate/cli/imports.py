"""``ablate import``: runs of other tools, to be compared with one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from ablate.cli.shared import LIST_FORMATS, say, settings_of, show

app = typer.Typer(
    help="Import runs of other tools into a study; again, change nothing.", no_args_is_help=True
)

_STUDY = typer.Option(..., "--study", help="Into this study; made if there is none.")
_VARIANT = typer.Option(None, "--variant", help="Name of the phase [as the source says].")
_SEED = typer.Option(None, "--seed", min=0, help="Seed of the one run [as the source says].")
_MAP = typer.Option(
    [], "--map", help="NAME=split/group/name, NAME=step|time|run|..., NAME=- (repeatable)."
)
_GOAL = typer.Option([], "--goal", help="KEY=min|max|target: which way is better (repeatable).")
_DRY = typer.Option(False, "--dry-run", help="Show what would be imported.")
_FORMAT = typer.Option("table", "--format", help=LIST_FORMATS)


@app.command("csv")
def csv_file(
    context: typer.Context,
    source: str = typer.Argument(help="A CSV file with a header."),
    study: str = _STUDY,
    variant: str | None = _VARIANT,
    seed: int | None = _SEED,
    maps: list[str] = _MAP,
    goal: list[str] = _GOAL,
    dry_run: bool = _DRY,
    form: str = _FORMAT,
) -> None:
    """Import a CSV file: a column for each metric, or one for its name and one for its value."""
    options: dict[str, Any] = {
        "variant": variant,
        "seed": seed,
        "maps": tuple(maps),
        "goals": tuple(goal),
    }
    _import(context, "csv", source, study, options, dry_run=dry_run, form=form)


@app.command("jsonl")
def jsonl_file(
    context: typer.Context,
    source: str = typer.Argument(help="A file with a JSON object on each line."),
    study: str = _STUDY,
    variant: str | None = _VARIANT,
    seed: int | None = _SEED,
    maps: list[str] = _MAP,
    goal: list[str] = _GOAL,
    dry_run: bool = _DRY,
    form: str = _FORMAT,
) -> None:
    """Import a file of JSON lines; nested objects become names with slashes."""
    options: dict[str, Any] = {
        "variant": variant,
        "seed": seed,
        "maps": tuple(maps),
        "goals": tuple(goal),
    }
    _import(context, "jsonl", source, study, options, dry_run=dry_run, form=form)


@app.command("tensorboard")
def tensorboard_logs(
    context: typer.Context,
    source: str = typer.Argument(help="A folder of event files, or one file."),
    study: str = _STUDY,
    variant: str | None = _VARIANT,
    seed: int | None = _SEED,
    maps: list[str] = _MAP,
    goal: list[str] = _GOAL,
    dry_run: bool = _DRY,
    form: str = _FORMAT,
) -> None:
    """Import the scalars of TensorBoard: each folder with event files is a run."""
    options: dict[str, Any] = {
        "variant": variant,
        "seed": seed,
        "maps": tuple(maps),
        "goals": tuple(goal),
    }
    _import(context, "tensorboard", source, study, options, dry_run=dry_run, form=form)


@app.command("mlflow")
def mlflow_experiment(
    context: typer.Context,
    source: str = typer.Argument(help="Tracking URI, as sqlite:///mlflow.db or http://host:5000."),
    study: str = _STUDY,
    experiment: str | None = typer.Option(None, "--experiment", help="Name or id [the only one]."),
    variant: str | None = _VARIANT,
    seed: int | None = _SEED,
    maps: list[str] = _MAP,
    goal: list[str] = _GOAL,
    dry_run: bool = _DRY,
    form: str = _FORMAT,
) -> None:
    """Import the runs of an MLflow experiment with their whole histories."""
    options: dict[str, Any] = {
        "variant": variant,
        "seed": seed,
        "maps": tuple(maps),
        "goals": tuple(goal),
    }
    options["experiment"] = experiment
    _import(context, "mlflow", source, study, options, dry_run=dry_run, form=form)


@app.command("wandb")
def wandb_runs(
    context: typer.Context,
    source: str = typer.Argument(help="run-*.wandb, a folder of them, or a scan_history export."),
    study: str = _STUDY,
    variant: str | None = _VARIANT,
    seed: int | None = _SEED,
    maps: list[str] = _MAP,
    goal: list[str] = _GOAL,
    dry_run: bool = _DRY,
    form: str = _FORMAT,
) -> None:
    """Import W&B's offline files, or rows of scan_history as JSON lines."""
    options: dict[str, Any] = {
        "variant": variant,
        "seed": seed,
        "maps": tuple(maps),
        "goals": tuple(goal),
    }
    _import(context, "wandb", source, study, options, dry_run=dry_run, form=form)


def _import(
    context: typer.Context,
    kind: str,
    source: str,
    study: str,
    options: Mapping[str, Any],
    *,
    dry_run: bool,
    form: str,
) -> None:
    from ablate.importing import ImportOptions, apply_import, counts_text, plan_import
    from ablate.render.imports import arrivals_table

    settings = settings_of(context)
    wanted = ImportOptions(kind=kind, source=source, study=study, **options)
    planned = plan_import(settings, wanted)
    show(arrivals_table(planned), form, "import")
    for note in planned.notes:
        say(f"note: {note}")
    say(counts_text(planned.counts))
    if dry_run:
        say("dry run: nothing was imported")
        return
    apply_import(settings, planned)
    changed, all_runs = len(planned.changes), len(planned.arrivals)
    say(f"imported {changed} of {all_runs} runs into '{study}', {all_runs - changed} unchanged")
    say(f"next: ablate compare --study {study}")
