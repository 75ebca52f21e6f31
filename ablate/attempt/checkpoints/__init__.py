"""Checkpoints: written, verified, found again, and from which of them an attempt goes on."""
