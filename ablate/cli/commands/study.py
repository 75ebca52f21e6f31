"""``ablate study``: define, list and look at studies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ablate.cli import completion
from ablate.cli.shared import FORMAT, echo, opened, settings_of, show
from ablate.cli.typos import Group
from ablate.domain import IMPORTED
from ablate.errors import UsageError
from ablate.planning.copies import MAX_COPIES

if TYPE_CHECKING:
    from ablate.app.creating import Creation
    from ablate.domain import Plan

app = typer.Typer(cls=Group, help="Define, list and look at studies.", no_args_is_help=True)


@app.command()
def create(
    context: typer.Context,
    name: str = typer.Argument(
        help="The study's name: studies/NAME.yaml, else a template.",
        autocompletion=completion.new_studies,
    ),
    file: Path | None = typer.Option(None, "-f", "--file", help="Read this study file instead."),
    template: str | None = typer.Option(
        None,
        "--from",
        help="Start from this study or template.",
        autocompletion=completion.new_studies,
    ),
    factor: list[str] = typer.Option([], "--factor", help="KEY=V1,V2,... (repeatable)."),
    design: str | None = typer.Option(
        None, "--design", help="one_at_a_time, grid, or another (see ablate doctor)."
    ),
    seeds: int | None = typer.Option(None, "--seeds", help="How many seeds.", min=1),
    aa: int | None = typer.Option(
        None, "--aa", help="Copies of the baseline under other seeds.", min=0, max=MAX_COPIES
    ),
    setting: list[str] = typer.Option([], "--set", help="KEY=VALUE for every variant."),
    imported: bool = typer.Option(False, "--imported", help="Of imported runs only."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would be created."),
    update: bool = typer.Option(False, "--update", help="Change a study that exists."),
    go_on: bool = typer.Option(
        False, "--continue", help="--update, and train longer runs on from their checkpoints."
    ),
    force: bool = typer.Option(False, "--force", help="Overwrite studies/NAME.yaml."),
) -> None:
    """Create a study; typed again, show and apply what changed."""
    from ablate.app.creating import create as create_study
    from ablate.app.creating import plan_creation
    from ablate.planning.study_file.flags import parse_flags

    settings = settings_of(context)
    flags = parse_flags(factors=factor, settings=setting, design=design, seeds=seeds, aa=aa)
    if file is not None and (template is not None or not flags.is_empty):
        raise UsageError(
            "-f names a whole study; --from, --factor, --design, --seeds, --aa and --set change one"
        )
    if imported and (file is not None or template is not None or not flags.is_empty):
        raise UsageError("--imported goes with a name alone: other flags say how to train")
    creation = plan_creation(
        settings, name, file=file, template=template, flags=flags, is_imported=imported
    )
    _describe(creation, go_on=go_on)
    if go_on and not creation.can_go_on:
        raise UsageError(
            "--continue: no run can go on from a checkpoint",
            hint="it is for variants that only train for longer, as steps 50 -> 80",
        )
    if dry_run:
        echo("dry run: nothing was created")
        return
    if not (creation.is_new or creation.diff.is_empty or update or go_on):
        longer = "; with --continue trained runs go on" if creation.can_go_on else ""
        raise UsageError(
            f"the study '{name}' exists and would change as shown",
            hint=f"apply the change with --update{longer}",
        )
    moved = create_study(settings, creation, force=force, go_on=go_on)
    _tell_done(creation)
    if moved:
        echo(f"{moved} of {len(creation.can_go_on)} runs go on from their checkpoints")
    _tell_other_code(context, name)
    echo(f"next: {_next(creation.plan)}")


def _next(plan: Plan) -> str:
    if plan.trainer != IMPORTED:
        return f"ablate run {plan.study}"
    if plan.imported:
        return f"ablate compare --study {plan.study}"
    return f"ablate import SOURCE --study {plan.study}"


def _describe(creation: Creation, *, go_on: bool) -> None:
    from ablate.render.studies import diff_lines, variants_table

    show(variants_table(creation.plan), "table", "study.show")
    trained = creation.can_go_on
    for line in diff_lines(creation.diff, is_new=creation.is_new, can_go_on=trained, go_on=go_on):
        echo(line)
    for note in creation.notes:
        echo(f"note: {note}")


def _tell_done(creation: Creation) -> None:
    plan = creation.plan
    if not creation.is_new and creation.diff.is_empty:
        echo(f"the study '{plan.study}' is unchanged ({creation.source})")
    else:
        verb = "created" if creation.is_new else "updated"
        echo(f"{verb} the study '{plan.study}' from {creation.source}")
        if creation.text is not None:
            echo(f"its file is studies/{plan.study}.yaml; change it, then create the study again")


def _tell_other_code(context: typer.Context, name: str) -> None:
    """Say which of the study's runs, from before or from other studies, another code trained."""
    from ablate.app.code_check import by_other_code
    from ablate.render.runs.sentences import other_code_lines

    with opened(context) as store:
        others = by_other_code(store, settings_of(context).project, store.runs(name))
    for line in other_code_lines(name, others):
        echo(line)


@app.command("list")
def list_studies(
    context: typer.Context,
    form: str = FORMAT,
    archived: bool = typer.Option(False, "--archived", help="Show archived studies too."),
) -> None:
    """List the studies and how far they are."""
    from ablate.render.studies import studies_table

    with opened(context) as store:
        studies = store.studies(with_archived=archived)
        runs = {study.name: store.runs(study.name) for study in studies}
    show(studies_table(studies, runs), form, "study.list")


@app.command("show")
def show_study(
    context: typer.Context,
    name: str = typer.Argument(help="The study.", autocompletion=completion.studies),
    form: str = FORMAT,
) -> None:
    """Show a study's variants and what each changes against the baseline."""
    from ablate.render.studies import variants_table

    with opened(context) as store:
        study = store.study(name)
    show(variants_table(study.plan), form, "study.show")


@app.command()
def archive(
    context: typer.Context,
    name: str = typer.Argument(help="The study.", autocompletion=completion.studies),
    undo: bool = typer.Option(False, "--undo", help="Bring it back."),
) -> None:
    """Hide a study from lists and from `ablate run`; nothing is deleted."""
    with opened(context, write=True) as store:
        store.study(name)
        store.set_archived(name, not undo)
    echo(f"{'brought back' if undo else 'archived'} the study '{name}'")


@app.command()
def templates(form: str = FORMAT) -> None:
    """List the studies that ship with the package."""
    from ablate.planning.study_file.parsing import read_study
    from ablate.planning.study_file.templates import templates as shipped
    from ablate.render.studies import templates_table

    specs = {name: read_study(path)[0] for name, path in shipped().items()}
    show(templates_table(specs), form, "study.templates")
