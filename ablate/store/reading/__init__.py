"""What the tables say, as frozen values. Each function reads in its caller's transaction."""
