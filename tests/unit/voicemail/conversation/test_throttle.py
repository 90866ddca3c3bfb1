"""Whoever tries a PIN at many mailboxes is held back by where he calls from."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sip.invite import Invite
from store.errors import Unavailable
from store.model import User
from store.signing_in import PinPolicy
from tests.fakes.call import ScriptedCall
from tests.fakes.desk import ANNA, BEN, PILOT, PIN, House, house
from voicemail.conversation.aside import Aside
from voicemail.conversation.desk import Desk
from voicemail.conversation.sign_in import sign_in
from voicemail.conversation.throttle import NOWHERE, origin_of

OUTSIDE = Invite("c", PILOT, "+4930555", trunk="pbx", source="udp:192.0.2.7:5060")
POLICY = PinPolicy(per_source=3, per_trunk=6)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


def desk(home: House) -> Desk:
    return replace(home.desk(), policy=POLICY)


async def attempt(
    home: House, extension: str, pin: str, invite: Invite = OUTSIDE, known: User | None = None, **more: bool
) -> tuple[User | None, ScriptedCall]:
    script = (pin,) if known and known.extension == extension else (extension, pin)
    call = home.call(*(("*",) if known and known.extension != extension else ()), *script, "*", "*")
    call.invite = invite
    async with Aside() as aside:
        entry = await sign_in(desk(home), call, aside, known, **more)
    return entry and entry.user, call


async def spray(home: House, many: int, invite: Invite = OUTSIDE, first: int = 7000) -> None:
    for number in range(first, first + many):
        assert (await attempt(home, f"{number}", "246813", invite))[0] is None


async def test_one_pin_at_many_mailboxes_is_held_back_and_sounds_as_a_locked_mailbox(home: House) -> None:
    await spray(home, 3)
    user, call = await attempt(home, "1001", PIN)
    assert user is None and call.heard[-2:] == ["sign_in_locked", "goodbye"]
    unknown = (await attempt(home, "7099", "246813"))[1]
    assert unknown.heard == call.heard, "who is there and who is not sounds alike"


async def test_another_number_on_the_trunk_is_not_held_back_by_it(home: House) -> None:
    await spray(home, 3)
    assert (await attempt(home, "1001", PIN, replace(OUTSIDE, caller="+4930777")))[0] == ANNA


async def test_it_ends_after_a_while(home: House) -> None:
    await spray(home, 3)
    home.clock.pass_(timedelta(minutes=31).total_seconds())
    assert (await attempt(home, "1001", PIN))[0] == ANNA


async def test_right_pins_do_not_make_wrong_ones_good(home: House) -> None:
    for number in range(2):
        await spray(home, 1, first=7000 + number)
        await attempt(home, "1001", PIN)
    await spray(home, 1, first=7002)
    assert (await attempt(home, "1001", PIN))[0] is None


async def test_many_numbers_on_one_trunk_hold_it_back_but_not_users_at_their_own_numbers(home: House) -> None:
    for number in range(6):
        await spray(home, 1, replace(OUTSIDE, caller=f"+49{number}"), 7000 + number)
    fresh = replace(OUTSIDE, caller="+4940")
    assert (await attempt(home, "1001", PIN, fresh))[0] is None
    assert (await attempt(home, "1001", PIN, replace(OUTSIDE, caller="1001"), known=ANNA))[0] == ANNA
    assert (await attempt(home, "1002", PIN, replace(OUTSIDE, caller="1001"), known=ANNA))[0] is None


async def test_a_phone_is_known_by_its_host_whatever_number_it_says(home: House) -> None:
    for number in range(3):
        phone = Invite("c", PILOT, f"{number}", source=f"udp:192.0.2.9:{number + 5000}")
        await spray(home, 1, phone, 7000 + number)
    assert (await attempt(home, "1001", PIN, Invite("c", PILOT, "9", source="tcp:192.0.2.9:1")))[0] is None
    assert (await attempt(home, "1001", PIN, Invite("c", PILOT, "9", source="udp:192.0.2.8:1")))[0] == ANNA


async def test_a_certain_telephone_is_never_held_back_from_its_own_mailbox(home: House) -> None:
    for number in range(3):
        await attempt(home, f"70{number:02}", "246813", known=BEN, certain=True)
    assert (await attempt(home, "1001", PIN, known=BEN, certain=True))[0] is None
    assert (await attempt(home, "1002", PIN, known=BEN, certain=True))[0] == BEN


async def test_own_wrong_pins_at_a_certain_telephone_count_for_nobody_else(home: House) -> None:
    for _ in range(3):
        await attempt(home, "1001", "246813", known=ANNA, certain=True)
    assert (await attempt(home, "1001", PIN))[0] == ANNA


async def test_what_cannot_be_looked_up_is_not_compared(home: House) -> None:
    home.store.state.away = True
    with pytest.raises(Unavailable):
        await attempt(home, "1001", PIN)


def test_where_a_call_comes_from() -> None:
    assert origin_of(OUTSIDE, None, False).source == "trunk pbx +4930555"
    assert origin_of(replace(OUTSIDE, asserted="1002"), None, False).source == "trunk pbx 1002"
    assert origin_of(Invite("c", PILOT, "1", source="udp:[2001:db8::1]:5060"), None, False).source == (
        "host [2001:db8::1]"
    )
    assert origin_of(OUTSIDE, ANNA, True).source == "user 1001"
    assert origin_of(Invite("c", PILOT, ""), None, False).counted(POLICY) == NOWHERE.counted(POLICY) == ()
