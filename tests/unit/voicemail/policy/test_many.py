"""Houses with very many handlers, interviews and lists: each is found, and no call reads them all."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from sip.invite import Invite
from store.model import Setting
from tests.fakes.desk import ANNA, BEN, PILOT, House, house
from voicemail.policy import book
from voicemail.policy.base import Policy
from voicemail.policy.book import FEW, FIRST, MANY, Policies
from voicemail.policy.devices import Device
from voicemail.policy.kinds import KINDS
from voicemail.policy.locations import Contact
from voicemail.policy.model import (
    CallHandler,
    GreetingSwitch,
    Members,
    PrivateList,
    RoutingRule,
    UserOptions,
)
from voicemail.postroom import planned

BEYOND = FIRST + 5


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    """With more handlers and lists than are read at once."""
    async with house(tmp_path) as opened:
        for number in range(BEYOND):
            handler = CallHandler(extension=str(70_000 + number), schedule="always")
            await put(opened, f"h{number:04}", handler)
            await put(opened, f"l{number:04}", Members(extension=str(80_000 + number), members=("1001",)))
        yield opened


async def put(home: House, name: str, policy: Policy) -> None:
    await home.store.settings.put(Setting(policy.KIND, name, policy.model_dump_json()))


def reads(home: House, patch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is asked of the store's settings from here on."""
    asked: list[str] = []
    for name in ("first", "named", "numbered"):
        real = getattr(home.store.settings, name)

        async def told(*given: object, _real: object = real, _name: str = name) -> object:
            asked.append(_name)
            return await _real(*given)  # type: ignore[operator]

        patch.setattr(home.store.settings, name, told)
    return asked


def names(found: Mapping[str, Policy]) -> list[str]:
    return list(found)


def test_every_kind_of_the_system_is_read_or_asked_for() -> None:
    of_users = {GreetingSwitch, UserOptions, PrivateList, Device}
    assert {*FEW, *MANY, *of_users, Contact} == set(KINDS)
    assert not set(FEW) & set(MANY)


async def test_those_beyond_the_first_are_found_by_name_and_number(home: House) -> None:
    policies = home.desk().policies
    for place in (0, FIRST - 1, FIRST, BEYOND - 1):
        found = await policies.get(CallHandler, f"h{place:04}")
        assert found and found.extension == str(70_000 + place)
        assert names(await policies.numbered(CallHandler, str(70_000 + place))) == [f"h{place:04}"]
        assert names(await policies.numbered(Members, str(80_000 + place))) == [f"l{place:04}"]
    assert await policies.get(CallHandler, "h9999") is None
    assert await policies.numbered(CallHandler, "79999") == {} == await policies.numbered(CallHandler, "")
    assert await policies.get(CallHandler, "goodbye"), "what is supplied is always there"
    with pytest.raises(AssertionError, match="too many"):
        await policies.all(CallHandler)


async def test_the_same_is_not_asked_twice_within_a_moment_and_few_are_never_asked_for(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = home.desk().policies
    await policies.all(RoutingRule)
    asked = reads(home, monkeypatch)
    for _ in range(3):
        await policies.get(CallHandler, f"h{BEYOND - 1:04}")
        await policies.numbered(CallHandler, "79999")
        await policies.get(CallHandler, "h0000")
    assert asked == ["named", "numbered"]
    home.clock.pass_(2.1)
    await policies.get(CallHandler, f"h{BEYOND - 1:04}")
    assert asked[2:] == ["first", "named"]


async def test_a_small_house_asks_for_nothing_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:
        await put(home, "sales", CallHandler(extension="600"))
        policies, asked = home.desk().policies, reads(home, monkeypatch)
        assert names(await policies.numbered(CallHandler, "600")) == ["sales"]
        assert await policies.get(CallHandler, "nobody") is None
        assert await policies.numbered(Members, "601") == {} == await policies.spelled(Members, "7")
        assert asked == ["first"]


async def test_while_the_store_is_away_the_last_answer_holds(home: House) -> None:
    policies = home.desk().policies
    await policies.get(CallHandler, f"h{BEYOND - 1:04}")
    home.clock.pass_(2.1)
    home.store.state.away = True
    assert await policies.get(CallHandler, f"h{BEYOND - 1:04}")
    assert await policies.get(CallHandler, "h0000")
    assert await policies.get(CallHandler, f"h{BEYOND - 2:04}") is None


async def test_answers_are_kept_within_bounds(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MOST_ASKED", 20)
    policies: Policies = home.desk().policies
    for number in range(30):
        await policies.numbered(CallHandler, f"9{number}")
    assert len(policies._asked) == 20


async def test_a_change_holds_within_two_seconds(home: House) -> None:
    policies, last = home.desk().policies, f"h{BEYOND - 1:04}"
    await policies.get(CallHandler, last)
    await put(home, last, CallHandler(extension="77"))
    home.clock.pass_(2.0)
    assert names(await policies.numbered(CallHandler, "77")) == [last]
    changed = await policies.get(CallHandler, last)
    assert changed and changed.extension == "77"


async def test_a_caller_who_dials_the_number_of_one_of_them_reaches_it(home: House) -> None:
    last = CallHandler(extension="76543", schedule="always", messages_to=("1002",))
    await put(home, "zulu", last)
    call = home.call(3.0, "#", invite=Invite("c", "76543", "+4930555"))
    await home.pilot().handle(call)
    assert [len(await home.messages(user)) for user in (ANNA, BEN)] == [0, 1]
    lost = home.call(invite=Invite("c", PILOT, "+4930555"))
    await home.pilot().handle(lost)
    assert "opening_welcome" in lost.heard


async def test_lists_are_found_by_the_keys_of_their_names(home: House) -> None:
    await put(home, "zz", Members(display_name="Zürich", extension="600"))
    await put(home, "aa", Members(display_name="Zug"))
    await put(home, "zebra", Members())
    policies = home.desk().policies
    assert names(await policies.spelled(Members, "98")) == ["aa", "zz"]
    assert names(await policies.spelled(Members, "987")) == ["zz"]
    assert names(await policies.spelled(Members, "5")) == [f"l{n:04}" for n in range(FIRST - 1)]
    assert await policies.spelled(Members, "") == {} == await policies.spelled(Members, "93")


async def test_lists_in_lists_are_read_where_they_are_named(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(home, "outer", Members(members=("list:inner", "1002")))
    await put(home, "inner", Members(members=(f"list:l{BEYOND - 1:04}", "list:outer", "list:gone")))
    asked = reads(home, monkeypatch)
    plan = await planned(home.store, ["list:outer"])
    assert set(plan.mailboxes) == {ANNA.id, BEN.id} and plan.gone == ("list:gone",)
    assert asked == ["named"] * 3
