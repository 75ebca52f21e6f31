"""Addresses of databases and servers: what of them may be shown, and whether anyone answers."""

from __future__ import annotations

import re
import socket
import urllib.request
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, urlsplit

_USER = re.compile(r"//([^/@\s]*)@")
_PAIR = re.compile(
    r"""(?ix) \b
    ( [\w.-]* (?: passw(?:or)?d | passphrase | pwd | secret | token | credential | signature
               | (?:api|access|private)[_-]?key )
    | key | sig )
    (\s* = \s*)
    ( '[^']*' | "[^"]*" | [^&\s'",;)]+ )"""
)
"""A parameter that nobody may see, as in an address or in what a driver says; paths are none."""
_SHORTEST = 3
"""Characters of a secret that is looked for in a text: each of fewer would hide half of it."""
_PORTS = {"http": 80, "https": 443}
_PATIENCE_S = 8.0
"""Seconds in which a server must take a connection: a request would wait longer, and say less."""


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without the passwords, keys and tokens of the addresses in it.

    Args:
        text: An address, or what a driver or a server said.
        secrets: Others that are known, in whatever way the text spells them.
    """
    for secret in secrets:
        for spelling in {secret, unquote(secret), quote(secret, safe=""), quote_plus(secret)}:
            if len(spelling) >= _SHORTEST:
                text = text.replace(spelling, "***")
    text = _USER.sub(lambda found: found[0] if found[1].endswith(":***") else "//***@", text)
    return _PAIR.sub(r"\1\2***", text)


def is_secret(name: str) -> bool:
    """Whether a parameter of an address is one that nobody may see."""
    return _PAIR.fullmatch(f"{name}=x") is not None


def no_answer(address: str) -> str | None:
    """Return why a web server cannot be reached, None when it can or nobody knows.

    Clients try again for minutes what does not answer at all; this asks once.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError as error:
        return str(error)
    if parts.scheme not in _PORTS or urllib.request.getproxies().get(parts.scheme):
        return None
    if not host:
        return "it names no host"
    try:
        socket.create_connection((host, port or 0), _PATIENCE_S).close()
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None
