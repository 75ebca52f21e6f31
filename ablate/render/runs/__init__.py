"""Runs on a terminal and in every other format."""
