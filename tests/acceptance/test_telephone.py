"""The telephone interface by ear: a real telephone dials, presses keys, and what it hears is compared with
the prompts that should be heard. Users sign in at either node."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from store.model import Setting
from tests.acceptance import scene
from tests.acceptance.scene import PIN, Scene
from voicemail.policy.book import OPTIONS
from voicemail.policy.model import MenuStyle, UserOptions
from voicemail.prompts import PromptBook
from voicemail.tour.local import LocalNode
from voicemail.tour.tour import SPEECH, Listening, Person, prompt

pytestmark = pytest.mark.asyncio(loop_scope="session")

GERMAN = PromptBook("de")
QUESTIONS = ("enter_id", "calls_go_to")
"""Of the interview: prompts that its callers hear nowhere else."""


@asynccontextmanager
async def signed_in(two: Scene, node: LocalNode, person: Person) -> AsyncIterator[Listening]:
    """From the user's own number, and with his PIN; hung up in the end."""
    heard = await two.tour.dial(node, two.tour.phone, f"sip:{person.extension}@127.0.0.1")
    await heard.hear("enter_pin")
    await heard.call.press(PIN + "#")
    try:
        yield heard
    finally:
        await heard.call.hang_up()


async def expert(two: Scene, extension: str) -> Person:
    """A mailbox whose owner hears brief menus: the full ones last 20 s each."""
    person = await two.person(extension)
    brief = UserOptions(enrolled=True, menu_style=MenuStyle.BRIEF).model_dump_json()
    await two.tour.stores[0].settings.put(Setting(UserOptions.KIND, OPTIONS, brief, person.id))
    return person


async def keys(heard: Listening, pressed: str, *expected: str) -> None:
    """Press keys, then hear the prompts, one after the other."""
    await heard.call.press(pressed)
    begun = [await heard.hear(name) for name in expected]
    assert begun == sorted(begun), dict(zip(expected, begun, strict=True))


async def sends(two: Scene) -> None:
    ann, ben = await expert(two, "3101"), await expert(two, "3102")
    async with signed_in(two, two.first, ann) as heard:
        await keys(heard, "", "no_messages")
        await keys(heard, "2", "address_number_brief")
        await keys(heard, ben.extension + "#", "address_added")
        await keys(heard, "#", "tone")
        await heard.call.say(prompt(SPEECH))
        await keys(heard, "#", "send_brief")
        await keys(heard, "1", "options_brief")
        await keys(heard, "2", "receipt_wanted")
        await keys(heard, "#", "message_sent")
    [sent] = (await two.messages(ben))[0]
    assert (sent.envelope.sender, sent.envelope.receipt) == (ann.id, True)
    async with signed_in(two, two.second, ben) as heard:
        await keys(heard, "", "you_have", "n_1", "new_message")
        await keys(heard, "1", "message", "from_extension", "received")
        await heard.hear("what was recorded", prompt(SPEECH))
        await keys(heard, "2", "message_saved")

    async def told() -> bool:
        return [len(listing) for listing in await two.messages(ann)] == [1, 1]

    await scene.seen("the receipt on both nodes", told, 5)


async def deletes_and_restores(two: Scene) -> None:
    person = await expert(two, "3103")
    forwarded = await two.tour.forwarded(two.first, person.extension)
    await forwarded.call.press("#")
    await forwarded.hear("tone")
    await forwarded.call.say(prompt(SPEECH))
    await forwarded.call.hang_up()
    async with signed_in(two, two.second, person) as heard:
        await keys(heard, "", "new_message")
        await keys(heard, "1", "received")
        await keys(heard, "8", "paused")
        await keys(heard, "8", "end_of_message")
        await keys(heard, "3", "message_deleted", "end_of_messages")
        await heard.call.press("32")
        await heard.hear("the deleted message", prompt(SPEECH))
        await keys(heard, "2", "message_restored")
    assert [str(each.folder) for each in (await two.messages(person))[0]] == ["new"]


async def changes_greeting_and_language(two: Scene) -> None:
    person = await expert(two, "3104")
    async with signed_in(two, two.first, person) as heard:
        await keys(heard, "4", "setup_brief")
        await keys(heard, "1", "greetings_brief")
        await keys(heard, "2", "alternate_greeting", "is_off")
        await keys(heard, "2", "record_greeting_at_tone", "tone")
        await heard.call.say(prompt(SPEECH))
        await heard.call.press("#")
        await heard.hear("the new greeting", prompt(SPEECH))
        await keys(heard, "#", "greeting_kept")
        await heard.call.press("**242")
        await heard.hear("German", GERMAN.find("language_chosen"))
    caller = await two.tour.forwarded(two.second, person.extension)
    await caller.hear("the greeting", prompt(SPEECH))
    await caller.hear("tone")
    await caller.call.say(prompt(SPEECH))
    await caller.call.press("#")
    await caller.hear("what can be done, in German", GERMAN.find("review_send"))
    await caller.call.hang_up()
    async with signed_in(two, two.second, person) as heard:
        await heard.hear("one new message, in German", GERMAN.find("one_feminine"))
        await heard.hear("one new message, in German", GERMAN.find("new_message"))


async def asks_for_whoever_accepts(two: Scene) -> None:
    """An interview at one node, for two users: one accepts it at the other, and the other has it no more."""
    ann, ben = await expert(two, "3105"), await expert(two, "3106")
    first = two.first.command
    await first("list", "set", "desk", f"members={ann.extension},{ben.extension}")
    asked = ["extension=3190", "questions=20,20", "messages_to=list:desk", "dispatch=yes"]
    await first("interview", "set", "claims", *asked)
    for number, question in enumerate(QUESTIONS, 1):
        await first("interview", "record", "claims", f"{number}", f"{prompt(question)}")
    caller = await two.tour.forwarded(two.first, "3190")
    for question in QUESTIONS:
        await caller.hear(question, within=20)
        await caller.hear("tone")
        await caller.call.say(prompt(SPEECH))
        await caller.call.press("#")
    await caller.call.ended()

    async def had(person: Person) -> list[int]:
        return [len(listing) for listing in await two.messages(person)]

    async def both_have() -> bool:
        return [await had(ann), await had(ben)] == [[1, 1], [1, 1]]

    async def only_ann() -> bool:
        return [await had(ann), await had(ben)] == [[1, 1], [0, 0]]

    await scene.seen("the answers, with both", both_have, 5)
    async with signed_in(two, two.second, ann) as heard:
        await keys(heard, "", "new_message")
        await keys(heard, "1", "dispatch_message")
        await heard.hear("the first answer", prompt(SPEECH))
        await keys(heard, "2", "dispatch_accepted")
    await scene.seen("the answers, with her alone", only_ann, 5)


async def has_keys_of_his_own(two: Scene) -> None:
    """Given at one node, heard and pressed at the other."""
    person = await two.person("3107")
    await two.first.command("key-map", "set", "own", "main.new=5", "main.find=12")
    await two.first.command("user", "options", person.extension, "key_map=own")
    async with signed_in(two, two.second, person) as heard:
        await keys(heard, "", "to_hear_new_press", "n_5", "to_send_press")
        await keys(heard, "5", "no_new_messages")
        await keys(heard, "12", "enter_callers_number")


async def restores_and_has_other_keys(two: Scene) -> None:
    """One after the other: the telephone holds four calls, and there are three other stories."""
    await deletes_and_restores(two)
    await has_keys_of_his_own(two)


async def test_what_users_hear_is_what_they_should(two: Scene) -> None:
    """One sends a message that is heard at the other node, one deletes and restores, one sets up a greeting
    and German, which a caller hears, one accepts what a caller has answered, one has other keys. At once:
    they mostly listen."""
    stories = (sends, restores_and_has_other_keys, changes_greeting_and_language)
    async with asyncio.TaskGroup() as people:
        for story in (*stories, asks_for_whoever_accepts):
            people.create_task(story(two))
