"""What lies under every transaction: tables, connections, how points lie in rows, the journal."""
