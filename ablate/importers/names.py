"""From the names of other tools to metric keys ``split/group/name`` and names of variants.

``--map NAME=KEY`` counts first; ``*`` on both sides stands for the same text. Any other name
becomes a key by the rule of `ablate.keys`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ablate.errors import UsageError
from ablate.keys import default_key

ROLES = frozenset({"step", "time", "run", "variant", "seed", "key", "value", "kind"})
"""What a column can be beside a metric."""
LEFT_OUT = "-"


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    target: str


class KeyMap:
    """The names of one source, each with its key.

    Args:
        entries: ``NAME=KEY``, ``NAME=ROLE`` or ``NAME=-`` as typed.

    Raises:
        UsageError: For an entry that is none of these.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._rules: list[_Rule] = []
        self.roles: dict[str, str] = {}
        """Column -> role, as typed."""
        self._known: dict[str, str | None] = {}
        self._name_of: dict[str, str] = {}
        for entry in entries:
            self._add(entry)

    def _add(self, entry: str) -> None:
        name, sign, target = (part.strip() for part in entry.rpartition("="))
        if not sign or not name or not target:
            raise UsageError(f"--map {entry}: unreadable", hint="write --map NAME=split/group/name")
        if target in ROLES:
            self.roles[name] = target
            return
        is_key = re.fullmatch(r"[^/\s]+(/[^/\s]+){2,}", target)
        if target != LEFT_OUT and not is_key:
            known = ", ".join(sorted(ROLES))
            raise UsageError(
                f"--map {entry}: '{target}' is no metric key",
                hint=f"write split/group/name, as train/loss/total; - to leave out; or {known}",
            )
        if target.count("*") > name.count("*") or name.count("*") > 1:
            raise UsageError(f"--map {entry}: one * on the left stands for one on the right")
        pattern = re.compile(re.escape(name).replace(r"\*", "(.*)"))
        self._rules.append(_Rule(pattern, target))

    def key(self, name: str) -> str | None:
        """Return the key for a name, None for one that is left out.

        Raises:
            UsageError: If another name has the same key.
        """
        if name not in self._known:
            self._known[name] = self._find(name.strip())
        return self._known[name]

    def _find(self, name: str) -> str | None:
        key = default_key(name)
        for rule in self._rules:
            if found := rule.pattern.fullmatch(name):
                if rule.target == LEFT_OUT:
                    return None
                key = rule.target.replace("*", found[1]) if "*" in rule.target else rule.target
                break
        other = self._name_of.setdefault(key, name)
        if other != name:
            raise UsageError(
                f"'{other}' and '{name}' would both be {key}",
                hint=f"give one another key: --map '{name}=split/group/name'",
            )
        return key


_NOT_IN_NAMES = re.compile(r"[\s/\\@,:*?\[\]\"'<>|]+")
_SEED = re.compile(r"(.+?)[-_./ ](?:s|seed)[-_= ]?(\d{1,9})", re.IGNORECASE)


def variant_name(name: str) -> str:
    """Return a name that a study file could have: what it may not hold becomes ``-``."""
    clean = _NOT_IN_NAMES.sub("-", name).strip("-")[:100]
    return clean if clean not in ("", ".", "..") else "imported"


def split_seed(name: str) -> tuple[str, int | None]:
    """Return what stands before ``-s3``, ``_seed3`` or ``/seed_3`` at the end, and the seed."""
    found = _SEED.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, None)
