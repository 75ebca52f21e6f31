"""Study file -> variants -> runs. Pure, but for reading files."""
