from enum import Enum, auto

from tests.fakes.call import ScriptedCall
from voicemail.conversation.menu import ROUNDS, WRONG, Menu, choose


class Do(Enum):
    THIS = auto()
    THAT = auto()


MENU = Menu(help=("main_menu",), keys={"1": Do.THIS, "*": Do.THAT})


def call(*keys: str) -> ScriptedCall:
    return ScriptedCall(list(keys), answered=True)


async def test_each_key_of_the_table_gives_its_action() -> None:
    for key, action in MENU.keys.items():
        assert await choose(call(key), MENU) is action


async def test_what_comes_first_is_said_once() -> None:
    caller = call("", "0", "1")
    await choose(caller, MENU, "no_messages")
    assert caller.heard == ["no_messages", "main_menu", "still_there", "main_menu", "main_menu"]


async def test_silence_ends_the_menu() -> None:
    caller = call(*[""] * ROUNDS, "1")
    assert await choose(caller, MENU) is None
    assert caller.script == ["1"]


async def test_a_wrong_key_shows_that_somebody_is_there() -> None:
    assert await choose(call("", "", "7", "", "", "1"), MENU) is Do.THIS


async def test_a_machine_that_presses_wrong_keys_for_ever_is_not_listened_to() -> None:
    assert await choose(call(*"7" * WRONG, "1"), MENU) is None
