"""Trainers as a study file names them: found, and read as text without importing them."""
