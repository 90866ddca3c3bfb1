import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from sip.call import HungUp
from store.errors import Unavailable
from store.model import Counts, Envelope, Folder, Mark, Remote, Setting, User, Work
from tests.fakes.call import FILE, START, Barges, ScriptedCall, Step, at_every_moment
from tests.fakes.desk import ANNA, House, house
from voicemail.conversation.hear_messages import Do, hear_messages, mark_for, place
from voicemail.conversation.main_menu import counted, main_menu
from voicemail.policy.locations import Location
from voicemail.receipts import grows_old
from voicemail.words import en

AFTER = "after_message_menu"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def hear(home: House, *script: Step, folder: Folder = Folder.NEW, leaves_at: int = 0) -> ScriptedCall:
    call = home.call(*script, leaves_at=leaves_at)
    with suppress(HungUp):
        await hear_messages(home.desk(), call, ANNA, folder)
    return call


async def folders(home: House) -> list[Folder]:
    return [each.folder for each in await home.messages()]


def names(call: ScriptedCall) -> list[str]:
    return ["AUDIO" if isinstance(sound, Path) else sound for sound in call.heard]


async def test_a_message_is_announced_played_and_asked_about(home: House) -> None:
    await home.leave(caller="1002", urgent=True)
    call = await hear(home, "2")
    assert names(call) == [
        *("message", "urgent", "from_extension", "n_1", "n_0", "n_0", "n_2"),
        *("received", "today", "at", "n_3", "oh", "n_5", "pm"),
        *("AUDIO", "end_of_message", AFTER, "message_saved", "end_of_messages"),
    ]
    assert await folders(home) == [Folder.SAVED]


async def test_a_stranger_is_an_outside_caller(home: House) -> None:
    await home.leave(caller="")
    assert "from_outside_caller" in (await hear(home, "#")).heard


@pytest.mark.parametrize(
    ("script", "folder", "word"),
    [
        (("2",), Folder.SAVED, "message_saved"),
        (("3",), Folder.DELETED, "message_deleted"),
        (("6",), Folder.NEW, "message_kept_new"),
        (("#",), Folder.NEW, ""),
        (("*",), Folder.SAVED, ""),
        (("", "", ""), Folder.SAVED, ""),
        ((Barges("2"),), Folder.SAVED, "message_saved"),
        ((Barges("3", FILE),), Folder.DELETED, "message_deleted"),
        ((Barges("#", "received"),), Folder.NEW, ""),
        ((Barges("*"),), Folder.NEW, ""),
        ((Barges("9", FILE, 2.0), "#"), Folder.NEW, ""),
        ((Barges("9", FILE, 2.0), "*"), Folder.NEW, ""),
        ((), Folder.SAVED, ""),
    ],
)
async def test_what_becomes_of_a_new_message(
    home: House, script: tuple[Step, ...], folder: Folder, word: str
) -> None:
    await home.leave()
    call = await hear(home, *script)
    assert await folders(home) == [folder]
    assert not word or word in call.heard
    assert not call.script


async def test_hanging_up_keeps_a_message_new_until_its_end_was_heard(home: House) -> None:
    await home.leave()

    async def run(call: ScriptedCall) -> None:
        with suppress(HungUp):
            await hear_messages(home.desk(), call, ANNA, Folder.NEW)
        heard = "end_of_message" in call.heard or (call.gone and names(call)[-1:] == ["AUDIO"])
        assert (await folders(home)) == [Folder.SAVED if heard else Folder.NEW], call.heard
        for message in await home.messages():
            await home.store.messages.mark(message.id, Mark.UNREAD)

    assert await at_every_moment(lambda at: home.call("1", "9", "2", leaves_at=at), run) > 20


async def test_one_plays_it_again_from_its_start(home: House) -> None:
    await home.leave()
    call = await hear(home, Barges("1", FILE), "1", "2")
    assert list(call.lengths.values()) == [4.0, 4.0, 4.0]


async def test_seven_goes_back_and_eight_waits(home: House) -> None:
    await home.leave(audio=None)
    call = await hear(
        home, Barges("8", FILE, 3.5), "8", Barges("7", FILE, 0.25), Barges("8", FILE, 1.0), "", "2"
    )
    assert list(call.lengths.values()) == pytest.approx([4.0, 0.5, 4.0, 3.0])
    assert call.heard.count("paused") == 2
    assert await folders(home) == [Folder.SAVED]


async def test_a_key_pressed_while_paused_acts(home: House) -> None:
    await home.leave()
    call = await hear(home, Barges("8", FILE, 2.0), "3")
    assert await folders(home) == [Folder.DELETED]
    assert call.heard.count("paused") == 1


async def test_zero_explains_the_keys_and_goes_on_where_it_was(home: House) -> None:
    await home.leave()
    call = await hear(home, Barges("0", FILE, 3.0), "2")
    assert names(call)[-7:] == [
        *(
            "AUDIO",
            "during_message_menu",
            "AUDIO",
            "end_of_message",
            AFTER,
            "message_saved",
            "end_of_messages",
        )
    ]


async def test_nine_after_a_message_tells_all_about_it(home: House) -> None:
    await home.leave(caller="+49305", recorded=START - timedelta(days=1), seconds=64.2)
    call = await hear(home, "9", "9", "#")
    told = names(call)
    at = told.index(AFTER) + 1
    assert told[at : at + 15] == [
        *("from", "plus", "n_4", "n_9", "n_3", "n_0", "n_5", "received", "yesterday"),
        *("at", "n_3", "oh", "n_5", "pm", "length"),
    ]


async def test_a_cut_off_message_says_so(home: House) -> None:
    await home.leave(cut_off=True)
    assert "message_cut_off" in (await hear(home, "#")).heard


@pytest.mark.parametrize("audio", [b"", b"RIFF", b"x" * 5000, b"RIFF\x24\0\0\0WAVEfmt "])
async def test_damaged_audio_is_told_and_the_next_message_played(home: House, audio: bytes) -> None:
    await home.leave(audio=audio)
    await home.leave()
    call = await hear(home, "", "2")
    assert call.heard.count("message_damaged") == 1
    assert sorted(await folders(home)) == [Folder.NEW, Folder.SAVED]


async def test_a_damaged_message_can_be_deleted(home: House) -> None:
    await home.leave(audio=b"")
    await hear(home, "3")
    assert await folders(home) == [Folder.DELETED]


EVA = Remote("2722@vm2.example", message_id="abc@vm2.example", receipt_to="2722@vm2.example")


@pytest.mark.parametrize(
    ("audio", "aged", "key", "told"),
    [
        (None, False, "2", ["displayed"]),
        (b"", False, "2", ["processed/error"]),
        (None, True, "*", ["displayed"]),
        (b"", True, "3", ["processed/error"]),
    ],
)
async def test_a_sender_elsewhere_is_told_what_became_of_his_message(
    home: House, audio: bytes | None, aged: bool, key: str, told: list[str]
) -> None:
    far = Setting(Location.KIND, "far", Location(domain="vm2.example").model_dump_json())
    await home.store.settings.put(far)
    new = await home.leave(envelope=Envelope(remote=EVA), **({} if audio is None else {"audio": audio}))
    message = await home.store.messages.get(new.id)
    if aged and message:
        await grows_old(home.store, message)
        await home.store.messages.mark(new.id, Mark.READ)
    await hear(home, key, folder=Folder.SAVED if aged else Folder.NEW)
    rows = [each for each in home.store.state.outbox.values() if each.kind is Work.REPORT]
    assert [json.loads(each.payload)["disposition"] for each in rows] == told


async def test_urgent_comes_first_then_the_oldest(home: House) -> None:
    for number, urgent in ((1, False), (2, True), (3, False)):
        await home.leave(caller=f"{number}", urgent=urgent, recorded=START + timedelta(minutes=number))
    call = await hear(home, "9", "#", "9", "#", "9", "#")
    told = [call.heard[i + 1] for i, sound in enumerate(call.heard) if sound == "from"]
    assert told == ["n_2", "n_1", "n_3"]


def test_messages_are_counted_aloud() -> None:
    assert [place(n, 3) for n in range(3)] == ["first_message", "next_message", "last_message"]
    assert place(0, 1) == "message"
    assert [place(n, 2) for n in range(2)] == ["first_message", "last_message"]


@pytest.mark.parametrize("folder", [Folder.NEW, Folder.SAVED])
async def test_an_empty_folder_is_told(home: House, folder: Folder) -> None:
    assert (await hear(home, folder=folder)).heard == [f"no_{folder}_messages"]


async def test_saved_messages_stay_saved_when_heard_and_can_be_new_again(home: House) -> None:
    for script, folder in ((("#",), Folder.SAVED), (("*",), Folder.SAVED), (("6",), Folder.NEW)):
        new = await home.leave()
        await home.store.messages.mark(new.id, Mark.READ)
        await hear(home, *script, folder=Folder.SAVED)
        kept = await home.store.messages.get(new.id)
        assert kept and kept.folder is folder
        await home.store.messages.mark(new.id, Mark.DELETE)


async def test_no_file_is_left_when_the_call_is_over(home: House) -> None:
    await home.leave()
    desk = home.desk()
    call = home.call(Barges("8", FILE, 2.0), "8", "1", "2")
    await hear_messages(desk, call, ANNA, Folder.NEW)
    assert not list((home.folder / "sounds").iterdir())


async def test_a_store_that_goes_away_is_not_confirmed_to(home: House) -> None:
    await home.leave()
    call = home.call("2")
    call.on_sound = lambda sound: setattr(home.store.state, "away", sound == AFTER)
    with pytest.raises(Unavailable):
        await hear_messages(home.desk(), call, ANNA, Folder.NEW)
    assert "message_saved" not in call.heard


async def test_a_store_that_is_away_at_the_hang_up_leaves_the_message_new(home: House) -> None:
    await home.leave()
    call = home.call()
    call.on_sound = lambda sound: setattr(home.store.state, "away", sound == AFTER)
    with pytest.raises(HungUp):
        await hear_messages(home.desk(), call, ANNA, Folder.NEW)
    home.store.state.away = False
    assert await folders(home) == [Folder.NEW]


async def test_marking_new_what_is_new_and_saving_what_is_saved_is_harmless(home: House) -> None:
    await home.leave()
    (message,) = await home.messages()
    assert mark_for(Do.SKIP, message, heard=True) is None
    assert mark_for(Do.BACK, message, heard=False) is None
    assert mark_for(Do.DELETE, message, heard=False) is Mark.DELETE


# ---- the main menu


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (Counts(), "no_messages"),
        (Counts(new=1), "you_have n_1 new_message"),
        (Counts(new=1, old=2), "you_have n_1 new_message and n_2 saved_messages"),
        (Counts(old=1), "you_have n_1 saved_message"),
        (Counts(new=3, new_urgent=1), "you_have n_1 urgent_new_message and n_2 new_messages"),
        (Counts(new=2, new_urgent=2), "you_have n_2 urgent_new_messages"),
        (
            Counts(new=3, old=101, new_urgent=1),
            "you_have n_1 urgent_new_message and n_2 new_messages and n_100 n_1 saved_messages",
        ),
    ],
)
def test_counts_are_said_in_the_listeners_words(counts: Counts, said: str) -> None:
    assert " ".join(counted(en, counts)) == said


async def in_menu(home: House, *script: Step, user: User = ANNA) -> ScriptedCall:
    call = home.call(*script)
    with suppress(HungUp):
        await main_menu(home.desk(), call, user)
    return call


async def test_the_main_menu_plays_new_and_saved_messages(home: House) -> None:
    await home.leave()
    call = await in_menu(home, "1", "2", "3", "1", "#", "*")
    told = [each for each in names(call) if each not in ("received", "today", "at", "n_3", "oh", "n_5", "pm")]
    assert told == [
        *("you_have", "n_1", "new_message", "main_menu"),
        *("message", "from_outside_caller", "AUDIO", "end_of_message", AFTER, "message_saved"),
        *("end_of_messages", "main_menu"),
        *("message", "from_outside_caller", "AUDIO", "end_of_message", AFTER, "end_of_messages"),
        *("main_menu", "goodbye"),
    ]


async def test_silence_at_the_main_menu_ends_the_call(home: House) -> None:
    call = await in_menu(home, "", "", "")
    assert call.heard == ["no_messages", "main_menu", *(["still_there", "main_menu"] * 2), "goodbye"]


async def test_zero_and_wrong_keys_at_the_main_menu(home: House) -> None:
    call = await in_menu(home, "0", "7", "*")
    assert call.heard == ["no_messages", "main_menu", "main_menu", "invalid_key", "main_menu", "goodbye"]


async def test_hanging_up_anywhere_in_the_main_menu_ends_it(home: House) -> None:
    await home.leave()
    run: Callable[[ScriptedCall], Awaitable[None]] = lambda call: _quietly(home, call)  # noqa: E731
    assert await at_every_moment(lambda at: home.call("1", "#", "0", "5", "", "*", leaves_at=at), run) > 15


async def _quietly(home: House, call: ScriptedCall) -> None:
    with suppress(HungUp):
        await main_menu(home.desk(), call, ANNA)
