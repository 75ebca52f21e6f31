"""Copies of the metrics for other tools. Truth stays in SQL; see ADR 0003."""
