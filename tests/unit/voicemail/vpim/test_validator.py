"""The strict foreign system notices what breaks RFC 3801: each planted fault by its own words."""

from collections.abc import Callable

import pytest

from tests.fakes.vpim_mails import full
from tests.fakes.vpim_validator import violations
from voicemail.vpim.model import Codec
from voicemail.vpim.write import written

MAIL = written(full(), Codec.G726, "0193-11aa")
Change = Callable[[bytes], bytes]


def swap(old: str, new: str, count: int = 1) -> Change:
    def change(raw: bytes) -> bytes:
        assert old.encode() in raw, f"{old!r} is not in the mail"
        return raw.replace(old.encode(), new.encode(), count)

    return change


def without(name: str) -> Change:
    return lambda raw: b"\r\n".join(line for line in raw.split(b"\r\n") if not line.startswith(name.encode()))


def twice(name: str) -> Change:
    def change(raw: bytes) -> bytes:
        line = next(line for line in raw.split(b"\r\n") if line.startswith(name.encode()))
        return raw.replace(line, line + b"\r\n" + line, 1)

    return change


def parts_exchanged(raw: bytes) -> bytes:
    head, first, second, *rest = raw.split(b"--=_0_0193-11aa\r\n")
    return b"--=_0_0193-11aa\r\n".join([head, second, first, *rest])


def part_added(text: str) -> Change:
    return swap("--=_0_0193-11aa--", f"--=_0_0193-11aa\r\n{text}\r\n--=_0_0193-11aa--")


FAULTS: list[tuple[Change, str]] = [
    (lambda raw: raw.replace(b"\r\n", b"\n"), "not CRLF"),
    (lambda raw: raw[:-1], "not CRLF"),
    (lambda raw: raw[:-2], "no end"),
    (swap("Subject: ", "Subject: \u00e4"), "8-bit"),
    (swap("Subject: ", "Subject: " + "x" * 1000), "a line of 10"),
    (swap("Subject: ", "Subject: \0"), "NUL"),
    (swap("Subject: ", "Subject "), "not a header field"),
    (without("From:"), "no from"),
    (without("Date:"), "no date"),
    (without("Message-ID:"), "no message-id"),
    (without("MIME-Version:"), "no mime-version"),
    (without("Subject:"), "no Subject"),
    (twice("From:"), "from more than once"),
    (twice("Subject:"), "subject more than once"),
    (swap("From: ", "Return-Path: <a@b.example>\r\nFrom: "), "Return-Path"),
    (swap("From: ", "Reply-To: <a@b.example>\r\nFrom: "), "Reply-To"),
    (swap("From: ", "Bcc: <a@b.example>\r\nFrom: "), "Bcc"),
    (swap('From: "Ann Example"', "From:"), "quoted name"),
    (swap('From: "Ann Example"', "From: Ann Example"), "quoted name"),
    (swap("<1001@vm.example.com>", "<1001>"), "no list of addresses"),
    (swap("+0000", "GMT"), "Date"),
    (swap("Fri, 02 Jan", "Mon, 02 Jan"), "that was no Mon"),
    (swap("Fri, 02 Jan", "Fri, 32 Jan"), "does not exist"),
    (swap("Message-ID: <", "Message-ID: "), "Message-ID"),
    (swap("Sensitivity: Private", "Sensitivity: Personal"), "sensitivity"),
    (swap("Importance: high", "Importance: urgent"), "importance"),
    (swap("Message-Context: voice-message", "Message-Context: fax-message"), "message-context"),
    (swap("MIME-Version: 1.0 (Voice 2.0)", "MIME-Version: 1.0"), "(Voice 2.0)"),
    (swap("Multipart/Voice-Message", "Multipart/Mixed"), "instead of Multipart/Voice-Message"),
    (swap("Version=2.0", "Version=1.0"), "Version=2.0"),
    (swap('boundary="=_0', 'boundary="=_9'), "last boundary is missing"),
    (swap("--=_0_0193-11aa--", "--=_0_0193-11aa"), "last boundary is missing"),
    (swap("--=_0_0193-11aa\r\n", "Hello\r\n--=_0_0193-11aa\r\n"), "text before the first part"),
    (swap("Audio/32KADPCM", "Text/Plain"), "not allowed"),
    (part_added("Content-Type: text/plain\r\n\r\nHello"), "text/plain is not allowed"),
    (part_added("Content-Type: application/pdf\r\n\r\nHello"), "application/pdf is not allowed"),
    (swap("Encoding: Base64", "Encoding: 7bit"), "not in base64"),
    (swap("Encoding: Base64", "Encoding: x-uuencode"), "x-uuencode"),
    (swap("inline; voice=Voice-Message", "attachment; voice=Voice-Message"), "not inline"),
    (swap("voice=Voice-Message; ", ""), "voice=None"),
    (swap("voice=Voice-Message", "voice=Greeting"), "voice='Greeting'"),
    (swap("voice=Spoken-Subject", "voice=Voice-Message"), "voice-message more than once"),
    (parts_exchanged, "playing order"),
    (swap('filename="message.726"', 'filename="../message.726"'), "with a path"),
    (swap("Content-Duration: 1", "Content-Duration: 1.5"), "whole seconds"),
    (swap("Content-Duration: 1", "Content-Duration: 9"), "s of sound"),
    (twice("Content-Language:"), "than once"),
    (swap("\r\n\r\n--=_0_0193-11aa\r\n", "\r\n--=_0_0193-11aa\r\n"), "header field"),
    (swap("RFC822\r\nContent-Transfer-Encoding: 7bit", "RFC822\r\nContent-Transfer-Encoding: Base64"),
     "encoded"),
    (swap("From: =?utf-8", "X-From: =?utf-8"), "no from"),
    (lambda raw: _one_line(raw), "76 characters"),
    (lambda raw: _broken_base64(raw), "not base64"),
]  # fmt: skip


def _one_line(raw: bytes) -> bytes:
    """Two lines of base64 made one."""
    at = raw.index(b"\r\n\r\n", raw.index(b"voice=")) + 4
    end = raw.index(b"\r\n", at)
    return raw[:end] + raw[end + 2 :]


def _broken_base64(raw: bytes) -> bytes:
    at = raw.index(b"\r\n\r\n", raw.index(b"voice=")) + 4
    return raw[:at] + b"*" + raw[at + 1 :]


def test_a_good_mail_has_none() -> None:
    assert violations(MAIL) == []


@pytest.mark.parametrize(("change", "words"), FAULTS, ids=range(len(FAULTS)))
def test_a_planted_fault_is_named(change: Change, words: str) -> None:
    bad = change(MAIL)
    assert bad != MAIL
    assert any(words.lower() in each.lower() for each in violations(bad)), violations(bad)
