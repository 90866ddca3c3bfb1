"""Key maps at the command line: what would not do is refused, what may not be meant is noted."""

import random
import re
from pathlib import Path

import pytest

from tests.fakes.cli import CommandLine
from tests.fakes.key_maps import any_map
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.house import House
from voicemail.policy.key_map import KeyMap
from voicemail.policy.model import UserOptions
from voicemail.policy.references import doubts, mistakes
from voicemail.policy.text import changed, shown, written

PAGE = Path(__file__).parents[4] / "docs/key-maps.md"


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        (["main.new=2"], "main.send: 2 is the key of main.new"),
        (["main.new=0"], "main.new: '0' is none: up to three of 0-9, * and #, not beginning with 0"),
        (["after.reply=4444"], "after.reply: '4444' is none"),
        (["after.reply=x"], "after.reply: 'x' is none"),
        (["main.exit=-"], "main.exit: needs a key, so that nobody is caught in this menu"),
        (["address.go_on="], "address.go_on: needs a key"),
    ],
)
def test_a_map_that_would_not_do_is_refused(pairs: list[str], why: str) -> None:
    found = mistakes(House(), "mine", changed(KeyMap, None, pairs))
    assert len(found) == 1 and found[0].startswith(why)


def test_any_map_of_distinct_keys_will_do() -> None:
    for seed in range(50):
        assert mistakes(House(), "mine", any_map(random.Random(seed))) == []
    assert mistakes(House(), "mine", BUILT_IN[KeyMap]["standard"]) == []


def test_what_a_map_shows_can_be_set() -> None:
    one = any_map(random.Random(1))
    assert changed(KeyMap, None, [f"{key}={value}" for key, value in shown(one).items()]) == one


def test_a_key_that_changes_its_meaning_behind_the_header_is_noted() -> None:
    assert doubts(House(), KeyMap()) == []
    noted = doubts(House(), changed(KeyMap, None, ["during.delete=7", "during.rewind=3"]))
    assert noted == ["7 is header.rewind, but during.delete", "3 is header.delete, but during.rewind"]


def test_a_user_has_a_map_that_is_there(voicemail: CommandLine) -> None:
    voicemail.good("user", "add", "4010")
    refused = voicemail.refused("user", "options", "4010", "key_map=comedian")
    assert "there is no key-map named 'comedian'" in refused
    made = voicemail.good("key-map", "set", "comedian", "after.delete=7", "after.rewind=3")
    assert made == "key-map 'comedian': made\n"
    voicemail.good("user", "options", "4010", "key_map=comedian")
    assert "user 4010 (key_map)" in voicemail.refused("key-map", "remove", "comedian")
    assert "standard" in voicemail.good("key-map", "list")


def test_the_page_shows_the_supplied_map() -> None:
    rows = re.findall(r"^\| (\w+) \| (\w+) \| ([0-9*#, ]+) \|$", PAGE.read_text(), re.MULTILINE)
    supplied = KeyMap().parts().items()
    assert rows == [
        (menu, row, written(keys)) for menu, part in supplied for row, keys in part.rows().items()
    ]


def test_the_map_on_the_page_can_be_made(voicemail: CommandLine) -> None:
    voicemail.good("user", "add", "4010")
    for words in re.findall(r"^    voicemail (.*)$", PAGE.read_text(), re.MULTILINE):
        assert "note" not in voicemail.good(*words.split())


def test_options_name_the_standard_map() -> None:
    assert UserOptions().key_map in BUILT_IN[KeyMap]
