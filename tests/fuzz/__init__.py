"""Damaged and hostile bytes: whatever comes in, one clear error, soon, and nothing elsewhere."""
