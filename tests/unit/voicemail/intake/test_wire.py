from datetime import UTC, datetime

import pytest

from voicemail.intake import wire
from voicemail.intake.wire import Outcome, unpacked
from voicemail.vpim.model import Action, Card, Person, Report, Speech, Unreadable, VoiceMail

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
MAIL = VoiceMail(
    "1@a.example",
    NOW,
    Person("eve@a.example", "Eve\n\u2028"),
    to=(Person("1001@vm.example.com"),),
    speech=(Speech(b"one\n", 1.5), Speech(b"", 0.0, Person("2@b"), NOW)),
    spoken_name=b"name",
    spoken_subject=b"",
    private=True,
    card=Card("Eve", ("1",)),
)
REPORT = Report(Action.DISPLAYED, "2@b", "x@y", more=(Report(Action.FAILED, "3@b"),))


def packed(outcome: Outcome) -> bytes:
    return b"".join(wire.packed(outcome))


@pytest.mark.parametrize("outcome", [MAIL, REPORT])
def test_what_was_read_comes_through_whole(outcome: VoiceMail | Report) -> None:
    assert unpacked(packed(outcome)) == outcome


def test_what_could_not_be_read_keeps_its_code() -> None:
    found = unpacked(packed(Unreadable("no\nsound", "5.6.1")))
    assert isinstance(found, Unreadable) and (str(found), found.code) == ("no\nsound", "5.6.1")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"7\n",
        b"{}\n",
        b"[]\n",
        packed(MAIL)[:-1],
        packed(MAIL) + b"x",
        packed(MAIL).partition(b"\n")[0],
        b'{"outcome": {"$": "Unreadable"}, "sounds": []}\n',
        b'{"outcome": {"$": "os"}, "sounds": []}\n',
        b'{"outcome": {"$": "Person", "address": "x"}, "sounds": []}\n',
        b'{"outcome": {"$sound": 1}, "sounds": []}\n',
        b'{"outcome": [[[1]]], "sounds": [-1, 1]}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_parser_that_was_taken_over_can_say_nothing_else(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(data)
