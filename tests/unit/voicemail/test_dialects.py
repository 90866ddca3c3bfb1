"""The INVITE of each kind of PBX, and the mailbox that its call reaches."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sip.invite import Reason, Source
from sip.parse import parse_invite
from tests.fakes.desk import ANNA, BEN, PILOT
from voicemail.conversation.host import Mailbox, SignIn
from voicemail.pilot import Book, PilotSettings, route
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.model import CallHandler, RoutingRule, Schedule

BOOK = Book(
    BUILT_IN[RoutingRule],
    BUILT_IN[CallHandler],
    BUILT_IN[Schedule],
    {},
    datetime(2026, 3, 4, 12, tzinfo=UTC),
)
FOUND = {"1001": ANNA, "1002": BEN, "+49301001": ANNA} | dict.fromkeys(("4930555", "+4930555", "7000", ""))
BUSY, NO_REPLY, ALWAYS, UNKNOWN = Reason.BUSY, Reason.NO_REPLY, Reason.UNCONDITIONAL, Reason.UNKNOWN
CALLER = 'From: "Carla" <sip:4930555@pbx.example>;tag=1'

DIALECTS = {
    "asterisk, no answer": (
        'Diversion: "User 1001" <sip:1001@192.0.2.5>;reason=no-answer',
        ("1001", NO_REPLY),
        ("1001", NO_REPLY),
    ),
    "asterisk, a dialplan's own word": (
        'Diversion: "User 1001" <sip:1001@192.0.2.5>;reason=no_answer',
        ("1001", NO_REPLY),
        ("1001", NO_REPLY),
    ),
    "asterisk, a phone's 302": (
        'Diversion: "User 1001" <sip:1001@192.0.2.5>;reason=unconditional',
        ("1001", ALWAYS),
        ("1001", ALWAYS),
    ),
    "freeswitch, twice forwarded": (
        "Diversion: <sip:1002@fs.example>;reason=no-answer;privacy=off\r\n"
        "Diversion: <sip:1001@fs.example>;reason=unconditional;privacy=off",
        ("1001", ALWAYS),
        ("1002", NO_REPLY),
    ),
    "cisco, twice forwarded": (
        'Diversion: "Ben" <sip:1002@192.0.2.9>;privacy=off;reason=user-busy;screen=yes, '
        '"Anna" <sip:1001@192.0.2.9>;privacy=off;reason=no-answer;screen=yes',
        ("1001", NO_REPLY),
        ("1002", BUSY),
    ),
    "broadsoft": (
        'Diversion: "Anna"<sip:1001@as.example;user=phone>;reason=time-of-day;counter=1;user-id="1001@as"',
        ("1001", ALWAYS),
        ("1001", ALWAYS),
    ),
    "avaya": (
        'History-Info: "Anna" <sip:1001@av.example>;index=1\r\n'
        'History-Info: "Anna" <sip:1001@av.example?Reason=SIP%3Bcause%3D486%3Btext%3D%22Busy%22'
        "&Reason=Redirection%3Bcause%3DCFB>;index=1.1\r\n"
        "History-Info: <sip:5000@av.example>;index=1.2",
        ("1001", BUSY),
        ("1001", BUSY),
    ),
    "teams": (
        "History-Info: <sip:+49301001@sbc.example:5061;user=phone"
        "?Reason=SIP%3Bcause%3D408%3Btext%3D%22Request%20Timeout%22>;index=1, "
        "<sip:5000@sbc.example:5061>;index=1.1",
        ("+49301001", NO_REPLY),
        ("+49301001", NO_REPLY),
    ),
    "ims, mapped parties": (
        "History-Info: <sip:1001@ims.example>;index=1, <sip:1002@ims.example;cause=302>;index=1.1;mp=1, "
        "<sip:5000@vm.example;cause=486>;index=1.1.1;mp=1.1",
        ("1001", ALWAYS),
        ("1002", BUSY),
    ),
    "a number without a mailbox, then one with": (
        "Diversion: <sip:1002@pbx>;reason=no-answer\r\nDiversion: <sip:7000@pbx>;reason=unconditional",
        ("1002", NO_REPLY),
        ("1002", NO_REPLY),
    ),
    "a telephone URI": (
        "Diversion: <tel:+49-30-1001>;reason=no-answer",
        ("+49301001", NO_REPLY),
        ("+49301001", NO_REPLY),
    ),
    "withheld number": (
        "Diversion: <sip:1001@pbx>;reason=do-not-disturb\r\nFrom: <sip:anonymous@anonymous.invalid>",
        ("1001", ALWAYS),
        ("1001", ALWAYS),
    ),
}


def invite_of(headers: str, uri: str = f"sip:{PILOT}@vm.example", trunk: str = "first") -> str:
    own = "" if "From:" in headers else CALLER + "\r\n"
    return f"INVITE {uri} SIP/2.0\r\n{own}{headers}\r\nCall-ID: 1\r\nX-VM-Trunk: {trunk}\r\n\r\n"


@pytest.mark.parametrize("name", DIALECTS)
def test_a_forwarded_call_finds_the_mailbox_of_the_first_or_last_party(name: str) -> None:
    headers, *expected = DIALECTS[name]
    settings = PilotSettings(PILOT, Path("unused"), redirecting={"last": "last"})
    for trunk, (number, reason) in zip(("first", "last"), expected, strict=True):
        where = route(parse_invite(invite_of(headers, trunk=trunk)), settings, FOUND, BOOK)
        assert where.to == Mailbox(number, FOUND[number], reason)


@pytest.mark.parametrize(
    ("uri", "number", "reason"),
    [
        ("sip:5000@vm;target=1001%40pbx;cause=486", "1001", BUSY),
        ("sip:5000@vm;target=sip:%2B49301001%40pbx;cause=408", "+49301001", NO_REPLY),
        ("sip:5000@vm;target=1001%40pbx;cause=380", "1001", ALWAYS),
        ("sip:1002@vm", "1002", UNKNOWN),
    ],
)
def test_a_request_uri_that_names_the_mailbox(uri: str, number: str, reason: Reason) -> None:
    settings = PilotSettings(PILOT, Path("unused"))
    where = route(parse_invite(invite_of("", uri)), settings, FOUND, BOOK)
    assert where.to == Mailbox(number, FOUND[number], reason)


def test_asserted_or_in_from_the_number_of_a_user_only_leads_to_the_pin() -> None:
    settings = PilotSettings(PILOT, Path("unused"))
    for header in ("P-Asserted-Identity: <sip:1002@pbx>", "From: <sip:1002@pbx>;tag=2"):
        invite = parse_invite(invite_of(header))
        assert route(invite, settings, FOUND, BOOK).to == SignIn()
        assert invite.identified == ""


BOTH = "History-Info: <sip:1002@x>;index=1, <sip:5000@vm;cause=486>;index=1.1;mp=1\r\nDiversion: <sip:1001@x>"


@pytest.mark.parametrize(
    ("sources", "to"),
    [
        (None, Mailbox("1002", BEN, BUSY)),
        (("diversion", "history-info"), Mailbox("1001", ANNA, UNKNOWN)),
        (("target", "history-info"), Mailbox("1002", BEN, BUSY)),
        (("target", "diversion"), Mailbox("1001", ANNA, UNKNOWN)),
    ],
)
def test_a_trunk_says_which_header_is_believed(sources: tuple[str, ...] | None, to: Mailbox) -> None:
    believed = {} if sources is None else {"first": tuple(map(Source, sources))}
    settings = PilotSettings(PILOT, Path("unused"), forwarded_by=believed)
    assert route(parse_invite(invite_of(BOTH)), settings, FOUND, BOOK).to == to


def test_a_header_that_a_trunk_is_not_believed_is_none() -> None:
    settings = PilotSettings(PILOT, Path("unused"), forwarded_by={"first": (Source.TARGET,)})
    where = route(parse_invite(invite_of(BOTH)), settings, FOUND, BOOK)
    assert not isinstance(where.to, Mailbox)
