"""What text the store takes, and JSON that any SQL client can read.

Both databases refuse lone surrogates, PostgreSQL refuses NUL too, and its indexes end at 2.7 kB.
Names are therefore refused early and by name; text that only explains (a traceback) is escaped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

from ablate.domain import Json, Kind
from ablate.errors import UsageError
from ablate.text import text_fault

MAX_NAME_BYTES = 1024
"""UTF-8 bytes of a name or metric key. PostgreSQL indexes hold at most 2704."""

_INFINITE_KINDS = {kind.value for kind in Kind if kind is not Kind.FINITE}


def name_fault(name: str) -> str | None:
    """Return why a name or metric key cannot be stored, or None when it can."""
    if not name:
        return "is empty"
    if fault := text_fault(name):
        return fault
    if (length := len(name.encode())) > MAX_NAME_BYTES:
        return f"takes {length} bytes, the limit is {MAX_NAME_BYTES}"
    return None


def check_name(name: str, what: str) -> None:
    """Refuse a name that cannot be stored exactly.

    Args:
        name: As the user gave it.
        what: Which name it is, for the message: ``study name``.

    Raises:
        UsageError: Naming it.
    """
    fault = name_fault(name)
    if fault:
        shown = name if len(name) <= 60 else name[:60] + "…"
        raise UsageError(f"{what} {shown!a} {fault}", hint="use a shorter or plainer name")


def explanation(text: str | None) -> str | None:
    r"""Return text that only explains, with NUL and lone surrogates as ``\x00`` and ``\udc80``."""
    if text is None:
        return None
    return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


def to_json(value: Json) -> str:
    """Return one line of RFC 8259 JSON; NaN and infinities as ``{"value": null, "kind": "nan"}``.

    Raises:
        UsageError: If the value is not JSON, or holds an object that means NaN here.
    """
    try:
        text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"value cannot be stored as JSON: {error}") from error
    return json.dumps(_plain(value), allow_nan=False) if text_fault(text) else text


def from_json(text: str | bytes) -> Any:
    """Return what `to_json` was given."""
    return json.loads(text, object_hook=_restore)


def _plain(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return {"value": None, "kind": Kind.of(value).value}
    if isinstance(value, Mapping):
        return _plain_object(cast("Mapping[Any, Json]", value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[Json]", value)]
    return value


def _plain_object(value: Mapping[Any, Json]) -> dict[str, Json]:
    if _means_infinite(value):
        raise ValueError(f"an object like {dict(value)} stands for a number that is not finite")
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"the key {key!r} of an object is not a string")
    return {key: _plain(item) for key, item in value.items()}


def _means_infinite(value: Mapping[Any, Json]) -> bool:
    return set(value) == {"value", "kind"} and (
        value["value"] is None and str(value["kind"]) in _INFINITE_KINDS
    )


def _restore(value: dict[str, Any]) -> Any:
    return Kind(value["kind"]).restore(None) if _means_infinite(value) else value
