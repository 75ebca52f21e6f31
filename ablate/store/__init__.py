"""The results store: contract, SQL store, spool, migrations."""
