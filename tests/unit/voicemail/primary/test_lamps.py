from dataclasses import replace
from uuid import UUID

from sip.mwi import Summary, parse
from sip.requests import Answer
from store.model import Counts, User
from voicemail.config import Trunk
from voicemail.primary.agenda import Verdict
from voicemail.primary.lamps import Lamp, Senders, changed, lanes_of, notify, publish
from voicemail.primary.notifier import outcome

WE = Senders("192.0.2.11:5060", "sip:5000@192.0.2.11:5060")
PBX = Trunk(
    name="pbx",
    addresses=("192.0.2.5",),
    lamp_uri="sip:mwi-{extension}@192.0.2.5",
    lamp_headers={"X-VM-Mailbox": "{extension}"},
    lamp_body_account="sip:{extension}@192.0.2.5",
)
ANNA = User(UUID(int=1), "1001", name="Anna")
BEN = User(UUID(int=2), "1002", name="Ben", lamps=("other",))
TRUNKS = {"trunk pbx": PBX}
EDGES = {"edge 192.0.2.11:5060": "192.0.2.11:5060"}


def users(*those: User) -> dict[UUID, User]:
    return {user.id: user for user in those}


def test_a_notify_goes_through_our_edge_to_the_uri_of_the_template() -> None:
    request = notify(PBX, "1001", Counts(new=2, old=1, new_urgent=1), WE)
    assert (request.method, request.target) == ("NOTIFY", "sip:mwi-1001@192.0.2.5")
    assert request.route == "sip:192.0.2.11:5060;lr"
    assert dict(request.headers) == {
        "Event": "message-summary",
        "Subscription-State": "active",
        "Contact": "<sip:192.0.2.11:5060>",
        "X-VM-Mailbox": "1001",
    }
    assert request.content_type == "application/simple-message-summary"
    assert parse(request.body) == Summary(2, 1, 1, 0, "sip:1001@192.0.2.5")


def test_a_trunks_header_replaces_ours_of_the_same_name() -> None:
    trunk = PBX.model_copy(update={"lamp_headers": {"subscription-state": "terminated"}})
    names = [name.lower() for name, _ in notify(trunk, "1001", Counts(), WE).headers]
    assert names.count("subscription-state") == 1
    assert ("subscription-state", "terminated") in notify(trunk, "1001", Counts(), WE).headers


def test_an_extension_can_end_neither_a_header_nor_a_uri() -> None:
    request = notify(PBX, "1\r\nX-Evil: 1@evil;x>", Counts(), WE)
    assert "\r" not in request.target and "@evil" not in request.target
    assert all("\r" not in value and "\n" not in value for _, value in request.headers)


def test_a_lamp_without_new_messages_is_off_and_says_so_with_counts() -> None:
    assert notify(PBX, "1001", Counts(old=3), WE).body.startswith("Messages-Waiting: no\r\n")
    assert "Voice-Message: 0/3 (0/0)\r\n" in notify(PBX, "1001", Counts(old=3), WE).body


def test_the_own_edge_is_told_directly_and_the_peers_through_our_own() -> None:
    own = publish("192.0.2.11:5060", "1001", Counts(new=1), "", WE)
    peer = publish("192.0.2.12:5060", "1001", Counts(new=1), "", WE)
    assert (own.target, own.route) == ("sip:1001@192.0.2.11:5060", "")
    assert (peer.target, peer.route) == ("sip:1001@192.0.2.12:5060", "sip:192.0.2.11:5060;lr")
    assert ("Event", "message-summary") in own.headers and ("Expires", "3600") in own.headers


def test_a_publication_that_replaces_another_names_it() -> None:
    assert ("SIP-If-Match", "abc") in publish("h:5060", "1001", Counts(), "abc", WE).headers
    assert "SIP-If-Match" not in dict(publish("h:5060", "1001", Counts(), "", WE).headers)


def test_a_lamp_is_on_every_edge_and_on_the_trunks_the_user_names() -> None:
    assert lanes_of(ANNA, TRUNKS, EDGES) == {"trunk pbx", "edge 192.0.2.11:5060"}
    assert lanes_of(BEN, TRUNKS, EDGES) == {"edge 192.0.2.11:5060"}
    assert "trunk pbx" in lanes_of(replace(BEN, lamps=("other", "pbx")), TRUNKS, EDGES)


def test_users_who_stay_as_they_were_need_nothing() -> None:
    renamed = replace(ANNA, name="Anne", mail="anne@example.com")
    assert changed(users(ANNA, BEN), users(renamed, BEN)) == frozenset()


def test_whoever_comes_goes_or_moves_has_the_old_and_the_new_lamp_set() -> None:
    moved = replace(ANNA, extension="1009")
    assert {lamp for lamp, _ in changed(users(ANNA), users(moved))} == {
        Lamp(ANNA.id, "1001"),
        Lamp(ANNA.id, "1009"),
    }
    assert changed({}, users(ANNA)) == {(Lamp(ANNA.id, "1001"), ANNA)}
    assert changed(users(ANNA), {}) == {(Lamp(ANNA.id, "1001"), ANNA)}


def test_a_trunk_taken_from_a_user_is_among_those_to_be_told() -> None:
    less = replace(ANNA, lamps=("none",))
    told = {lane for _, user in changed(users(ANNA), users(less)) for lane in lanes_of(user, TRUNKS, EDGES)}
    assert "trunk pbx" in told


def test_what_answers_mean() -> None:
    verdicts = {code: outcome(Answer(code)).verdict for code in (200, 202, 401, 404, 481, 489, 408, 478, 503)}
    assert verdicts == {
        200: Verdict.SENT,
        202: Verdict.SENT,
        401: Verdict.FAILED,
        404: Verdict.FAILED,
        481: Verdict.FAILED,
        489: Verdict.REFUSED,
        408: Verdict.SILENT,
        478: Verdict.SILENT,
        503: Verdict.SILENT,
    }
