"""What of an address may be shown, and whether anyone answers there."""

from __future__ import annotations

import socket
import time

import pytest

from ablate.addresses import masked, no_answer
from tests.support.patience import slowness


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ada:s3cret@host:5000/x", "http://***@host:5000/x"),
        ("http://token@host", "http://***@host"),
        ("postgresql://ada:***@host/x", "postgresql://ada:***@host/x"),
        ("http://host/x?api_key=abc&page=2", "http://host/x?api_key=***&page=2"),
        ("x?sslpassword=a&sslkey=/p&key=q", "x?sslpassword=***&sslkey=/p&key=***"),
        ("password='a b' host=h Token = t)", "password=*** host=h Token = ***)"),
        ("monkey=3, step 10 key", "monkey=3, step 10 key"),
    ],
)
def test_secrets_of_addresses_are_hidden(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize("spelling", ["p@ss w/rd", "p%40ss%20w%2Frd", "p%40ss+w%2Frd"])
def test_known_secret_is_hidden_in_every_spelling(spelling: str) -> None:
    assert masked(f"no user with {spelling} here", ["p@ss w/rd"]) == "no user with *** here"


def test_server_that_does_not_answer_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        start = time.monotonic()
        assert no_answer(f"http://127.0.0.1:{port}") == "Connection refused"
        assert time.monotonic() - start < 5 * slowness()
        taken.listen()
        assert no_answer(f"http://127.0.0.1:{port}") is None


@pytest.mark.parametrize("address", ["http://h:port", "http://[::1", "http://", "http://\udc80"])
def test_address_that_is_none_is_told(address: str) -> None:
    assert no_answer(address)


def test_other_addresses_are_not_asked() -> None:
    assert no_answer("sqlite:///x.db") is None
    assert no_answer("databricks") is None
