"""What a user means by the name of a variant or of a metric. One wording for every command."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from ablate.domain import Variant
from ablate.errors import NotFoundError, closest, did_you_mean


def named_variants(
    study: str, variants: Sequence[Variant], names: Sequence[str]
) -> tuple[Variant, ...]:
    """Return the variants of a study that are named, in the study's order; all for no name.

    Raises:
        NotFoundError: For a name that none has, with the closest.
    """
    known = {variant.name: variant for variant in variants}
    for name in names:
        if name not in known:
            raise NotFoundError(
                f"the study '{study}' has no variant '{name}'", hint=did_you_mean(name, known)
            )
    wanted = set(names) or known
    return tuple(variant for variant in variants if variant.name in wanted)


def named_metrics(study: str, known: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the metric keys that are named, by pattern, then as they are known.

    Args:
        study: Its name, for the message.
        known: What can be meant.
        patterns: Keys, or patterns such as ``valid/*``; a key that is known is no pattern.

    Raises:
        NotFoundError: For a key or pattern that nothing matches, with the closest key.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = [k for k in known if fnmatch.fnmatchcase(k, pattern)]
        if pattern in known:
            matches = [pattern]
        if not matches:
            raise NotFoundError(
                f"no run of '{study}' has logged a metric '{pattern}'",
                hint=_metric_hint(pattern, known),
            )
        found |= dict.fromkeys(matches)
    return tuple(found)


_LISTED = 20
"""Keys that a hint lists; of more it names their splits."""


def _metric_hint(pattern: str, known: Sequence[str]) -> str | None:
    names = _patterns(known) if "*" in pattern else known
    if len(known) > _LISTED and closest(pattern, names) is None:
        names = sorted({f"{key.split('/')[0]}/*" for key in known})
    return did_you_mean(pattern, names)


def _patterns(known: Sequence[str]) -> list[str]:
    """Return the patterns of whole splits and groups: ``valid/*``, ``valid/loss/*``."""
    parts = [key.split("/") for key in known]
    heads = {"/".join(each[:n]) for each in parts for n in range(1, min(3, len(each)))}
    return [f"{head}/*" for head in heads]
