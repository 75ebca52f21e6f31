"""The names in a database, for the Tab key: they come at once, or not at all.

Loading SQLAlchemy takes longer than anybody waits for a completion, so the driver is asked. Nothing
is written, and no database or file beside it is made.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

_WAIT_S = 1
_STUDIES = "select name from studies where {shown} order by id"
_VARIANTS = """
select distinct variants.name from variants join studies on studies.id = variants.study_id
where {shown} order by variants.name
"""
_RUNS = """
select distinct variants.name, runs.seed, runs.id from runs
join study_runs on study_runs.run_id = runs.id
join variants on variants.id = study_runs.variant_id
join studies on studies.id = study_runs.study_id
where study_runs.is_wanted = {true} and {shown} order by variants.name, runs.seed
"""
_METRICS = "select name from metric_keys order by name"


def study_names(url: str) -> list[str]:
    """Return the studies that are not archived, oldest first.

    Like the other functions, it raises whatever its driver does.
    """
    return [name for (name,) in _ask(url, _STUDIES, None)]


def variant_names(url: str, study: str | None = None) -> list[str]:
    """Return the variants of a study, or of all that are not archived."""
    return [name for (name,) in _ask(url, _VARIANTS, study)]


def run_names(url: str, study: str | None = None) -> list[tuple[str, str]]:
    """Return the wanted runs of a study, or of all that are not archived: label and id."""
    return [(f"{name}-s{seed}", run_id) for name, seed, run_id in _ask(url, _RUNS, study)]


def metric_keys(url: str) -> list[str]:
    """Return every key that was ever logged."""
    return [key for (key,) in _ask(url, _METRICS, None)]


def _ask(url: str, query: str, study: str | None) -> list[tuple[Any, ...]]:
    is_file = url.startswith("sqlite:")
    mark, true = ("?", "1") if is_file else ("%s", "true")
    shown = f"studies.name = {mark}" if study else f"studies.is_archived <> {true}"
    text = query.format(shown=shown, true=true)
    with closing(_sqlite(url) if is_file else _postgres(url)) as connection:
        return connection.execute(text, (study,) if study else ()).fetchall()


def _sqlite(url: str) -> Any:
    path = Path(url.removeprefix("sqlite:///")).absolute()
    # Without a log beside it the file is whole, and opened like this it gets none.
    mode = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, timeout=_WAIT_S)


def _postgres(url: str) -> Any:
    import psycopg

    address = f"postgresql://{url.partition('://')[2]}"
    limits = f"-c default_transaction_read_only=on -c statement_timeout={_WAIT_S * 1000}"
    return psycopg.connect(address, connect_timeout=2 * _WAIT_S, options=limits)
