"""The memory store keeps the contract that the PostgreSQL store keeps."""

import pytest

from store.errors import Unavailable
from store.memory import MemoryStore
from tests.fakes.store_contract import *  # noqa: F403
from tests.fakes.store_contract_dispatch import *  # noqa: F403
from tests.fakes.store_contract_outside import *  # noqa: F403
from tests.fakes.store_contract_sign_in import *  # noqa: F403
from tests.fakes.store_contract_telephone import *  # noqa: F403


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_a_store_that_is_away_says_so(store: MemoryStore) -> None:
    store.state.away = True
    with pytest.raises(Unavailable):
        await store.users.by_extension("1001")
