"""The contract of a store as a suite of tests, for our stores and for those of others.

Subclass `StoreContract` and give it a fixture ``store_url``: the URL of a new, empty database.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ablate.store import open_store
from ablate.store.base import Store
from ablate.testing.stores.execution import ExecutionContract
from ablate.testing.stores.imports import ImportsContract
from ablate.testing.stores.lineage import LineageContract
from ablate.testing.stores.longer import LongerContract
from ablate.testing.stores.metrics import MetricsContract
from ablate.testing.stores.orphans import OrphansContract
from ablate.testing.stores.processes import ProcessesContract
from ablate.testing.stores.studies import StudiesContract
from ablate.testing.stores.summaries import SummariesContract

__all__ = ["StoreContract"]


class StoreContract(
    StudiesContract,
    ExecutionContract,
    LineageContract,
    LongerContract,
    MetricsContract,
    SummariesContract,
    ImportsContract,
    OrphansContract,
    ProcessesContract,
):
    """Every sentence of `ablate.store.base` that a test can hold a store to."""

    @pytest.fixture
    def store_url(self) -> str:
        """Return the URL of a new, empty database."""
        raise NotImplementedError("a subclass says where")

    @pytest.fixture
    def store(self, store_url: str) -> Iterator[Store]:
        """Open the database."""
        store = open_store(store_url)
        yield store
        store.close()
