"""Runs of other tools: what is found, where it goes, what was imported before."""
