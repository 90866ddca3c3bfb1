"""The keys of the user's menus are those that the documentation tells."""

import re
from pathlib import Path
from typing import Any

import pytest

from voicemail.conversation.address import MORE
from voicemail.conversation.compose import OPTIONS, SEND
from voicemail.conversation.dispatch import AFTER_DISPATCH, DURING_DISPATCH
from voicemail.conversation.hear_messages import AFTER, AFTER_DELETED, DURING
from voicemail.conversation.main_menu import MAIN
from voicemail.conversation.menu import Mapped, Menu
from voicemail.conversation.screening import ASKED
from voicemail.conversation.setup import SETUP
from voicemail.conversation.setup.greetings import OTHER as GREETING
from voicemail.conversation.setup.greetings import STANDARD as ALWAYS_ON_GREETING
from voicemail.conversation.setup.greetings import WHICH as GREETINGS
from voicemail.conversation.setup.messages import MESSAGES
from voicemail.conversation.setup.personal import PERSONAL
from voicemail.conversation.setup.transfer import OTHER, SCREENING, STANDARD, WHICH
from voicemail.prompts import SHIPPED, catalogue
from voicemail.words import en

PAGE = Path(__file__).parents[4] / "docs/users.md"
ROWS = re.findall(r"^\|(\w+)\|([0-9*#]+)\|", PAGE.read_text(), re.MULTILINE)
MAPPED: dict[str, Mapped[Any]] = {
    "main": MAIN, "during": DURING, "after": AFTER, "deleted": AFTER_DELETED, "address": MORE,
    "send": SEND, "options": OPTIONS, "settings": SETUP, "messages": MESSAGES, "personal": PERSONAL,
    "dispatching": DURING_DISPATCH, "dispatch": AFTER_DISPATCH,
}  # fmt: skip
MENUS: dict[str, Menu[Any]] = {
    **{name: mapped.menu(mapped.keys, en) for name, mapped in MAPPED.items()},
    "transfer": WHICH, "rule": OTHER, "screening": SCREENING, "call": ASKED,
    "greetings": GREETINGS, "greeting": GREETING,
}  # fmt: skip
SPEECH = catalogue(SHIPPED / "en")["speech"]
UNSAID = {
    "main": {"3"},
    "during": {"*"},
    "after": {"*"},
    "deleted": {"*"},
    "dispatching": {"*"},
    "dispatch": {"*"},
    "send": {"91"},
}
"""Keys whose help is that of a longer one, or that go back everywhere."""


@pytest.mark.parametrize("name", sorted({menu for menu, _ in ROWS} & MENUS.keys()))
def test_every_key_is_documented_and_every_documented_key_exists(name: str) -> None:
    assert sorted(key for menu, key in ROWS if menu == name) == sorted(MENUS[name].keys)


@pytest.mark.parametrize("name", MENUS)
def test_the_help_of_a_menu_says_all_of_its_keys(name: str) -> None:
    menu = MENUS[name]
    said = " ".join(SPEECH[each] for each in menu.help if isinstance(each, str))
    words = said.replace("pound", "#").replace("star", "*")
    for key in set(menu.keys) - UNSAID.get(name, set()):
        assert re.search(rf"(^|\D){re.escape(' '.join(key))}\.", words), f"{key} is not said"


def test_the_standard_greeting_has_the_keys_of_the_others() -> None:
    assert {**GREETING.keys, **ALWAYS_ON_GREETING.keys} == GREETING.keys
    assert set(re.findall(r"press (\d)", SPEECH["standard_greeting_menu"])) == {*ALWAYS_ON_GREETING.keys} - {
        "*"
    }


def test_the_standard_rule_has_the_keys_of_the_others() -> None:
    assert {**OTHER.keys, **STANDARD.keys} == OTHER.keys
    assert "press 6" not in SPEECH["transfer_menu"] and "press 5" in SPEECH["transfer_menu"]
