"""Records to text: terminal, plain, Markdown, CSV, JSON, NDJSON, LaTeX, HTML fragments."""
