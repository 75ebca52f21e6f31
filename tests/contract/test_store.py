import pytest

from ablate.testing.stores import StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def store_url(self, tmp_path):
        return f"sqlite:///{tmp_path}/new folder/ablate.db"


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def store_url(self, request):
        """Empty where the test itself makes the schema."""
        has_schema = "store" in request.fixturenames
        return request.getfixturevalue("postgres_store_url" if has_schema else "postgres_url")
