"""The way in and what is new about hearing: sequences of keys, speed, parts, places kept, calls back."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from sip import wav
from sip.call import HungUp, Transferred
from store.model import Envelope, Folder, Mark, MessageKind, Part, Setting, User
from tests.fakes.call import FILE, START, Barges, ScriptedCall, Step, at_every_moment
from tests.fakes.desk import ANNA, BEN, PIN, READY, House, house
from voicemail.conversation.hear_messages import hear_messages
from voicemail.conversation.menu import Menu, choose
from voicemail.conversation.user_side import user_side
from voicemail.policy.model import (
    ClassOfService,
    MenuStyle,
    Quota,
    Restriction,
    RestrictionTable,
    UserOptions,
)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def enter(home: House, *script: Step, certain: bool = False, leaves_at: int = 0) -> ScriptedCall:
    call = home.call(*script, leaves_at=leaves_at)
    with suppress(HungUp):
        await user_side(home.desk(), call, ANNA, certain)
    return call


async def hear(home: House, *script: Step, folder: Folder = Folder.NEW) -> ScriptedCall:
    call = home.call(*script)
    with suppress(HungUp):
        await hear_messages(home.desk(), call, ANNA, folder)
    return call


async def options(home: House, **changes: object) -> UserOptions:
    """As they are after `changes`."""
    policies = home.desk().policies
    if changes:
        await policies.set_options(ANNA.id, (await policies.options(ANNA.id)).model_copy(update=changes))
    return await policies.options(ANNA.id)


def files(call: ScriptedCall) -> list[float]:
    return [round(each, 2) for each in call.lengths.values()]


# ------------------------------------------------------------------------------------------ the way in


async def test_a_proven_caller_needs_no_pin_where_his_class_says_so(home: House) -> None:
    assert (await enter(home, PIN, "*", certain=True)).heard[1] == "enter_pin"
    await home.desk().policies.put("default", ClassOfService(skip_pin=True))
    assert (await enter(home, "*", certain=True)).heard == ["no_messages", "main_menu", "goodbye"]
    assert (await enter(home, PIN, "*", certain=False)).heard[1] == "enter_pin"


async def test_options_are_read_once_while_somebody_signs_in_and_again_a_moment_later(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies, read = home.desk().policies, home.store.settings.get
    asked: list[str] = []

    async def get(kind: str, name: str, owner: UUID | None = None) -> Setting | None:
        asked.append(kind)
        return await read(kind, name, owner)

    monkeypatch.setattr(home.store.settings, "get", get)
    for _ in range(5):
        await policies.options(ANNA.id)
    assert len(asked) == 1
    await policies.set_options(ANNA.id, UserOptions(listed=False))
    assert not (await policies.options(ANNA.id)).listed and len(asked) == 1
    home.clock.pass_(0.4)
    await policies.options(ANNA.id)
    await policies.current_options(ANNA.id)
    assert len(asked) == 3


async def test_who_is_not_set_up_gets_no_further(home: House) -> None:
    await options(home, enrolled=False)
    call = await enter(home, PIN, 2.0, "*", "#", "*")
    assert "enrol_welcome" in call.heard and call.heard[-2:] == ["enrol_again_next_time", "goodbye"]
    assert "main_menu" not in call.heard


async def test_a_pin_that_is_too_old_has_to_be_changed(home: House) -> None:
    await options(home, pin_changed=START - timedelta(days=181))
    assert "pin_must_be_changed" in (await enter(home, PIN, "*")).heard
    changed = await enter(home, PIN, "274916", "274916", "*")
    assert {"pin_kept", "main_menu"} <= {*changed.heard}


async def test_it_is_told_when_a_pin_or_the_room_comes_to_its_end(home: House) -> None:
    await options(home, pin_changed=START - timedelta(days=170))
    await home.desk().policies.put("default", ClassOfService(quota=Quota(warn=1, no_send=90_000)))
    await home.leave()
    assert {"mailbox_nearly_full", "pin_expires_in"} <= {*(await enter(home, PIN, "*")).heard}


async def test_a_user_is_spoken_to_in_his_language_and_menu_style(home: House) -> None:
    await home.store.users.change(replace(ANNA, language="de"))
    await options(home, menu_style=MenuStyle.BRIEF)
    call = await enter(home, PIN, "0", "*")
    assert call.language == "de"
    assert call.heard[2:] == ["no_messages", "main_menu_brief", "main_menu", "goodbye"]


# ------------------------------------------------------------------------------------------ keys


MENU = Menu(help=("main_menu",), keys={"4": "reply", "42": "all", "44": "call", "5": "pass on"})


@pytest.mark.parametrize(
    ("pressed", "does"),
    [(("4", ""), "reply"), (("4", "2"), "all"), (("4", "4"), "call"), (("5",), "pass on")],
)
async def test_a_key_that_begins_a_sequence_waits_for_the_next(
    home: House, pressed: tuple[str, ...], does: str
) -> None:
    call = home.call(*pressed)
    assert await choose(call, MENU) == does and not call.script


async def test_a_sequence_that_is_none_is_a_wrong_key(home: House) -> None:
    call = home.call("4", "9", "5")
    assert await choose(call, MENU) == "pass on"
    assert call.heard == ["main_menu", "invalid_key", "main_menu"]


async def test_faster_and_slower_are_remembered(home: House) -> None:
    await home.leave()
    call = await hear(home, Barges("6", FILE, 1.0), Barges("6", FILE, 1.0), "2")
    assert files(call) == pytest.approx([4.0, 2.4, 1.17], abs=0.03)
    assert (await options(home)).speed == 1.5
    await home.leave()
    again = await hear(home, Barges("4", FILE, 1.0), "2")
    assert files(again) == pytest.approx([2.67, 2.0], abs=0.03)
    assert (await options(home)).speed == 1.25


async def test_louder_goes_round(home: House) -> None:
    await home.leave()
    await hear(home, *[Barges("5", FILE, 0.5)] * 3, "2")
    assert (await options(home)).volume == -6


async def test_nine_goes_on_five_seconds(home: House) -> None:
    await home.leave(audio=wav.file_ulaw(b"\x55" * 12 * wav.RATE), seconds=12.0)
    call = await hear(home, Barges("9", FILE, 2.0), Barges("9", FILE, 1.0), "#")
    assert files(call) == [12.0, 5.0]


# ------------------------------------------------------------------------------------------ places


async def test_who_was_cut_off_goes_on_there(home: House) -> None:
    await home.leave(audio=wav.file_ulaw(b"\x55" * 10 * wav.RATE), seconds=10.0)
    await home.leave(recorded=START + timedelta(minutes=1))

    class Cut(ScriptedCall):
        async def play(self, *sounds: object, until: str = "") -> str:
            if any(isinstance(each, Path) for each in sounds):
                self.clock.pass_(6.0)
                raise self._leave()
            return await super().play(*sounds, until=until)  # type: ignore[arg-type]

    cut = Cut([PIN, "1"], clock=home.clock, answered=True)
    with suppress(HungUp):
        await user_side(home.desk(), cut, ANNA, False)
    assert (await options(home)).resume_at == 6.0
    call = await enter(home, PIN, "2", "#", "*")
    assert files(call) == [4.0, 4.0]
    assert call.heard[2:4] == ["going_on", call.heard[3]]
    assert (await options(home)).resume_message is None
    assert "going_on" not in (await enter(home, PIN, "*")).heard


async def test_nothing_goes_on_in_a_message_that_is_gone(home: House) -> None:
    new = await home.leave()
    await options(home, resume_message=new.id, resume_at=2.0)
    await home.store.messages.mark(new.id, Mark.PURGE)
    assert "going_on" not in (await enter(home, PIN, "*")).heard


async def test_hanging_up_anywhere_loses_no_mark_that_was_confirmed(home: House) -> None:
    words = {"message_saved": Folder.SAVED, "message_deleted": Folder.DELETED}

    async def check(call: ScriptedCall) -> None:
        home.store.state.messages.clear()
        await options(home, resume_message=None)
        await home.leave()
        with suppress(HungUp):
            await user_side(home.desk(), call, ANNA, False)
        [message] = await home.messages()
        for word, folder in words.items():
            assert word not in call.heard or message.folder is folder

    script: list[Step] = [PIN, "1", "7", "9", "3", "*"]
    assert await at_every_moment(lambda at: home.call(*script, leaves_at=at), check) > 15


# ------------------------------------------------------------------------------------------ kinds


async def test_a_deleted_message_is_restored_or_gone_for_good(home: House) -> None:
    one, two = await home.leave(), await home.leave()
    for each in (one, two):
        await home.store.messages.mark(each.id, Mark.DELETE)
    call = await hear(home, "2", "3", folder=Folder.DELETED)
    assert {"after_deleted_menu", "message_restored", "message_purged"} <= {*call.heard}
    assert [each.folder for each in await home.messages()] == [Folder.NEW]


async def test_without_keeping_deleted_messages_deleting_is_for_good(home: House) -> None:
    await home.desk().policies.put("default", ClassOfService(keep_deleted=False))
    await home.leave()
    await hear(home, "3")
    assert await home.messages() == []


async def test_a_forwarded_message_is_announced_between_its_parts(home: House) -> None:
    parts = (Part(1.0), Part(3.0, BEN.id, "1002", START))
    await home.leave(envelope=Envelope(sender=BEN.id, parts=parts))
    call = await hear(home, "#")
    assert files(call) == [1.0, 3.0]
    said = [each for each in call.heard if isinstance(each, str)]
    assert said.index("forwarded_message") < said.index("end_of_message")


async def test_a_receipt_is_told_in_words(home: House) -> None:
    await home.leave(audio=b"", envelope=Envelope(MessageKind.READ_RECEIPT, BEN.id))
    call = await hear(home, "2")
    assert "read_receipt" in call.heard and "message_damaged" not in call.heard
    assert [each.folder for each in await home.messages()] == [Folder.SAVED]


async def test_a_sender_for_sure_is_heard_by_his_own_voice(home: House) -> None:
    await home.store.users.set_greeting(BEN.id, wav.file_ulaw(b"\x33" * 8000), "name")
    await home.leave(envelope=Envelope(sender=BEN.id))
    call = await hear(home, "9", "#")
    assert files(call)[0] == 1.0 and "from_extension" not in call.heard


@pytest.mark.parametrize(
    ("caller", "table", "done"),
    [("1002", None, True), ("+4930555", None, False), ("+4930555", "+49*", True)],
)
async def test_the_sender_is_called_where_the_rules_allow_it(
    home: House, caller: str, table: str | None, done: bool
) -> None:
    if table:
        rows = (Restriction(pattern=table, allow=True),)
        await home.desk().policies.put("default_dial_out", RestrictionTable(rows=rows))
    await home.leave(caller=caller)
    call = await hear(home, "4", "4", "#")
    assert bool(call.transfers) == done and call.gone == done
    assert ("cannot_put_through" in call.heard) != done
    assert [each.folder for each in await home.messages()] == [Folder.SAVED if done else Folder.NEW]


async def test_a_line_that_is_busy_brings_the_user_back(home: House) -> None:
    await home.leave(caller="1002")
    call = home.call("4", "4", "3")
    call.transferred = Transferred.BUSY
    await hear_messages(home.desk(), call, ANNA, Folder.NEW)
    assert "line_is_busy" in call.heard
    assert [each.folder for each in await home.messages()] == [Folder.DELETED]


async def test_messages_are_found_by_number_or_colleague(home: House) -> None:
    await home.leave(caller="+4930555")
    await home.leave(caller="", envelope=Envelope(sender=BEN.id))
    found = await enter(home, PIN, "5", "0555", "#", "5", "1002", "#", "5", "999", "*")
    assert found.heard.count("found_message") == 2 and "no_message_from_there" in found.heard


async def test_other_users_options_are_their_own(home: House) -> None:
    other: User = BEN
    assert await home.desk().policies.options(other.id) == READY
