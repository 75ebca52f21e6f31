"""Settings: dotted keys and nested mappings, by one rule wherever a study file or a flag has them.

1. A mapping stands for the keys below it: ``optim: {lr: 0.1}`` is ``optim.lr: 0.1``. So a mapping
   is merged with what is there, never put in its place.
2. Settings are applied one after the other: base, phases from the oldest to the newest, levels.
   A later value takes the place of an earlier one, with everything below that key:
   ``optim: null`` leaves neither ``optim.lr`` nor ``optim.wd``.
3. A key below a value that is no mapping is an error, but below ``null`` and ``{}``, where nothing
   is yet. A list is one value: it is replaced whole.
4. One mapping does not say one key twice, whichever way it is spelled.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from ablate.domain import Json
from ablate.errors import SettingError
from ablate.text import written

Place = tuple[str | int, ...]
"""Keys of a study file from its root to what is meant."""
_DEEPEST = 50
"""Parts of a key: what is nested deeper is neither read nor written well by others."""
_LONGEST = 40
"""Characters of a value in a message."""


class DottedSettings:
    """Dotted keys with their values and where each was set; see the module's docstring."""

    def __init__(self) -> None:
        self.values: dict[str, Json] = {}
        """Dotted key -> value: no key lies below another."""
        self.places: dict[str, Place] = {}
        """Dotted key -> where its value stands."""

    def copy(self) -> DottedSettings:
        """Return settings that can be changed without changing these."""
        twin = DottedSettings()
        twin.values, twin.places = dict(self.values), dict(self.places)
        return twin

    def apply(self, layer: Mapping[str, Json], place: Place = ()) -> DottedSettings:
        """Put one mapping of settings over what is there; return these settings.

        Args:
            layer: Dotted keys and values, mappings among them.
            place: Where the mapping stands in the study file.

        Raises:
            SettingError: By the rules 3 and 4, or for a malformed key.
        """
        fresh = DottedSettings()
        for key, value, path in leaves(layer, place=place):
            fresh._put_once(key, value, path)
        for key, value in fresh.values.items():
            self._put(key, value, fresh.places[key])
        return self

    def nested(self) -> dict[str, Json]:
        """Return the settings as nested mappings, which share nothing with any other."""
        root: dict[str, Json] = {}
        for key, value in self.values.items():
            *parents, leaf = key.split(".")
            node = root
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = copy.deepcopy(value)
        return root

    def _put(self, key: str, value: Json, place: Place) -> None:
        for above in _above(key):
            if above in self.values:
                self._step_into(above, key, place)
        below = [other for other in self.values if other.startswith(f"{key}.")]
        if below and value == {}:
            return
        for other in below:
            self._remove(other)
        self.values[key], self.places[key] = value, place

    def _step_into(self, above: str, key: str, place: Place) -> None:
        value = self.values[above]
        if value is not None and value != {}:
            kind = "a list" if isinstance(value, list) else _shown(value)
            raise SettingError(f"'{key}' cannot be set: '{above}' is {kind}, no mapping", place)
        self._remove(above)

    def _put_once(self, key: str, value: Json, place: Place) -> None:
        for above in (*_above(key), key):
            if self.values.get(above, {}) != {}:
                twice = f"'{key}'" if above == key else f"'{key}' below '{above}'"
                raise SettingError(f"{twice} is set twice in one mapping", place)
        if value != {} and (below := [k for k in self.values if k.startswith(f"{key}.")]):
            raise SettingError(f"'{below[0]}' below '{key}' is set twice in one mapping", place)
        self._put(key, value, place)

    def _remove(self, key: str) -> None:
        del self.values[key], self.places[key]


def leaves(
    layer: Mapping[str, Any], prefix: str = "", place: Place = ()
) -> Iterator[tuple[str, Json, Place]]:
    """Yield dotted key, value and place of everything that a mapping sets.

    Raises:
        SettingError: For a key that is no text, or has an empty or padded part.
    """
    for name, value in layer.items():
        here = (*place, name)
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - from YAML
            raise SettingError(
                f"the key {written(name)} is no text; quote it: '{written(name)}'", here
            )
        if any(not part or part != part.strip() for part in name.split(".")):
            raise SettingError(f"'{name}' is no config key; write parts joined by dots", here)
        if (prefix + name).count(".") >= _DEEPEST:
            raise SettingError(f"a key has at most {_DEEPEST} parts joined by dots", here)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.", here)
        else:
            yield f"{prefix}{name}", value, here


def _above(key: str) -> list[str]:
    """Return the keys above a dotted key, the outermost first."""
    parts = key.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
