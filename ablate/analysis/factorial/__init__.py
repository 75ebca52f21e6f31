"""Effects of factors: a fit of all at once, Lenth's method, and shares of the variance."""
