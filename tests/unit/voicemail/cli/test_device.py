"""Notification devices at the command line."""

import json

import pytest

from store.ids import uuid7
from store.memory import MemoryStore
from store.model import User, Work
from tests.fakes.cli import CommandLine
from voicemail.policy.devices import Device
from voicemail.policy.kinds import KINDS
from voicemail.policy.note import Event, Note
from voicemail.policy.text import changed, keys, shown

ANNA = User(uuid7(), "4001", "Anna", "anna@example.com")
HOOK = ("kind=webhook", "address=https://hooks.example.com/vm?x=1", "secret=0123456789abcdef", "enabled=yes")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.state.users[ANNA.id] = ANNA
    return store


def listed(voicemail: CommandLine) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in json.loads(voicemail.good("device", "list", "4001", "--json"))}


def test_a_mail_address_is_there_and_what_is_set_about_it_is_kept(voicemail: CommandLine) -> None:
    assert listed(voicemail)["mail"]["enabled"] == "yes"
    voicemail.good("device", "set", "4001", "mail", "format=html", "attachment=mp3", "repeat_minutes=30")
    row = listed(voicemail)["mail"]
    assert (row["enabled"], row["format"], row["attachment"]) == ("yes", "html", "mp3")
    voicemail.good("device", "set", "4001", "mail", "attachment=-", "from_senders=10??, *@example.com")
    assert listed(voicemail)["mail"]["from_senders"] == "10??, *@example.com"
    voicemail.good("device", "remove", "4001", "mail")
    assert listed(voicemail)["mail"]["format"] == "text"


def test_a_webhook_and_a_chain_to_it(voicemail: CommandLine, store: MemoryStore) -> None:
    voicemail.good("device", "set", "4001", "hook", *HOOK)
    voicemail.good("device", "set", "4001", "mail", "on_failure=hook")
    assert "0123456789abcdef" not in voicemail.good("device", "show", "4001", "hook")
    assert "0123456789abcdef" not in voicemail.good("device", "list", "4001", "--json")
    assert "is needed by device 'mail'" in voicemail.refused("device", "remove", "4001", "hook")
    assert "come back" in voicemail.refused("device", "set", "4001", "hook", "on_failure=mail")


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        (["enabled=yes"], "kind"),
        (["kind=pigeon"], "kind"),
        (["kind=mail", "address=anna"], "no mail address"),
        (["kind=mail", "schedule=never"], "no schedule named 'never'"),
        (["kind=mail", "on_failure=gone"], "no device 'gone'"),
        (["kind=mail", "template=../../etc/passwd"], "template"),
        (["kind=mail", "repeat_minutes=-1"], "repeat_minutes"),
        (["kind=phone", "address=call me"], "no number"),
        (["kind=phone", "address=0171555"], "refused by restriction 'default_dial_out'"),
        (["kind=webhook", "address=https://h/", "secret=short"], "secret"),
        ([*HOOK, "address=ftp://h/"], "https://host/path"),
        ([*HOOK, "address=https://u:p@h/"], "no name and password"),
        ([*HOOK, "address=https://h:0x/"], "address"),
        ([*HOOK, "address=https://h/\r\nHost: evil"], "address"),
        (["kind=mail", "colour=red"], "there is no such key"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(voicemail: CommandLine, pairs: list[str], why: str) -> None:
    assert why in voicemail.refused("device", "set", "4001", "d", *pairs)
    assert "d" not in listed(voicemail)


def test_a_number_that_the_users_table_allows_is_taken(voicemail: CommandLine) -> None:
    voicemail.good("restriction", "set", "default_dial_out", "rows=allow 0171*, refuse *")
    voicemail.good("device", "set", "4001", "phone", "kind=phone", "enabled=yes", "address=0171 555")
    assert listed(voicemail)["phone"]["address"] == "0171 555"


def test_a_schedule_that_a_device_needs_cannot_be_removed(voicemail: CommandLine) -> None:
    voicemail.good("schedule", "set", "evening", "blocks=mon-fri 17:00-22:00")
    voicemail.good("device", "set", "4001", "mail", "schedule=evening")
    assert "a device of 4001" in voicemail.refused("schedule", "remove", "evening")


def test_a_trial_is_left_to_the_primary(voicemail: CommandLine, store: MemoryStore) -> None:
    assert "known: mail" in voicemail.refused("device", "test", "4001", "hook")
    voicemail.good("device", "test", "4001", "mail")
    (item,) = store.state.outbox.values()
    note = Note.read(item.payload)
    assert (item.kind, item.mailbox_id, note.event, note.device) == (
        Work.NOTIFY,
        ANNA.id,
        Event.TRIAL,
        "mail",
    )


def test_unknown_users_and_devices_are_told(voicemail: CommandLine) -> None:
    assert "no user has extension 9" in voicemail.refused("device", "list", "9")
    assert "has no device 'x'" in voicemail.refused("device", "show", "4001", "x")
    assert "has set no device" in voicemail.refused("device", "remove", "4001", "mail")


def test_every_key_that_is_shown_can_be_set() -> None:
    assert Device in KINDS
    device = Device.model_validate({"kind": "summary", "enabled": True, "secret": "s" * 16})
    text = shown(device)
    assert changed(Device, None, [f"{key}={text[key]}" for key in keys(Device)]) == device
