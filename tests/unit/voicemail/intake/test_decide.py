import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from store.model import User
from voicemail.intake.decide import (
    Claim,
    claim,
    fits,
    header_block,
    header_values,
    mail_id,
    may_be_told,
    moment,
    number_of,
    our_mail,
    report,
    sender_address,
    to_be_told,
)
from voicemail.intake.letter import Letter, Recipient, Trust, read, written
from voicemail.vpim.model import UNDATED, Action, Person, Report, VoiceMail

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
LETTER = Letter(
    UUID(int=9), "eve@a.example", (Recipient("1001@vm.example.com"),), NOW, "192.0.2.1", Trust.NETWORK
)
MAIL = VoiceMail("1@a.example", NOW, Person("eve@a.example", "Eve"))
RAW = b"Received: by us\r\nFrom: eve\r\nSubject: a\r\n b\r\n\r\nReceived: not in the header\r\n"


def test_a_letter_is_read_as_it_was_written() -> None:
    whole = replace(
        LETTER,
        recipients=(Recipient("ü@x", ("NEVER",), "rfc822;a"),),
        user="1001",
        envelope_id="e",
        ret="FULL",
    )
    assert read(written(whole)) == whole and written(whole).isascii() and "\n" not in written(whole)
    assert read(json.dumps(json.loads(written(LETTER)) | {"newer": 1})) == LETTER


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "7", written(LETTER)[:-3], written(LETTER).replace("network", "x")]
)
def test_what_is_no_letter_is_told(text: str) -> None:
    with pytest.raises(ValueError):
        read(text)


def test_a_mail_has_one_id_whatever_way_it_comes() -> None:
    other = replace(LETTER, id=UUID(int=10), sender="relay@a.example")
    same = {mail_id(each, RAW, "1@a.example", "Eve@A.example") for each in (LETTER, other)}
    assert len(same) == 1
    assert mail_id(LETTER, RAW, "1@a.example", "mallory@a.example") not in same
    assert mail_id(LETTER, RAW, "2@a.example", "eve@a.example") not in same


def test_without_a_message_id_what_the_mail_says_counts_and_not_our_own_line() -> None:
    again = RAW.replace(b"by us", b"by us, later")
    assert mail_id(LETTER, RAW, "", "") == mail_id(LETTER, again, "", "")
    assert mail_id(LETTER, RAW, "", "") != mail_id(LETTER, RAW + b"x", "", "")


@pytest.mark.parametrize(
    "trust, user, address, expected",
    [
        (Trust.NETWORK, "", "anna@example.com", Claim(mail="anna@example.com")),
        (Trust.NETWORK, "", "1001@vm.example.com", Claim("1001", "1001@vm.example.com")),
        (Trust.LOCATION, "", "anna@example.com", Claim()),
        (Trust.LOCATION, "", "1001@vm.example.com", Claim()),
        (Trust.USER, "relay-1", "anna@example.com", Claim(mail="anna@example.com")),
        (Trust.USER, "1002", "anna@example.com", Claim("1002")),
        (Trust.USER, "anna@example.com", "ben@example.com", Claim(mail="anna@example.com")),
    ],
)
def test_whose_a_mail_is(trust: Trust, user: str, address: str, expected: Claim) -> None:
    letter = replace(LETTER, trust=trust, user=user)
    assert claim(letter, replace(MAIL, sender=Person(address)), ("vm.example.com",)) == expected


def test_nobody_fits_an_empty_claim() -> None:
    user = User(UUID(int=1), "1001", mail="Anna@example.com")
    assert not fits(replace(user, mail=""), Claim()) and not fits(
        replace(user, mail="", extension=""), Claim()
    )
    assert fits(user, Claim("1001")) and fits(user, Claim(mail="anna@EXAMPLE.com"))


def test_another_system_speaks_for_its_own_domain_only() -> None:
    theirs = replace(LETTER, trust=Trust.LOCATION, sender="2722@b.example")
    for mail, address in (
        (MAIL, "2722@b.example"),
        (replace(MAIL, sender=Person("2723@b.example")), "2723@b.example"),
        (replace(MAIL, sender=Person("2723@b.example"), reply_to="victim@c.example"), "2723@b.example"),
        (replace(MAIL, sender=Person("2723@b.example"), reply_to="2724@b.example"), "2724@b.example"),
    ):
        assert sender_address(theirs, mail) == address
    assert sender_address(LETTER, replace(MAIL, reply_to="desk@c.example")) == "desk@c.example"
    nobody = replace(
        MAIL, sender=Person("non-mail-user@b.example"), unanswerable=True, reply_to="x@y.example"
    )
    assert sender_address(LETTER, nobody) == "non-mail-user@b.example"


@pytest.mark.parametrize(
    "address, number",
    [
        ("2722@b", "2722"),
        ("2722+111@b", "2722"),
        ("+4930555@b", "+4930555"),
        ("+4930555+230@b", "+4930555"),
        ("VPIM=2722/EXT=4@b", "2722"),
        ("eve@b", ""),
        ("VOICE=0900@b", ""),
        ("/VPIM=1/DL=7/@b", ""),
        ("", ""),
    ],
)
def test_numbers_of_mailboxes(address: str, number: str) -> None:
    assert number_of(address) == number


def test_a_wrong_clock_is_not_believed() -> None:
    for said in (UNDATED, NOW + timedelta(seconds=1), datetime(2026, 5, 4), NOW - timedelta(days=500)):
        assert moment(said, NOW) == NOW
    assert moment(NOW - timedelta(hours=1), NOW) == NOW - timedelta(hours=1)


def test_headers_are_unfolded_and_end_where_they_end() -> None:
    assert header_values(RAW, "subject") == ["a b"] and header_values(RAW, "received") == ["by us"]
    assert header_block(RAW).endswith("Subject: a\r\n b")
    long = b"X: " + b"y" * 70 + b"\r\n"
    cut = header_block(long * 200 + b"\r\n")
    assert len(cut) <= 8192 and cut.endswith("y") and cut.count("X:") == cut.count("\r\n") + 1


@pytest.mark.parametrize(
    "line",
    [
        b"Auto-Submitted: auto-generated",
        b"Auto-Submitted: auto-replied; x",
        b"Precedence: bulk",
        b"List-Id: <l>",
        b"Content-Type: multipart/report; report-type=delivery-status",
    ],
)
def test_machines_and_lists_get_no_report(line: bytes) -> None:
    assert may_be_told(LETTER, RAW) and may_be_told(LETTER, b"Auto-Submitted: no\r\n" + RAW)
    assert not may_be_told(LETTER, line + b"\r\n" + RAW)
    assert not may_be_told(replace(LETTER, sender=""), RAW)


def test_reports_are_sent_where_they_were_not_declined() -> None:
    asked = [(), ("NEVER",), ("SUCCESS",), ("FAILURE", "SUCCESS"), ("DELAY",)]
    recipients = [Recipient(str(n), notify) for n, notify in enumerate(asked)]
    assert [each.address for each in to_be_told(recipients)] == ["0", "3"]
    assert [each.address for each in to_be_told(recipients, "SUCCESS")] == ["2", "3"]


def test_a_report_is_one_piece_of_work_and_says_all() -> None:
    whom = (Recipient("1001@vm.example.com", (), "rfc822;anna+2Bx@example.com"),)
    letter = replace(LETTER, recipients=whom, envelope_id="e+2B1+0D+0A", ret="HDRS")
    work = report(letter, UUID(int=1), RAW, "1@a", letter.recipients, "5.6.1", "no sound")
    assert work == report(
        replace(letter, id=UUID(int=3)), UUID(int=1), RAW, "1@a", letter.recipients, "5.6.1", "no sound"
    )
    said = json.loads(work.payload)
    assert (said["kind"], said["to"], said["status"], said["why"]) == (
        "dsn",
        "eve@a.example",
        "5.6.1",
        "no sound",
    )
    assert (said["recipients"], said["original_id"], said["envid"]) == (
        ["1001@vm.example.com"],
        "1@a",
        "e+1??",
    )
    assert said["original_recipients"] == ["anna+x@example.com"] and said["original_types"] == ["rfc822"]
    assert json.loads(report(letter, UUID(int=1), RAW, "", (), "2.1.5", "").payload)["kind"] != "dsn"


def test_reports_are_ours_by_their_message_id() -> None:
    known = UUID("01a222a1-e304-7bec-b217-42e00c1ed319")
    for text in (f"{known}@vm.example.com", f"<{known}@VM.example.com>", f"{known}.2@vm.example.com"):
        assert our_mail(Report(Action.FAILED, "x@b", text), ("vm.example.com",)) == known
    for text in ("", "hello@vm.example.com", f"{known}@other.example", f"{known}@vm.example.com.evil"):
        assert our_mail(Report(Action.FAILED, "x@b", text), ("vm.example.com",)) is None
