"""Keys that are a user's own: whatever a map says is what a menu says and does, and a bad map is refused."""

import random
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sip.call import HungUp, Sound
from store.model import Envelope, Folder, Mark, Part, Setting
from tests.fakes.call import FILE, START, Barges, ScriptedCall, Step
from tests.fakes.desk import ANNA, BEN, PIN, House, house
from tests.fakes.key_maps import any_map
from tests.unit.voicemail.conversation.test_key_map import MAPPED
from voicemail.conversation.menu import Mapped, choose
from voicemail.conversation.user_side import user_side
from voicemail.policy.key_map import AfterKeys, DuringKeys, KeyMap, MainKeys
from voicemail.policy.key_map import Part as Keys
from voicemail.policy.model import MenuStyle
from voicemail.words import LANGUAGES, en

PARTS = {
    "deleted": "after", "dispatch": "after", "dispatching": "during", "settings": "setup",
}  # fmt: skip
"""Of which part the menus are that are not called as theirs is."""
OTHER = KeyMap(
    main=MainKeys(new=("7",), find=("1",)),
    header=DuringKeys(skip=("5",), louder=("#",)),
    during=DuringKeys(delete=("21",), save=("22",), pause=("88",)),
    after=AfterKeys(save=("9",), properties=("2",)),
)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def has(home: House, key_map: KeyMap | None = OTHER, **more: Any) -> None:
    """ANNA's map is this one; None for one that is not there."""
    policies = home.desk().policies
    if key_map:
        await policies.put("other", key_map)
    options = await policies.options(ANNA.id)
    await policies.set_options(ANNA.id, options.model_copy(update={"key_map": "other", **more}))


async def enter(home: House, *script: Step) -> ScriptedCall:
    call = home.call(PIN, *script)
    with suppress(HungUp):
        await user_side(home.desk(), call, ANNA, certain=False)
    return call


def part_of(name: str, key_map: KeyMap) -> Keys:
    return key_map.parts()[PARTS.get(name, name)]


# ------------------------------------------------------------------------------------- every menu


@pytest.mark.parametrize("name", MAPPED)
def test_a_menu_has_the_rows_of_its_part(name: str) -> None:
    mapped, part = MAPPED[name], part_of(name, KeyMap())
    assert type(mapped.keys) is type(part)
    rows = [row for _, row, _ in mapped.rows]
    assert set(rows) <= part.rows().keys() and len(set(rows)) == len(rows)
    if name not in PARTS or name == "settings":
        assert rows == list(part.rows()), "all of them, in their order"


@pytest.mark.parametrize("name", MAPPED)
@pytest.mark.parametrize("language", LANGUAGES)
def test_its_help_says_every_action_with_its_keys(name: str, language: str) -> None:
    mapped: Mapped[Any] = MAPPED[name]
    for seed in range(20):
        part, words = part_of(name, any_map(random.Random(seed))), LANGUAGES[language]
        said: list[Sound] = []
        for _, row, offer in mapped.rows:
            if keys := part.row(row):
                said += [offer, *words.digits(keys[-1])]
        assert list(mapped.menu(part, words).help) == said


@pytest.mark.parametrize("name", MAPPED)
async def test_its_keys_do_what_the_map_says(home: House, name: str) -> None:
    mapped: Mapped[Any] = MAPPED[name]
    for seed in range(20):
        part = part_of(name, any_map(random.Random(seed)))
        for action, row, _ in mapped.rows:
            for keys in part.row(row):
                call = home.call(*keys, "")  # silence, for those that could go on
                assert await choose(call, mapped.menu(part, en)) is action, (part, row)


def test_supplied_keys_have_the_words_that_were_spoken_in_one_piece() -> None:
    for name, mapped in MAPPED.items():
        menu = mapped.menu(part_of(name, KeyMap(main=MainKeys())), en)
        assert (menu.help, menu.brief) == (mapped.help, mapped.brief)
        assert not re.search(r"\d", " ".join(map(str, mapped.brief)))


def test_what_has_no_key_is_not_offered() -> None:
    menu = MAPPED["main"].menu(MainKeys(find=()), en)
    assert "to_find_press" not in menu.help and "to_send_press" in menu.help and "5" not in menu.offered


# ------------------------------------------------------------------------------------- in a call


async def test_a_user_hears_and_presses_his_own_keys(home: House) -> None:
    await home.leave()
    await has(home)
    call = await enter(home, "7", "9", "*")
    assert call.heard[call.heard.index("to_hear_new_press") + 1] == "n_7"
    assert "main_menu" not in call.heard and "message_saved" in call.heard
    offered = call.heard.index("to_save_press", call.heard.index("end_of_message"))
    assert call.heard[offered : offered + 2] == ["to_save_press", "n_9"]


async def test_what_is_prepared_while_the_pin_is_typed_are_his_own_words(home: House) -> None:
    await has(home)
    call = await enter(home, "*")
    first = call.heard[call.heard.index("no_messages") :]
    assert "to_hear_new_press" in call.prepared and list(call.prepared) == first[: len(call.prepared)]


async def test_brief_menus_stay_brief(home: House) -> None:
    await has(home, menu_style=MenuStyle.BRIEF)
    call = await enter(home, "0", "*")
    brief = call.heard.index("main_menu_brief")
    assert call.heard[brief + 1 : brief + 3] == ["to_hear_new_press", "n_7"]


async def test_header_and_message_have_keys_of_their_own(home: House) -> None:
    await home.leave()
    await has(home)
    call = await enter(home, "7", Barges("5", "message"), "*")
    assert FILE not in map(kind, call.heard), "5 skips while the header is said"
    call = await enter(home, "7", Barges("#", FILE), "*")
    assert "end_of_message" not in call.heard, "and # while the message plays"


async def test_the_header_of_a_part_has_the_keys_of_headers(home: House) -> None:
    parts = (Part(2.0, sender=BEN.id, recorded=START), Part(2.0, caller="+4930555", recorded=START))
    await home.leave(envelope=Envelope(sender=BEN.id, parts=parts))
    await has(home)
    call = await enter(home, "7", Barges("5", "forwarded_message"), "*")
    assert "forwarded_message" in call.heard and "end_of_message" not in call.heard


async def test_a_sequence_while_a_message_plays_and_one_that_is_none(home: House) -> None:
    await home.leave()
    await has(home)
    deleted = await enter(home, "7", Barges("2", FILE), "1", "*")
    assert "message_deleted" in deleted.heard
    assert [each.folder for each in await home.messages(ANNA, Folder.DELETED)] == [Folder.DELETED]
    await home.leave()
    goes_on = await enter(home, "7", Barges("2", FILE), "", "9", "*")
    assert "message_saved" in goes_on.heard and goes_on.heard.count("end_of_message") == 1


async def test_a_pause_by_a_sequence_ends_by_it(home: House) -> None:
    await home.leave()
    await has(home)
    call = await enter(home, "7", Barges("8", FILE), "8", "8", "8", "9", "*")
    assert call.heard.count("paused") == 1 and "message_saved" in call.heard


async def test_help_while_a_message_plays_names_the_keys_of_that_moment(home: House) -> None:
    await home.leave()
    await has(home)
    call = await enter(home, "7", Barges("0", "message"), Barges("0", FILE), "9", "*")
    skips = [n for n, sound in enumerate(call.heard) if sound == "to_skip_press"]
    assert [call.heard[n + 1] for n in skips] == ["n_5", "pound"]


async def test_dispatch_messages_and_deleted_ones_have_the_keys_of_save_and_delete(home: House) -> None:
    await home.store.messages.mark((await home.leave()).id, Mark.DELETE)
    await has(home)
    call = await enter(home, "3", "2", "9", "*")
    assert "message_restored" in call.heard
    assert call.heard[call.heard.index("to_restore_press") + 1] == "n_9"


async def test_a_message_that_cannot_be_played_has_the_keys_of_after(home: House) -> None:
    await home.leave(audio=b"no sound")
    await has(home)
    assert "message_saved" in (await enter(home, "7", "9", "*")).heard


@pytest.mark.parametrize("body", ["", "{", '{"main": {"exit": 7}}'])
async def test_a_map_that_is_gone_or_damaged_leaves_the_supplied_keys(home: House, body: str) -> None:
    await has(home, None)
    if body:
        await home.store.settings.put(Setting(KeyMap.KIND, "other", body))
    assert (await enter(home, "*")).heard[-2:] == ["main_menu", "goodbye"]


async def test_who_has_no_other_map_has_the_standard_one_as_it_was_changed(home: House) -> None:
    await home.desk().policies.put("standard", OTHER)
    assert "to_hear_new_press" in (await enter(home, "*")).heard


def kind(sound: Sound) -> str:
    return FILE if isinstance(sound, Path) else sound
