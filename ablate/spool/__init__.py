"""The spool: an append-only file, in which all that an attempt logs is safe before it is in SQL."""
