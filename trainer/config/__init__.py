"""What the trainer can be told. Imports no torch."""
