"""Databases as earlier revisions of the schema left them, and what is in a database."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import text

from ablate.store.schema.engine import connect, reading, writing
from ablate.store.upkeep.migrate import upgrade
from ablate.testing.faults import Faults

_OLD = Path(__file__).parents[1] / "migration"
ROWS = {path.stem.removeprefix("revision_"): path for path in _OLD.glob("*.sql")}
"""Revision -> rows that ablate wrote at it."""
KEPT = ("studies", "variants", "runs", "study_runs", "attempts", "metric_keys", "series", "steps")
KEPT += ("points", "events", "checkpoints", "transitions", "mirror_cursors")
OLDEST_RUNS = (
    "id, identity, seed, config, trainer, trainer_version, state, token, reason, created_at"
)
OLDEST_STUDIES = "id, name, question, plan, created_at, updated_at, is_archived"
OLDEST_ATTEMPTS = (
    "id, run_id, number, state, runner, token, started_at, finished_at, has_started, start_step,"
    " cut_step, last_step, spool_offset, exit_code, error, traceback, inexact"
)
OLDEST_CHECKPOINTS = "attempt_id, step, path, sha256, size_bytes"
"""Columns of these tables that all revisions have."""
NUMBERED = ("studies", "variants", "attempts", "metric_keys", "series", "events", "transitions")


def make_database(url: str, revision: str) -> str:
    """Fill an empty database with what a revision left; return its URL."""
    upgrade(url, revision)
    with closing(connect(url)) as database, writing(database) as connection:
        for statement in ROWS[revision].read_text().split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        if database.path is None:
            for table in NUMBERED:  # the rows brought their own numbers
                connection.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
                )
    return url


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    with closing(connect(url, read_only=True)) as database, reading(database) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def rows_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every table that all revisions have, as far as all have the columns."""
    columns = {"runs": OLDEST_RUNS, "studies": OLDEST_STUDIES, "attempts": OLDEST_ATTEMPTS}
    columns["checkpoints"] = OLDEST_CHECKPOINTS
    return {
        table: sorted(fetch(url, f"SELECT {columns.get(table, '*')} FROM {table}"), key=repr)
        for table in KEPT
    }


def upgrade_with(url: str, faults: str, counts: Path | None = None) -> None:
    """Upgrade; fail where the faults say; write how often each point was called."""
    armed = Faults(faults)
    upgrade(url)
    if counts:
        counts.write_text(json.dumps(armed.calls))
