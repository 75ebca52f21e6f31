"""What the Tab key offers behind a command. It is quick, changes nothing, and never complains.

Where there is no project, no database or no answer, there is nothing to offer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import typer

_ID_SHOWN = 8
"""Characters of a run's id that are offered, as `ablate status` shows them."""


def studies(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the studies of the database."""
    from ablate.store.names import study_names

    return _offered(lambda: study_names(_url(context)), context, incomplete)


def new_studies(context: typer.Context, incomplete: str) -> list[str]:
    """Offer what a study can be made from: the project's study files and the templates."""
    from ablate.planning.study_file.templates import project_file, templates
    from ablate.settings import load_settings

    def names() -> Iterable[str]:
        folder = project_file(load_settings().project, "any").parent
        return sorted({*templates(), *(path.stem for path in folder.glob("*.yaml"))})

    return _offered(names, context, incomplete)


def phases(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the variants of the study that was named, else of all; STUDY/PHASE behind STUDY/."""
    from ablate.store.names import variant_names

    def names() -> Iterable[str]:
        of_study, slash, _ = incomplete.rpartition("/")
        found = variant_names(_url(context), of_study or context.params.get("study"))
        return [f"{of_study}{slash}{name}" for name in found]

    return _offered(names, context, incomplete)


def runs(context: typer.Context, incomplete: str) -> list[str]:
    """Offer variants, labels of runs, and ids once one is begun; STUDY/NAME behind STUDY/."""
    from ablate.store.names import run_names, variant_names

    def names() -> Iterable[str]:
        of_study, slash, _ = incomplete.rpartition("/")
        found = run_names(_url(context), of_study or None)
        ids = [run_id[:_ID_SHOWN] for _, run_id in found] if incomplete and not slash else []
        known = [*variant_names(_url(context), of_study or None), *dict(found), *ids]
        return [f"{of_study}{slash}{name}" for name in known]

    return _offered(names, context, incomplete)


def metrics(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the metric keys that were ever logged."""
    from ablate.store.names import metric_keys

    return _offered(lambda: metric_keys(_url(context)), context, incomplete)


def one_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what offers fixed words."""
    return lambda incomplete: [each for each in known if each.startswith(incomplete)]


def _offered(
    names: Callable[[], Iterable[str]], context: typer.Context, incomplete: str
) -> list[str]:
    """Return the names that go on as was typed and were not typed yet."""
    try:
        found = list(dict.fromkeys(names()))
    except Exception:
        return []
    stem = _before_equals(context)
    typed = {word for value in context.params.values() if isinstance(value, list) for word in value}
    return [
        name.removeprefix(stem)
        for name in found
        if name.startswith(stem + incomplete) and name not in typed
    ]


def _before_equals(context: typer.Context) -> str:
    """Return what stands before ``=`` in the name that is typed: bash takes it for words."""
    for value in context.params.values():
        if isinstance(value, list) and len(value) > 1 and value[-1] == "=":
            return f"{value[-2]}="
    return ""


def _url(context: typer.Context) -> str:
    from ablate.settings import load_settings

    return load_settings(db=context.find_root().params.get("db_url")).db_url
