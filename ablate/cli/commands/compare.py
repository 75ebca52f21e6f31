"""``ablate compare | diff | report``: read which change helps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ablate.cli import completion
from ablate.cli.shared import (
    FORMAT,
    check_format,
    echo,
    opened,
    put,
    say_changed_files,
    settings_of,
    show,
    terminal_width,
)
from ablate.errors import UsageError

if TYPE_CHECKING:
    from ablate.analysis.curves.study_data import StudyData
    from ablate.domain import Study
    from ablate.settings import Settings
    from ablate.store.base import Store
    from dashboards.samples import Samples

_FORMATS = ("table", "md", "csv", "json", "ndjson", "html", "latex")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(compare)
    app.command()(diff)
    app.command()(report)


def compare(
    context: typer.Context,
    variants: list[str] | None = typer.Argument(
        None,
        help="Phases, or STUDY/PHASE; all of the study by default.",
        autocompletion=completion.phases,
    ),
    study: str | None = typer.Option(
        None,
        "--study",
        help="Default: the newest with them.",
        autocompletion=completion.studies,
    ),
    at: int | None = typer.Option(
        None, "--at", min=0, max=2**63 - 1, help="Step; default: the largest of all."
    ),
    metric: list[str] = typer.Option(
        [],
        "--metric",
        help="A key or pattern (repeatable).",
        autocompletion=completion.metrics,
    ),
    baseline: str | None = typer.Option(
        None,
        "--baseline",
        help="Compare with this phase.",
        autocompletion=completion.phases,
    ),
    form: str = typer.Option(
        "table",
        "--format",
        help=", ".join(_FORMATS) + ".",
        autocompletion=completion.one_of(_FORMATS),
    ),
    plot: Path | None = typer.Option(None, "--plot", help="Write the curves to this HTML file."),
    full: bool = typer.Option(False, "--full", help="All values, differences and reasons."),
) -> None:
    """Show phases side by side: values, targets, differences, verdicts and why."""
    show_comparison(
        context,
        variants or (),
        study=study,
        at=at,
        metrics=metric,
        baseline=baseline,
        form=form,
        plot=plot,
        is_full=full,
    )


def show_comparison(
    context: typer.Context,
    variants: Sequence[str],
    *,
    study: str | None = None,
    at: int | None = None,
    metrics: Sequence[str] = (),
    baseline: str | None = None,
    form: str = "table",
    plot: Path | None = None,
    is_full: bool = False,
) -> None:
    """Compare, print, and draw if asked to."""
    from ablate.analysis.comparison import compare as compare_variants
    from ablate.analysis.factors import declared_factors
    from ablate.render.comparison.text import render

    check_format(form, _FORMATS)
    with opened(context) as store:
        keys = metrics if plot is None else None
        studies, data = _loaded(store, variants, study=study, keys=keys, baseline=baseline)
        say_changed_files(settings_of(context), studies)
        is_one = len(studies) == 1
        comparison = compare_variants(
            data,
            at_step=at,
            baseline=data.baseline if baseline else None,
            metrics=metrics or None,
            factors=declared_factors(studies[0].plan, data.variants) if is_one else None,
        )
        if plot is not None:
            from dashboards.compare_page import compare_page

            compare_page(comparison, data, plot)
            echo(f"wrote {plot}")
    width = terminal_width()
    text = render(
        comparison,
        form,  # pyright: ignore[reportArgumentType]
        width=width,
        color=width is not None,
        is_full=is_full,
    )
    put(text, is_safe=form == "table")


def _loaded(
    store: Store,
    variants: Sequence[str],
    *,
    study: str | None,
    keys: Sequence[str] | None,
    baseline: str | None,
) -> tuple[list[Study], StudyData]:
    """Return the studies that have the variants, more than one where names say so, and the data."""
    from ablate.analysis.loading import load, load_across
    from ablate.app.lookup import places_of, study_of

    named = [*variants, baseline] if baseline else variants
    places = places_of(store, [] if study else named)
    studies = list(dict.fromkeys(of_study for of_study, _ in places))
    if len(studies) > 1:
        base = places[-1] if baseline else None
        data = load_across(store, places[: len(variants)], keys=keys, baseline=base)
        return [store.study(name) for name in studies], data
    if places:
        study, names = studies[0], [variant for _, variant in places]
        variants, baseline = names[: len(variants)], names[-1] if baseline else None
    found = study_of(store, variants, study)
    return [found], load(store, found.name, variants, keys=keys, baseline=baseline)


def diff(
    context: typer.Context,
    first: str = typer.Argument(
        help="A phase, a label such as base-s0, or a run id.", autocompletion=completion.runs
    ),
    second: str = typer.Argument(
        help="Another; STUDY/PHASE where several studies have it.", autocompletion=completion.runs
    ),
    form: str = FORMAT,
) -> None:
    """Show in what two phases or runs differ: config, code, and where their curves part."""
    from ablate.app.differing import difference
    from ablate.render.comparison.difference import difference_object, difference_table
    from ablate.render.listing import FORMATS

    check_format(form, FORMATS)
    with opened(context) as store:
        found = difference(store, first, second)
    show(difference_table(found), form, "diff", difference_object(found))


def report(
    context: typer.Context,
    study: str = typer.Argument(help="The study.", autocompletion=completion.studies),
    output: Path | None = typer.Option(None, "-o", "--output", help="FILE.html or FILE.md."),
) -> None:
    """Write the study's report as one file that opens anywhere."""
    path = output or Path(f"{study}.html")
    if path.suffix not in (".html", ".md"):
        raise UsageError(f"-o {path}: unknown suffix", hint="write FILE.html or FILE.md")
    write_report(context, study, path)
    echo(f"wrote {path}")


def write_report(
    context: typer.Context, study: str, path: Path, *, variants: Sequence[str] = ()
) -> None:
    """Write the report of a study, or of some of its variants, in the format of the suffix."""
    from ablate.analysis.comparison import compare as compare_variants
    from ablate.analysis.factors import declared_factors
    from ablate.analysis.loading import load
    from dashboards.report import write_report as write

    with opened(context) as store:
        say_changed_files(settings_of(context), [store.study(study)])
        data = load(store, study, variants)
        factors = declared_factors(store.study(study).plan, data.variants)
        comparison = compare_variants(data, factors=factors)
        write(path, data, comparison, _samples(data, settings_of(context)))


def _samples(data: StudyData, settings: Settings) -> dict[str, Samples]:
    """Return variant -> the newest samples of its first run that has any."""
    from ablate.attempt.artifacts import artifacts_of, newest_samples
    from dashboards.samples import Samples

    found: dict[str, Samples] = {}
    for name in data.names:
        for run in data.runs_of(name):
            if newest := newest_samples(artifacts_of(settings.run_dir(run.id))):
                found[name] = Samples(label=run.label, step=newest[0], files=newest[1])
                break
    return found
