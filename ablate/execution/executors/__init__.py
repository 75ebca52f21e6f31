"""Where attempts run. Every executor does the same four things; see `base.Executor`."""
