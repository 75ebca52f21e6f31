"""Names that MLflow takes, different for different names of ours."""

from __future__ import annotations

import hashlib
import re

MAX_LENGTH = 230
"""MLflow takes 250; a tag that names the original has a prefix in front."""


def accepted(name: str) -> str:
    """Return the name itself where MLflow takes it, else one like it that ends in a digest.

    MLflow takes letters, digits, ``_ - . space : /``, and paths without ``.``, ``..`` or empty
    parts.
    """
    text = re.sub(r"[^\w\-. :/]", "_", name)
    parts = text.split("/")
    text = "/".join(part if part.strip(".") else "_" * max(1, len(part)) for part in parts)
    if text == name and len(name) <= MAX_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{text[: MAX_LENGTH - 9]}-{digest}"
