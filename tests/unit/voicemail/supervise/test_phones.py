"""Which phones' accounts the edge is given."""

import asyncio
import json
from pathlib import Path
from typing import cast
from uuid import UUID

from sip.digest import REALM, ha1
from sip.edge_control import EdgeControl
from sip.errors import EdgeFailed
from store.memory import MemoryStore
from store.model import Setting, User
from voicemail.supervise.phones import KIND, Phones, accounts_of

ANNA, BERT = User(UUID(int=1), "1001"), User(UUID(int=2), "1002")
HASH = ha1("1001", "Sesame")


def account(name: str, owner: User, **body: str) -> Setting:
    return Setting(KIND, name, json.dumps({"ha1": HASH, "realm": REALM} | body), owner.id)


def test_an_account_is_its_users_while_the_user_has_the_extension():
    made = [account("1001", ANNA), account("1003", BERT), account("1004", User(UUID(int=9), "1004"))]
    assert accounts_of(made, [ANNA, BERT]) == {"1001": HASH}


def test_of_two_users_with_one_extension_the_first_has_the_phone():
    twin = User(UUID(int=3), "1001")
    assert accounts_of([account("1001", ANNA), account("1001", twin, ha1="0" * 32)], [ANNA, twin]) == {
        "1001": HASH
    }


def test_what_cannot_be_read_or_is_of_another_realm_opens_nothing():
    made = [account("1001", ANNA, realm="elsewhere"), Setting(KIND, "1002", "[]", BERT.id)]
    assert accounts_of(made, [ANNA, BERT]) == {}


class Edge:
    """Reads its accounts when it is told, if it is there."""

    def __init__(self) -> None:
        self.there, self.reads = True, 0

    async def reload_accounts(self) -> None:
        if not self.there:
            raise EdgeFailed("nobody answers")
        self.reads += 1


async def test_the_edge_is_told_of_changes_only_and_later_when_it_was_not_there(tmp_path: Path):
    store, edge = MemoryStore(), Edge()
    await store.users.add(ANNA)
    phones = Phones(store, tmp_path, cast(EdgeControl, edge))
    await phones.refresh()
    await phones.refresh()
    assert edge.reads == 1
    edge.there = False
    await store.settings.put(account("1001", ANNA))
    await phones.refresh()
    assert f"1001:0:0:{HASH}:0\n" in (tmp_path / "tables" / "accounts").read_text()
    edge.there = True
    await phones.refresh()
    assert edge.reads == 2
    await asyncio.sleep(0)
