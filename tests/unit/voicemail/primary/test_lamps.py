from typing import get_args

import pytest

from sip.mwi import BODIES, Summary, parse
from sip.requests import Answer
from store.model import Counts
from voicemail.config import Trunk
from voicemail.primary.agenda import Verdict
from voicemail.primary.lamps import Senders, notify, publish
from voicemail.primary.notifier import outcome

WE = Senders("192.0.2.11:5060", "sip:5000@192.0.2.11:5060")
PBX = Trunk(
    name="pbx",
    addresses=("192.0.2.5",),
    lamp_uri="sip:mwi-{extension}@192.0.2.5",
    lamp_headers={"X-VM-Mailbox": "{extension}"},
    lamp_body_account="sip:{extension}@192.0.2.5",
)


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


@pytest.mark.parametrize("name", BODIES)
def test_each_body_has_the_counts_and_can_be_read(name: str) -> None:
    trunk = PBX.model_copy(update={"lamp_body": name})
    body = notify(trunk, "1001", Counts(2, 1, 1, 0), WE).body
    assert "Voice-Message: 2/1" in body and ("(1/0)" in body) is ("full" in name)
    assert ("\r\n" in body) is not name.endswith("lf")
    read = parse(body)
    assert (read.new, read.old, read.account) == (2, 1, "sip:1001@192.0.2.5")


def test_the_configuration_knows_every_body_and_no_other() -> None:
    assert set(get_args(Trunk.model_fields["lamp_body"].annotation)) == set(BODIES)


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
