"""Run migrations on the connection that `ablate.store.migrate` hands over, in its transaction."""

from alembic import context

from ablate.store.models import Base
from ablate.store.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
