"""Care for a database: migrations, copies, its second copy on the disk compared and replayed."""
