"""Numbers called on, greetings of handlers, broadcasts: where keys and rules lead besides mailboxes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from sip.call import Transferred
from sip.invite import Invite
from store.model import MessageKind, setting_id
from tests.fakes.call import Barges, ScriptedCall, Step, at_every_moment
from tests.fakes.desk import ANNA, PILOT, PIN, House, house
from voicemail.policy.base import Policy
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.model import (
    Action,
    CallHandler,
    ClassOfService,
    Go,
    GreetingSwitch,
    Restriction,
    RestrictionTable,
    RoutingRule,
    Table,
    UserOptions,
)

STRANGER = Invite("c", PILOT, "+4930555")
OPEN = RestrictionTable(rows=(Restriction(pattern="*", allow=True),))
SALES = setting_id("handler", "sales")


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def put(home: House, name: str, policy: Policy, owner: UUID | None = None) -> None:
    await home.desk().policies.put(name, policy, owner)


async def at(home: House, go: Go) -> None:
    """All direct calls go there."""
    await put(home, "first", RoutingRule(table=Table.DIRECT, order=1, action=Action(go=go)))


async def talk(home: House, *script: Step, ends: Transferred = Transferred.DONE) -> ScriptedCall:
    call = home.call(*script, invite=STRANGER)
    call.transferred = ends
    await home.pilot().handle(call)
    return call


# ---- calling a number on


async def test_a_callers_system_transfer_refuses_everything_until_it_is_allowed(home: House) -> None:
    await at(home, Go.SYSTEM_TRANSFER)
    call = await talk(home, "4711", "0900123", "*")
    assert call.transfers == [] and call.heard.count("cannot_put_through") == 2
    await put(home, "default_system_transfer", OPEN)
    assert (await talk(home, "4711")).transfers == [("transfer", "4711")]


async def test_three_numbers_that_do_not_answer_end_it(home: House) -> None:
    await at(home, Go.SYSTEM_TRANSFER)
    await put(home, "default_system_transfer", OPEN)
    call = await talk(home, "1", "2", "3", ends=Transferred.NO_ANSWER)
    assert len(call.transfers) == 3 and call.heard[-1] == "goodbye" and call.ended


@pytest.mark.parametrize("pressed", ["", "*"])
async def test_silence_and_star_at_the_number_end_it(home: House, pressed: str) -> None:
    await at(home, Go.SYSTEM_TRANSFER)
    call = await talk(home, pressed)
    assert call.heard == ["enter_number_to_call", "goodbye"]


async def test_a_users_system_transfer_asks_for_the_pin_and_keeps_to_his_outside_table(home: House) -> None:
    await at(home, Go.USER_SYSTEM_TRANSFER)
    await put(home, "default_system_transfer", OPEN)
    assert (await talk(home, "1001", PIN, "4711", "*")).transfers == []
    await put(home, "default_dial_out", OPEN)
    assert (await talk(home, "1001", "111222", "*")).transfers == []
    assert (await talk(home, "1001", PIN, "4711")).transfers == [("transfer", "4711")]


async def test_who_has_still_to_set_up_his_mailbox_is_not_served(home: House) -> None:
    await at(home, Go.USER_SYSTEM_TRANSFER)
    await put(home, "default_dial_out", OPEN)
    await put(home, "options", UserOptions(must_change_pin=True, enrolled=True), ANNA.id)
    call = await talk(home, "1001", PIN, "*", "4711")
    assert call.transfers == [] and "enrol_again_next_time" in call.heard


# ---- greetings of handlers


async def sales(home: House, *owners: str) -> None:
    await put(home, "sales", CallHandler(extension="5100", owners=owners))
    await at(home, Go.GREETINGS_ADMINISTRATION)


async def test_an_owner_records_a_greeting_of_his_handler(home: House) -> None:
    await sales(home, "1001")
    call = await talk(home, "1001", PIN, "5100", "1", "2", 4.0, "#", "*", "*", "*")
    assert "handler_greetings" in call.heard and "greeting_kept" in call.heard
    assert await home.store.users.greeting(SALES, "standard")
    assert await home.store.users.greeting(ANNA.id, "standard") is None


async def test_an_owner_records_what_callers_hear_after_a_wrong_key(home: House) -> None:
    await sales(home, "1001")
    await talk(home, "1001", PIN, "5100", "7", "2", 4.0, "#", "*", "*", "*")
    assert await home.store.users.greeting(ANNA.id, "error") is None
    await home.store.settings.remove(RoutingRule.KIND, "first")
    call = home.call(Barges("#"), invite=replace(STRANGER, dialled="5100"))
    await home.pilot().handle(call)
    assert (call.heard[0], call.lengths) == ("opening_welcome", {1: 4.0})


async def test_what_the_greeting_of_a_supplied_handler_leads_to_stays(home: House) -> None:
    given = BUILT_IN[CallHandler]["opening-greeting"].model_copy(
        update={"extension": "5200", "owners": ("1001",)}
    )
    await put(home, "opening-greeting", given)
    await at(home, Go.GREETINGS_ADMINISTRATION)
    await talk(home, "1001", PIN, "5200", "1", "2", 4.0, "#", "*", "*", "*")
    kept = await home.desk().policies.of(GreetingSwitch, setting_id("handler", "opening-greeting"))
    assert (kept["standard"].after.target, kept["standard"].reprompts) == ("operator", 1)


@pytest.mark.parametrize("owners", [(), ("1002",)])
async def test_nobody_else_changes_them(home: House, owners: tuple[str, ...]) -> None:
    await sales(home, *owners)
    call = await talk(home, "1001", PIN, "5100", "5999", "*")
    assert call.heard.count("no_such_handler") == 2 and "handler_greetings" not in call.heard


# ---- broadcasts


@pytest.mark.parametrize("may", [False, True])
async def test_who_may_records_a_broadcast(home: House, may: bool) -> None:
    await at(home, Go.BROADCAST_ADMINISTRATION)
    await put(home, "default", ClassOfService(may_broadcast=may))
    call = await talk(home, "1001", PIN, 4.0, "#")
    kinds = [message.envelope.kind for message, _ in home.store.state.messages.values()]
    assert kinds == [MessageKind.BROADCAST] * may and ("not_allowed" in call.heard) is not may


@pytest.mark.parametrize(
    ("go", "script"),
    [
        (Go.USER_SYSTEM_TRANSFER, ("1001", PIN, "4711", "*")),
        (Go.GREETINGS_ADMINISTRATION, ("1001", PIN, "5100", "1", "1", "*", "*", "5999", "*")),
        (Go.BROADCAST_ADMINISTRATION, ("1001", PIN)),
    ],
)
async def test_hanging_up_anywhere_ends_it_and_changes_nothing(
    home: House, go: Go, script: tuple[Step, ...]
) -> None:
    await sales(home, "1001")
    await at(home, go)

    async def run(call: ScriptedCall) -> None:
        await home.pilot().handle(call)
        assert call.transfers == [] and home.left_in_spool() == 0
        assert await home.store.users.greeting(SALES, "standard") is None

    def made(leaves_at: int) -> ScriptedCall:
        return replace(home.call(*script, invite=STRANGER), leaves_at=leaves_at)

    assert await at_every_moment(made, run) > 4
