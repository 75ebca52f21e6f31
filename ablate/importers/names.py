"""From the names of other tools to metric keys ``split/group/name`` and names of variants.

``--map NAME=KEY`` counts first; ``*`` on both sides stands for the same text. Any other name
becomes a key by the rule of `ablate.keys`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ablate.errors import UsageError
from ablate.keys import SPLITS, TOTAL, default_key
from ablate.planning.study_file.names import cleaned_name

CONFIG = "config"
"""The role of columns that are parts of the config of a run; any number may have it."""
ROLES = frozenset({"step", "time", "run", "variant", "seed", "key", "value", "kind", CONFIG})
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
                hint=f"write split/group/name, as {TOTAL}; - to leave out; or {known}",
            )
        if target.count("*") > name.count("*") or name.count("*") > 1:
            raise UsageError(f"--map {entry}: one * on the left stands for one on the right")
        pattern = re.compile(re.escape(name).replace(r"\*", "(.*)"))
        self._rules.append(_Rule(pattern, target))

    def key(self, name: str) -> str | None:
        """Return the key for a name, None for one that is left out."""
        name = name.strip()
        for rule in self._rules:
            if found := rule.pattern.fullmatch(name):
                if rule.target == LEFT_OUT:
                    return None
                return rule.target.replace("*", found[1]) if "*" in rule.target else rule.target
        return default_key(name)


_GENERIC = re.compile(
    r"logs?|tb|tensorboard|events?|summar(y|ies)|metrics?|history|results?|progress|outputs?"
    r"|scalars?|stats|train(ing)?[-_]?logs?|trainer_state|lightning_logs|csv_logs|wandb|files"
    r"|version_\d+|checkpoints?",
    re.IGNORECASE,
)


def is_generic(name: str) -> bool:
    """Whether the name of a file or folder says nothing of the run in it, as ``metrics``."""
    return _GENERIC.fullmatch(name) is not None


_GENERATED = re.compile(r"[^\s/\\@,:=][^/\\@,:=]*=[^,]*(,[^\s/\\@,:=][^/\\@,:=]*=[^,]*)*")


def kept_name(name: str) -> str:
    """Return a name of a column ``variant``: as it is where a study could have made it.

    Designs join factors with their levels, such as ``rms=frame,gan=true``.
    """
    is_generated = _GENERATED.fullmatch(name) and name.isprintable() and len(name) <= 1000
    return name if is_generated else cleaned_name(name)


def in_split(name: str, split: str) -> str:
    """Return a name that was logged into the folder of a split, such as ``validation``."""
    split = SPLITS[split.lower()]
    key = default_key(name)
    if key.partition("/")[0] in SPLITS.values():
        return name
    return f"{split}/{key.removeprefix('import/').removeprefix('scalar/')}"
