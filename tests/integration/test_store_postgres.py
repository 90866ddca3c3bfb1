"""The PostgreSQL store keeps the contract that the memory store keeps, and has manners of its own."""

import pytest

from store.postgres import PostgresStore
from tests.fakes.store_contract import *  # noqa: F403


@pytest.fixture
def store(postgres_store: PostgresStore) -> PostgresStore:
    return postgres_store
