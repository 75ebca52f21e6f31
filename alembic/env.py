"""Run migrations on the connection that `upkeep.migrate` hands over, in its transaction.

Typed as `alembic` in a checkout there is no such connection: then it is the project's database.
"""

from contextlib import closing

from alembic import context
from sqlalchemy import Connection

from ablate.settings import load_settings
from ablate.store.schema.engine import connect, writing
from ablate.store.schema.models import Base
from ablate.store.schema.revision import VERSION_TABLE


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=Base.metadata, version_table=VERSION_TABLE
    )
    context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with closing(connect(load_settings().db_url)) as database:
        if database.path:
            database.path.parent.mkdir(parents=True, exist_ok=True)
        with writing(database) as opened:
            migrate(opened)
