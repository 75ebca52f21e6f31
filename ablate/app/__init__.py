"""What the commands do, without a terminal: records in, records out; nothing is printed here."""
