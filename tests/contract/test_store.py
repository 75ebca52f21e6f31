import pytest

from ablate.testing.stores import StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def store_url(self, tmp_path):
        return f"sqlite:///{tmp_path}/new folder/ablate.db"


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def store_url(self, postgres_url):
        return postgres_url
