"""The study file: text with places, names, settings, and what it may say."""
