"""Runs of other tools: each module reads one kind of source into `base.SourceRun`."""
