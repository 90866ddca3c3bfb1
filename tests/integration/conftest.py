"""One real PostgreSQL for the whole run; each test gets a database copied from a template."""

from collections.abc import AsyncIterator, Iterator

import pytest

from store.postgres import PostgresStore
from tests.fakes.postgres import RunningServer, copied_database, running_server, with_template


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[RunningServer]:
    """A running server with the roles, and the template `vm` with the store's schema."""
    with running_server() as server:
        with_template(server)
        yield server


@pytest.fixture
def store_dsn(postgres_server: RunningServer) -> Iterator[str]:
    """Connection string of an empty store of the test's own."""
    with copied_database(postgres_server) as conninfo:
        yield conninfo


@pytest.fixture
async def postgres_store(store_dsn: str) -> AsyncIterator[PostgresStore]:
    """An empty store, node 1."""
    async with PostgresStore.open(store_dsn) as store:
        yield store
