"""A user adds numbers from which he calls: they are his, until he takes them away."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from sip.call import HungUp
from sip.invite import Invite, Reason, Redirection
from store.model import Setting
from tests.fakes.call import ScriptedCall, Step
from tests.fakes.desk import ANNA, BEN, PILOT, House, house
from voicemail.conversation.setup.personal import personal
from voicemail.policy.house import ALTERNATE
from voicemail.policy.model import CallHandler, ClassOfService

MOBILE = "0049171555"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def said(home: House, *script: Step) -> list[object]:
    """Below "personal", then "numbers"."""
    call = home.call("4", *script)
    with suppress(HungUp):
        await personal(home.desk(), call, ANNA)
    return list(call.heard)


async def called(home: House, number: str, *script: Step, to: str = PILOT, by: str = "") -> ScriptedCall:
    forwarded = (Redirection(by, Reason.NO_REPLY),) if by else ()
    call = home.call(*script, invite=Invite("c", to, number, redirections=forwarded))
    await home.pilot().handle(call)
    return call


async def test_calls_from_an_added_number_ask_for_his_pin_only(home: House) -> None:
    assert "enter_pin" not in (await called(home, "+49171555")).heard
    assert "number_added" in await said(home, "1", MOBILE, "*", "*")
    for spelled in ("+49171555", MOBILE):
        heard = (await called(home, spelled)).heard
        assert "enter_pin" in heard and "enter_id" not in heard, spelled


@pytest.mark.parametrize("by", ["+49171555", MOBILE])
async def test_calls_that_it_forwards_are_for_his_mailbox(home: House, by: str) -> None:
    await said(home, "1", MOBILE, "*", "*")
    await called(home, "+4930999", 5.0, by=by)
    assert len(await home.messages()) == 1 and not await home.messages(BEN)


async def test_from_an_added_number_he_cannot_leave_himself_a_message_but_signs_in(home: House) -> None:
    await said(home, "1", MOBILE, "*", "*")
    assert "enter_pin" in (await called(home, "+49171555", by="1001")).heard


async def test_they_are_heard_and_taken_away(home: House) -> None:
    await said(home, "1", MOBILE, "1", "030555777", "*", "*")
    heard = await said(home, "2", "1", "#", "*", "*")
    assert heard.count("own_number_menu") == 2 and "number_removed" in heard
    assert "no_own_numbers" in await said(home, "2", "1", "2", "*", "*")
    assert "enter_pin" not in (await called(home, "+49171555")).heard


async def refused(home: House, number: str, word: str) -> None:
    before = dict(home.store.state.settings)
    assert word in await said(home, "1", number, "*", "*")
    assert home.store.state.settings == before


async def test_what_is_not_to_be_had_is_refused(home: House) -> None:
    shop = CallHandler(extension="700700")
    await home.store.settings.put(Setting(CallHandler.KIND, "shop", shop.model_dump_json()))
    body = json.dumps({"user": str(BEN.id)})
    await home.store.settings.put(Setting(ALTERNATE, "333444", body))
    await refused(home, "1002", "number_not_allowed")
    await refused(home, "700700", "number_taken")
    await refused(home, "333444", "number_taken")
    for nothing in ("", "*"):
        await refused(home, nothing, "nothing_changed")
    await said(home, "1", "030555777", "*", "*")
    await refused(home, "030555777", "number_taken")


async def test_there_are_as_many_as_the_class_allows(home: House) -> None:
    await home.desk().policies.put("default", ClassOfService(own_extensions=2))
    await said(home, "1", "030555771", "1", "030555772", "*", "*")
    assert "too_many_numbers" in await said(home, "1", "*", "*")
    await home.desk().policies.put("default", ClassOfService(own_extensions=0))
    assert "not_allowed" in await said(home, "*")


async def test_ten_at_most_by_default(home: House) -> None:
    for number in range(10):
        assert "number_added" in await said(home, "1", f"03055577{number}", "*", "*")
    assert "too_many_numbers" in await said(home, "1", "*", "*")


async def test_one_that_an_administrator_gave_to_somebody_else_meanwhile_is_no_longer_his(
    home: House,
) -> None:
    await said(home, "1", "030555777", "*", "*")
    body = json.dumps({"user": str(BEN.id)})
    await home.store.settings.put(Setting(ALTERNATE, "030555777", body))
    assert "no_own_numbers" in await said(home, "2", "*", "*")
    assert (await home.store.users.by_extension("030555777")) == BEN
