"""What the factors of a study do, in every output format."""
