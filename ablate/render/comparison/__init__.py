"""A comparison of variants, for people and for machines."""
