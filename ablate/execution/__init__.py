"""Attempts: from a claim to a trained, guarded, resumable run whose points are in SQL."""
