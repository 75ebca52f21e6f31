"""Metric keys: ``split/group/name``, and what a name of another kind becomes.

The rule for a name, which does not depend on what else is logged:

1. Blanks become ``_``; empty parts between slashes go.
2. Three parts or more are kept as they are.
3. Of two parts one may be a split (``val/loss``, ``Loss/train``): ``valid/scalar/loss``. Otherwise
   the two are group and name: ``import/losses/l1``.
4. A single name may begin with a split and ``_``, ``-`` or ``.``: ``train_loss`` is
   ``train/scalar/loss``. Any other is ``import/scalar/NAME``.

Splits are ``train``, ``training``; ``val``, ``valid``, ``validation``, ``dev``, ``eval``; ``test``.
"""

from __future__ import annotations

import re

KEY_PATTERN = r"[^/\s]+(/[^/\s]+)+"
"""Parts without blanks, joined by slashes."""
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "eval": "valid",
    "test": "test",
}
_KEY = re.compile(KEY_PATTERN)


def metric_key(name: str) -> str:
    """Return the key of a name that is logged, or that a study file speaks of.

    What is a key already is kept; any other name becomes one by `default_key`.
    """
    return name if _KEY.fullmatch(name) else default_key(name)


def default_key(name: str) -> str:
    """Return the metric key for another tool's name, by the rule above."""
    parts = [part for part in re.sub(r"\s+", "_", name.strip()).split("/") if part]
    if len(parts) >= 3:
        return "/".join(parts)
    if len(parts) == 2:
        first, second = parts
        if first.lower() in SPLITS:
            return f"{SPLITS[first.lower()]}/scalar/{second}"
        if second.lower() in SPLITS:
            return f"{SPLITS[second.lower()]}/scalar/{first}"
        return f"import/{first}/{second}"
    alone = parts[0] if parts else "unnamed"
    found = re.fullmatch(r"([A-Za-z]+)[_.-](.+)", alone)
    if found and found[1].lower() in SPLITS:
        return f"{SPLITS[found[1].lower()]}/scalar/{found[2]}"
    return f"import/scalar/{alone}"
