"""``ablate import``: runs of other tools, to be compared with one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ablate.cli import completion
from ablate.cli.shared import FORMAT, check_format, echo, settings_of, show
from ablate.errors import UsageError

if TYPE_CHECKING:
    from ablate.app.imports.importing import ImportOptions
    from ablate.importers.placing import SeedRule
    from ablate.settings import Settings

_SEED_RULES: tuple[SeedRule, ...] = ("auto", "names", "none")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", no_args_is_help=True)(import_runs)


def import_runs(
    context: typer.Context,
    sources: list[str] = typer.Argument(
        metavar="[KIND] SOURCE",
        help="Files, folders or MLflow URIs; KIND, such as csv or text, where no name says it.",
        show_default=False,
    ),
    study: str = typer.Option(
        ...,
        "--study",
        help="Into this study; made if there is none.",
        autocompletion=completion.studies,
    ),
    variant: str | None = typer.Option(
        None, "--variant", help="Name of the phase (default: as the source says)."
    ),
    seed: int | None = typer.Option(
        None,
        "--seed",
        min=0,
        max=2**31 - 1,
        help="Seed of the one run (default: as the source says).",
    ),
    seeds: str = typer.Option(
        "auto",
        "--seeds",
        help="auto: on evidence; names: any number at a name's end; none: no seeds.",
        autocompletion=completion.one_of(_SEED_RULES),
    ),
    maps: list[str] = typer.Option(
        [], "--map", help="NAME=split/group/name, NAME=step|run|config|..., NAME=- (repeatable)."
    ),
    map_file: str | None = typer.Option(
        None, "--map-file", help="A YAML file with a line NAME: KEY for each --map."
    ),
    goal: list[str] = typer.Option(
        [], "--goal", help="KEY=min|max|target: which way is better (repeatable)."
    ),
    join: list[str] = typer.Option(
        [], "--join", help="What fits this pattern is one run (repeatable)."
    ),
    separate: bool = typer.Option(
        False, "--separate", help="Keep apart what looks like parts of one run."
    ),
    config: str | None = typer.Option(
        None, "--config", help="A config, or its name beside the logs of each run (default: found)."
    ),
    pattern: str | None = typer.Option(
        None,
        "--pattern",
        help="Text: a regular expression, with groups (?P<step>...).",
    ),
    experiment: str | None = typer.Option(
        None, "--experiment", help="MLflow: name or id (default: the only one)."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would be imported."),
    form: str = FORMAT,
) -> None:
    """Import runs of other tools into a study; again, change nothing."""
    from ablate.app.imports.importing import ImportOptions

    kind, sources = _split_kind(sources)
    wanted = ImportOptions(
        sources=sources,
        study=study,
        kind=kind,
        variant=variant,
        seed=seed,
        seeds=check_format(seeds, _SEED_RULES, "--seeds"),
        maps=maps,
        map_file=map_file,
        goals=goal,
        together=join,
        is_separate=separate,
        config=config,
        pattern=pattern,
        experiment=experiment,
    )
    _import(settings_of(context), wanted, dry_run=dry_run, form=form)


def _import(settings: Settings, wanted: ImportOptions, *, dry_run: bool, form: str) -> None:
    from ablate.app.imports.importing import apply_import, counts_text, plan_import
    from ablate.render.imports import arrivals_table

    planned = plan_import(settings, wanted)
    show(arrivals_table(planned), form, "import")
    for note in planned.notes:
        echo(f"note: {note}")
    echo(counts_text(planned.counts))
    if dry_run:
        echo("dry run: nothing was imported")
        return
    apply_import(settings, planned)
    total, changed = len(planned.arrivals), len(planned.changes)
    same = total - changed
    echo(f"imported {changed} of {total} runs into '{wanted.study}', {same} unchanged")
    echo(f"next: ablate compare --study {wanted.study}")


def _split_kind(sources: list[str]) -> tuple[str | None, list[str]]:
    """Return the kind, if the first word is one and not the only file that is typed."""
    from ablate.importers.sources import IMPORTERS

    first, *others = sources
    if first not in IMPORTERS.names() or (not others and Path(first).exists()):
        return None, sources
    if not others:
        raise UsageError(f"import {first}: of which file?", hint=f"ablate import {first} SOURCE")
    return first, others
