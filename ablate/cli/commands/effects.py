"""``ablate effects``: what each factor of a study does."""

from __future__ import annotations

import typer

from ablate.cli import completion
from ablate.cli.shared import (
    check_format,
    opened,
    put,
    say_changed_files,
    settings_of,
    terminal_width,
)

_FORMATS = ("table", "md", "csv", "json", "ndjson", "html", "latex")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(effects)


def effects(
    context: typer.Context,
    study: str = typer.Argument(help="The study.", autocompletion=completion.studies),
    metric: list[str] = typer.Option(
        [],
        "--metric",
        help="A key or pattern (repeatable; default: the declared ones).",
        autocompletion=completion.metrics,
    ),
    at: int | None = typer.Option(
        None, "--at", min=0, max=2**63 - 1, help="Step; default: the one of `ablate compare`."
    ),
    form: str = typer.Option(
        "table",
        "--format",
        help=", ".join(_FORMATS) + ".",
        autocompletion=completion.one_of(_FORMATS),
    ),
) -> None:
    """Show which factor does how much: main effects, interactions, shares of the variance."""
    from ablate.analysis.effects import study_effects
    from ablate.analysis.loading import load
    from ablate.render.effects.text import render

    known = check_format(form, _FORMATS)
    with opened(context) as store:
        found = store.study(study)
        say_changed_files(settings_of(context), [found])
        data = load(store, found.name, keys=metric)
        shown = study_effects(data, found.plan, metrics=metric or None, at_step=at)
        width = terminal_width()
        text = render(shown, known, width=width, color=width is not None)  # pyright: ignore[reportArgumentType]
    put(text, is_safe=form == "table")
