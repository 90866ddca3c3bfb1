"""Locations and contacts at the command line."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from sip import wav
from store.memory import MemoryStore
from store.model import Setting, User, setting_id
from tests.fakes.cli import CommandLine
from voicemail.policy.locations import Contact
from voicemail.policy.references import CODECS
from voicemail.vpim.model import Codec

FAR = ("location", "set", "far", "domain=vm2.example", "dial_id=82")


@pytest.fixture
def told(voicemail: CommandLine) -> CommandLine:
    voicemail.good(*FAR)
    return voicemail


def test_a_location_is_made_shown_and_removed(told: CommandLine) -> None:
    assert told.good("location", "set", "far", "tls=verify", "networks=192.0.2.0/24, 2001:db8::/32") == (
        "location 'far': changed\n"
    )
    (shown,) = json.loads(told.good("location", "show", "far", "--json"))
    assert (shown["domain"], shown["tls"], shown["codec"]) == ("vm2.example", "verify", "g726")
    assert "vm2.example" in told.good("location", "list")
    assert told.good("location", "remove", "far") == "location 'far': removed\n"


def test_a_contact_needs_its_location_and_keeps_it(told: CommandLine) -> None:
    made = told.good(
        "contact", "set", "2722@vm2.example", "location=far", "display_name=Eva Far", "extension=3001"
    )
    assert made == "contact '2722@vm2.example': made\n"
    assert told.refused("location", "remove", "far") == (
        "location 'far' is needed by contact '2722@vm2.example' (location)"
    )
    assert "Eva Far" in told.good("contact", "list")
    assert "3001 leads to contact" in told.refused("list", "set", "all", "extension=3001")
    other = told.refused("contact", "set", "2723@vm2.example", "location=far", "extension=3001")
    assert "3001 leads to contact '2722@vm2.example'" in other
    assert "3001" in told.refused("location", "set", "near", "domain=a.example", "dial_id=30")


def test_very_many_contacts_are_listed_as_they_are_read(
    told: CommandLine, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"27{number}@vm2.example" for number in range(5)]
    for name in names:
        contact = Contact(location="far", display_name="Eva " + "F" * int(name[2]))
        store.state.settings[setting_id("contact", name)] = Setting(
            "contact", name, contact.model_dump_json()
        )

    async def whole(*_: object, **__: object) -> None:
        raise AssertionError("all of them are read at once")

    monkeypatch.setattr("voicemail.cli.policy.look", whole)
    monkeypatch.setattr("voicemail.cli.paged.PAGE", 2)
    head, *lines = told.good("contact", "list").splitlines()
    assert head.split() == ["name", "location", "display_name", "extension", "listed"]
    assert [line.split()[0] for line in lines] == names
    assert all(line.startswith(names[place] + "  far       Eva ") for place, line in enumerate(lines))
    some = told.good("contact", "list", "--after", names[1].upper(), "--most", "2").splitlines()
    assert [line.split()[0] for line in some[1:]] == names[2:4]
    assert [row["name"] for row in json.loads(told.good("contact", "list", "--json"))] == names
    assert json.loads(told.good("contact", "list", "--json", "--after", "3")) == []
    assert told.good("contact", "list", "--after", "3") == ""
    assert "FFFF" in told.good("contact", "show", names[4])
    assert told.refused("contact", "show", "28@vm2.example") == "there is no contact named '28@vm2.example'"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("location set x domain=vm_2", "domain: 'vm_2' is none"),
        ("location set x domain=192.0.2.1", "domain: '192.0.2.1' is none"),
        ("location set x domain=VM2.example", "domain: location 'far' has it already"),
        ("location set x domain=a.example dial_id=82", "dial_id: location 'far' has it already"),
        ("location set x domain=a.example dial_id=8a", "dial_id: '8a' is none (digits only)"),
        ("location set x domain=a.example prefixes=2,x", "prefixes: 'x' is none (digits only)"),
        ("location set x domain=a.example codec=mp3", "codec: 'mp3' is not known; known: g726, pcmu, wav"),
        ("location set x domain=a.example host=a:b", "host: 'a:b': not a port: 'b'"),
        ("location set x domain=a.example tls=maybe", "input should be"),
        ("location set x domain=a.example networks=10.0.0.1/8", "networks: '10.0.0.1/8'"),
        ("location set x domain=a.example dial_id=40", "dial_id: 4001 begins so, and is a number here"),
        ("location set x dial_id=9", "domain: field required"),
        ("user extension add 4001 8299", "8299 begins with the dial_id of location 'far'"),
        ("list set x extension=8299", "extension: 8299 begins with the dial_id of location 'far'"),
        ("contact set 2722@vm2.example location=far extension=8299", "8299 begins with the dial_id of"),
        ("contact set 2722 location=far", "'2722' is no mail address"),
        ("contact set a@b@vm2.example location=far", "is no mail address"),
        ("contact set 2722@vm2.example location=near", "location: there is no location named 'near'"),
        ("contact set 2722@other.example location=far", "is not of the domain of location 'far'"),
        ("contact set 2722@vm2.example location=far extension=4001", "extension: 4001 is the number of"),
        ("contact set 2722@vm2.example location=far extension=3x", "extension: '3x' is none (digits only)"),
    ],
)
def test_what_is_wrong_is_told(told: CommandLine, store: MemoryStore, words: str, why: str) -> None:
    user = User(uuid4(), "4001")
    store.state.users[user.id] = user
    assert why in told.refused(*words.split())


def test_a_mailbox_is_one_contact_only(told: CommandLine) -> None:
    told.good("contact", "set", "eva@vm2.example", "location=far")
    assert told.good("contact", "set", "Eva@VM2.example", "location=far", "listed=no").endswith(": changed\n")
    assert '"listed": "no"' in told.good("contact", "show", "EVA@vm2.example", "--json")
    assert told.good("contact", "remove", "Eva@vm2.example") == "contact 'eva@vm2.example': removed\n"


def test_members_of_lists_may_be_elsewhere_where_that_is_known(told: CommandLine) -> None:
    assert "note" not in told.good("list", "set", "all", "members=2722@vm2.example")
    noted = told.good("list", "set", "all", "members=2722@nowhere.example")
    assert "no location has the domain of 2722@nowhere.example" in noted


def test_both_have_recorded_names(told: CommandLine, store: MemoryStore, tmp_path: Path) -> None:
    file = tmp_path / "name.wav"
    file.write_bytes(wav.file_ulaw(b"\x55" * 4000))
    told.good("contact", "set", "2722@vm2.example", "location=far")
    for noun, name in (("contact", "2722@vm2.example"), ("location", "far")):
        assert told.good(noun, "record", name, str(file)).endswith("recorded name set\n")
        assert store.state.greetings[setting_id(noun, name), "name"] == file.read_bytes()
        told.good(noun, "record", name, "-")
        assert not store.state.greetings
    told.good("contact", "record", "2722@vm2.example", str(file))
    told.good("contact", "remove", "2722@vm2.example")
    assert not store.state.greetings, "somebody else may get the address"
    told.good("contact", "set", "2722@vm2.example", "location=far")
    assert "there is no location named 'near'" in told.refused("location", "record", "near", str(file))
    file.write_bytes(b"no sound")
    assert "not a WAV file" in told.refused("contact", "record", "2722@vm2.example", str(file))


def test_the_codecs_are_those_of_the_writer() -> None:
    assert tuple(Codec) == CODECS
