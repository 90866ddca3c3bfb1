"""Greetings at the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from sip import wav
from store.ids import uuid7
from store.memory import MemoryStore
from store.model import User, setting_id
from tests.fakes.cli import CommandLine

ANNA = User(uuid7(), "4001", "Anna")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.state.users[ANNA.id] = ANNA
    return store


def shown(voicemail: CommandLine, owner: str, kind: str) -> dict[str, str]:
    [row] = json.loads(voicemail.good("greeting", "show", owner, kind, "--json"))
    return dict(row)


def listed(voicemail: CommandLine, owner: str) -> dict[str, Any]:
    rows = json.loads(voicemail.good("greeting", "list", owner, "--json"))
    return {row["Greeting"]: row for row in rows}


def test_a_greeting_is_switched_on_until_a_day_and_off_again(voicemail: CommandLine) -> None:
    assert listed(voicemail, "4001")["alternate"]["On"] is False
    voicemail.good("greeting", "set", "4001", "alternate", "enabled=yes", "until=2026-12-24T18:00+01:00")
    row = listed(voicemail, "4001")["alternate"]
    assert (row["On"], row["Until"][:16]) == (True, "2026-12-24 18:00")
    voicemail.good("greeting", "reset", "4001", "alternate")
    voicemail.good("greeting", "reset", "4001", "alternate")
    assert listed(voicemail, "4001")["alternate"]["On"] is False


def test_of_what_is_supplied_only_what_is_said_changes(voicemail: CommandLine) -> None:
    assert shown(voicemail, "handler:opening-greeting", "standard")["after"] == "handler:operator+transfer"
    voicemail.good("greeting", "set", "handler:opening-greeting", "standard", "reprompts=3")
    kept = shown(voicemail, "handler:opening-greeting", "standard")
    assert (kept["after"], kept["reprompts"]) == ("handler:operator+transfer", "3")


def test_recordings_of_greetings_and_names_are_set_and_taken_away(
    voicemail: CommandLine, store: MemoryStore, tmp_path: Path
) -> None:
    sound = tmp_path / "sound.wav"
    sound.write_bytes(wav.file_ulaw(b"\xff" * 800))
    voicemail.good("list", "set", "sales", "members=4001")
    for owner, kind in (
        ("4001", "busy"),
        ("4001", "name"),
        ("handler:goodbye", "standard"),
        ("list:sales", "name"),
    ):
        told = voicemail.good("greeting", "record", owner, kind, str(sound))
        assert told.startswith(f"{owner}: ") and told.endswith(" set\n")
    kept = {(ANNA.id, "busy"), (ANNA.id, "name")}
    kept |= {(setting_id("handler", "goodbye"), "standard"), (setting_id("list", "sales"), "name")}
    assert store.state.greetings.keys() == kept
    assert [listed(voicemail, "4001")[kind]["Recording"] for kind in ("busy", "name", "closed")] == [
        True,
        True,
        False,
    ]
    voicemail.good("greeting", "record", "4001", "busy", "-")
    assert (ANNA.id, "busy") not in store.state.greetings


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("list 4009", "no user has extension 4009"),
        ("list handler:no", "there is no handler named 'no'"),
        ("show 4001 lunch", "'lunch' is no greeting: alternate, busy, internal"),
        ("set 4001 busy after=user:4009", "greeting busy of 4001: after: no user has extension 4009"),
        ("set 4001 busy colour=red", "colour: there is no such key"),
        ("set 4001 busy until=soon", "until: 'soon'"),
        ("set 4001 busy reprompts=99", "reprompts: "),
        ("record 4001 busy /no/file", "/no/file: No such file"),
    ],
)
def test_a_mistake_is_one_sentence(voicemail: CommandLine, words: str, told: str) -> None:
    assert voicemail.refused("greeting", *words.split()).startswith(told)


def test_a_list_has_a_name_and_greets_nobody(voicemail: CommandLine) -> None:
    voicemail.good("list", "set", "sales", "members=4001")
    assert listed(voicemail, "list:sales").keys() == {"name"}
    told = voicemail.refused("greeting", "set", "list:sales", "closed", "enabled=yes")
    assert told == "list:sales has a recorded name, and no greetings"


def test_a_greeting_has_a_recording_for_a_language(
    voicemail: CommandLine, store: MemoryStore, tmp_path: Path
) -> None:
    sound = tmp_path / "sound.wav"
    sound.write_bytes(wav.file_ulaw(b"\xff" * 800))
    which = ("handler:opening-greeting", "standard")
    voicemail.good("greeting", "record", *which, str(sound), "--language", "de")
    kept = shown(voicemail, *which)
    assert (kept["languages"], kept["after"]) == ("de", "handler:operator+transfer")
    assert list(store.state.greetings) == [(setting_id("handler", "opening-greeting"), "standard de")]
    voicemail.good("greeting", "record", *which, "-", "--language", "de")
    assert shown(voicemail, *which)["languages"] == "-"
    for kind, language in (("standard", "xx"), ("name", "de")):
        voicemail.refused("greeting", "record", "4001", kind, str(sound), "--language", language)
