"""Stands between a client and PostgreSQL, and cuts their connection in the middle of things."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import make_url

MODES = ("request", "half", "reply", "commit", "stall")
"""What is cut off: what the client sends, half of it, the answer to it, the answer to the next
COMMIT. A stall only delays."""
STALL_S = 0.3


@dataclass
class Proxy:
    """Listens on a port of this machine; each cut happens once, in the order given.

    Args:
        server: A URL of the server, which may be one of a Unix socket.
        cuts: (messages of clients to let pass before, what is cut off).
    """

    server: str
    cuts: Iterator[tuple[int, str]]
    done: list[str] = field(default_factory=list)
    """Which cuts were made."""

    def __post_init__(self) -> None:
        self._next = next(self.cuts, None)
        self._passed = 0
        self._is_armed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()

    @property
    def url(self) -> str:
        """The server's URL through the proxy."""
        port = self._listener.getsockname()[1]
        url = make_url(self.server).set(host="127.0.0.1", port=port, query={})
        return url.render_as_string(hide_password=False)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), self._connect() as server:
            answers = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            answers.start()
            while data := client.recv(65536):
                cut = self._cut_for(data)
                if cut == "stall":
                    threading.Event().wait(STALL_S)
                elif cut is not None:
                    _cut(cut, data, client, server)
                    break
                server.sendall(data)
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)  # closing alone does not wake who reads it

    def _cut_for(self, data: bytes) -> str | None:
        """Return what to do with this message; nothing before the first points are written."""
        with self._lock:
            self._is_armed |= b"COPY" in data
            if self._next is None or not self._is_armed:
                return None
            self._passed += 1
            wait, mode = self._next
            if self._passed <= wait or (mode == "commit" and b"COMMIT" not in data):
                return None
            self.done.append(mode)
            self._next, self._passed = next(self.cuts, None), 0
            return mode

    @contextmanager
    def _connect(self) -> Iterator[socket.socket]:
        url = make_url(self.server)
        folder = url.query.get("host")
        if folder:
            made = socket.socket(socket.AF_UNIX)
            made.connect(str(Path(str(folder)) / f".s.PGSQL.{url.port or 5432}"))
        else:
            made = socket.create_connection((url.host, url.port or 5432))
        with made:
            yield made


def _cut(mode: str, data: bytes, client: socket.socket, server: socket.socket) -> None:
    if mode == "half":
        server.sendall(data[: len(data) // 2])
    elif mode in ("reply", "commit"):
        client.shutdown(socket.SHUT_RDWR)  # first: the answer must not get through
        server.sendall(data)
        threading.Event().wait(0.05)  # the server does what it was told


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
