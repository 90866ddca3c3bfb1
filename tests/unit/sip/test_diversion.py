import pytest

from sip.diversion import reason_of
from sip.invite import Reason, Redirection
from sip.parse import parse_invite


def forwarded(*headers: str, uri: str = "sip:5000@vm") -> list[tuple[str, Reason]]:
    text = f"INVITE {uri} SIP/2.0\r\n" + "".join(f"{line}\r\n" for line in headers) + "\r\n"
    return [(entry.number, entry.reason) for entry in parse_invite(text).redirections]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("no-answer", Reason.NO_REPLY),
        ("noanswer", Reason.NO_REPLY),
        ("no_answer", Reason.NO_REPLY),
        ("No-Answer", Reason.NO_REPLY),
        ("no reply", Reason.NO_REPLY),
        ("user-busy", Reason.BUSY),
        ("userbusy", Reason.BUSY),
        ("user_busy", Reason.BUSY),
        ("busy", Reason.BUSY),
        ("unconditional", Reason.UNCONDITIONAL),
        ("cfu", Reason.UNCONDITIONAL),
        ("time-of-day", Reason.UNCONDITIONAL),
        ("do-not-disturb", Reason.UNCONDITIONAL),
        ("follow-me", Reason.UNCONDITIONAL),
        ("away", Reason.UNCONDITIONAL),
        ("send_to_vm", Reason.UNCONDITIONAL),
        ("deflection", Reason.DEFLECTION),
        ("unavailable", Reason.UNAVAILABLE),
        ("out-of-service", Reason.UNAVAILABLE),
        ("unknown", Reason.UNKNOWN),
        ("", Reason.UNKNOWN),
        ("something new", Reason.UNKNOWN),
        ("486", Reason.BUSY),
    ],
)
def test_every_spelling_of_a_reason(word: str, reason: Reason) -> None:
    assert reason_of(word) is reason


@pytest.mark.parametrize("word", ["no-answer", "noanswer", "no_answer"])
def test_asterisk_forwards_on_no_answer(word: str) -> None:
    header = f'Diversion: "User 1002" <sip:1002@pbx>;reason={word}'
    found = parse_invite(f"INVITE sip:5000@vm SIP/2.0\r\n{header}\r\n\r\n").redirections
    assert found == (Redirection("1002", Reason.NO_REPLY, "User 1002"),)


def test_the_bottom_diversion_is_the_party_called_originally() -> None:
    found = forwarded(
        'Diversion: <sip:1003@pbx>;reason="user-busy";counter=1',
        "Diversion: <sip:1002@pbx>;reason=no-answer, <sip:1001@pbx>;reason=unconditional",
    )
    assert found == [
        ("1001", Reason.UNCONDITIONAL),
        ("1002", Reason.NO_REPLY),
        ("1003", Reason.BUSY),
    ]


@pytest.mark.parametrize(
    ("uri", "number", "reason"),
    [
        ("sip:vm@x;target=1001%40pbx;cause=486", "1001", Reason.BUSY),
        ("sip:vm@x;target=sip:1001%40pbx;cause=408", "1001", Reason.NO_REPLY),
        ("sip:vm@x;target=sip:%2B4930555%40pbx%3Buser%3Dphone;cause=302", "+4930555", Reason.UNCONDITIONAL),
        ("sip:vm@x;cause=503;target=tel:+4930555", "+4930555", Reason.UNAVAILABLE),
        ("sip:vm@x;target=1001", "1001", Reason.UNKNOWN),
        ("sip:vm@x;target=1001;cause=480", "1001", Reason.DEFLECTION),
        ("sip:vm@x;target=1001;cause=487", "1001", Reason.DEFLECTION),
        ("sip:vm@x;target=1001;cause=404", "1001", Reason.UNKNOWN),
        ("sip:vm@x;target=1001;cause=999", "1001", Reason.UNCONDITIONAL),
        ("sip:vm@x;target=1001;cause=4e6", "1001", Reason.UNKNOWN),
    ],
)
def test_a_target_in_the_request_uri(uri: str, number: str, reason: Reason) -> None:
    assert forwarded(uri=uri) == [(number, reason)]


def test_a_target_goes_before_history_and_that_before_diversion() -> None:
    history = "History-Info: <sip:1002@x>;index=1, <sip:5000@vm;cause=486>;index=1.1;mp=1"
    diversion = "Diversion: <sip:1003@x>;reason=no-answer"
    assert forwarded(diversion, history, uri="sip:5000@vm;target=1001") == [("1001", Reason.UNKNOWN)]
    assert forwarded(diversion, history) == [("1002", Reason.BUSY)]
    assert forwarded(diversion) == [("1003", Reason.NO_REPLY)]


def test_history_with_mapped_parties_in_any_order_of_headers() -> None:
    found = forwarded(
        "History-Info: <sip:5000@vm;cause=408>;index=1.2.1;mp=1.2",
        "History-Info: <sip:1001@x>;index=1, <sip:1002@x;cause=302>;index=1.2;mp=1",
        "History-Info: <sip:1001@10.0.0.1>;index=1.1;rc=1",
    )
    assert found == [("1001", Reason.UNCONDITIONAL), ("1002", Reason.NO_REPLY)]


def test_indexes_are_compared_as_numbers() -> None:
    found = forwarded(
        "History-Info: <sip:1010@x>;index=1.10, <sip:1002@x>;index=1.2, <sip:5000@vm>;index=1.11"
    )
    assert [number for number, _ in found] == ["1002", "1010"]


def test_history_of_the_older_kind_tells_the_reason_inside_the_entry() -> None:
    found = forwarded(
        "History-Info: <sip:1001@x?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%22>;index=1",
        "History-Info: <sip:1002@x?Reason=Q.850%3Bcause%3D17>;index=1.1, <sip:5000@vm>;index=1.1.1",
    )
    assert found == [("1001", Reason.UNCONDITIONAL), ("1002", Reason.BUSY)]


def test_a_call_that_was_only_passed_on_was_not_forwarded() -> None:
    direct = "History-Info: <sip:5000@pbx>;index=1, <sip:5000@10.0.0.1>;index=1.1;rc=1"
    renumbered = "History-Info: <sip:+49305000@pbx>;index=1, <sip:5000@vm>;index=1.1;rc=1"
    assert forwarded(direct) == forwarded(renumbered) == []


def test_a_single_entry_for_somebody_else_is_who_was_called() -> None:
    assert forwarded("History-Info: <sip:1001@x>;index=1") == [("1001", Reason.UNKNOWN)]


def test_a_damaged_entry_leaves_the_others() -> None:
    assert forwarded("History-Info: <sip:10;index, <sip:1002@x>;index=1", "Diversion: <sip:1001@x>") == [
        ("1001", Reason.UNKNOWN)
    ]
    assert forwarded("Diversion: nonsense", "Diversion: <sip:1001@x>") == [("1001", Reason.UNKNOWN)]


def test_no_header_no_forwarding() -> None:
    assert forwarded() == []
