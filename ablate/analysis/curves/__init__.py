"""What was logged, as the analysis reads it: a study's data, windows of curves, jumps, trends."""
