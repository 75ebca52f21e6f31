"""An MLflow server on this machine, and a proxy in front of it that misbehaves on demand."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class ServerFault:
    """What happens to a request."""

    status: int | None = None
    """Answer with this instead of asking the server."""
    error_code: str | None = None
    """MLflow's word in the answer; without one the answer is no JSON, as a gateway's."""
    delay_s: float = 0.0
    """Wait before the server is asked."""
    is_cut: bool = False
    """The server does not get the whole request, and the connection ends."""
    is_unanswered: bool = False
    """The server does what it was asked to; its answer does not arrive."""


Choice = Callable[[str, bytes], ServerFault | None]
"""From a request's path and body to its fault."""


class FaultyProxy:
    """Passes requests on to a server, but for the faults that are chosen.

    Args:
        target: Port of the server on the loopback address.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.fault: Choice = lambda _path, _body: None
        self.requests = 0
        """How many arrived."""
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Take requests."""
        if self._server is None:
            handler = type("Handler", (_Handler,), {"proxy": self})
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Handler(BaseHTTPRequestHandler):
    """One request; the connection ends with it."""

    proxy: FaultyProxy

    def do_GET(self) -> None:
        self.proxy.requests += 1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.fault(self.path, body) or ServerFault()
        time.sleep(fault.delay_s)
        with suppress(OSError):  # who asked may have left
            if fault.status is not None:
                self._answer(fault.status, _error_body(fault))
            elif fault.is_cut:
                self._cut(body)
            else:
                status, answer = self._ask(body)
                if not fault.is_unanswered:
                    self._answer(status, answer)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of the base class

    def _ask(self, body: bytes) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.proxy.target)) as connection:
            connection.request(self.command, self.path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()

    def _cut(self, body: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.proxy.target)) as server:
            head = f"{self.command} {self.path} HTTP/1.1\r\nHost: localhost\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            server.sendall(head.encode() + body[: len(body) // 2])

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _error_body(fault: ServerFault) -> bytes:
    if fault.error_code is None:
        return b"<html>no MLflow here</html>"
    return json.dumps({"error_code": fault.error_code, "message": "injected"}).encode()


@contextmanager
def tracking_server(folder: Path, *, workers: int = 1) -> Generator[int]:
    """Run an MLflow server with its database ``mlflow.db`` in the folder; yield its port."""
    port = free_port()
    command = [
        *(sys.executable, "-P", "-m", "mlflow", "server", "--host", "127.0.0.1"),
        *("--port", str(port), "--workers", str(workers)),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", f"{folder}/artifacts"),
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603 - MLflow's own server, no shell
            command, cwd=folder, env={**os.environ, **quiet}, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 600
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "server.log").read_text()[-2000:])
            time.sleep(0.1)
        yield port
    finally:
        family = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        server.wait(600)


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
