"""What few seeds can tell: intervals, contrasts, the metrics of variants over their seeds."""
