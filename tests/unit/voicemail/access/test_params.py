import pytest

from voicemail.access.params import Refused, Sender, greeting_name, is_address, recipient, sender
from voicemail.intake.letter import Recipient


@pytest.mark.parametrize(
    "argument, expected",
    [
        ("<>", Sender("")),
        ("<a@example.net>", Sender("a@example.net")),
        (" <a@example.net> SIZE=12 BODY=8BITMIME", Sender("a@example.net", 12)),
        ("<a@example.net> ret=hdrs ENVID=QQ+2B314159", Sender("a@example.net", 0, "HDRS", "QQ+2B314159")),
        ("<@relay.example:a@example.net>", Sender("a@example.net")),
        ("<jürgen@exämple.net> SMTPUTF8", Sender("jürgen@exämple.net", utf8=True)),
        ('<"a b"@example.net>', Sender('"a b"@example.net')),
        ("<a@[192.0.2.1]> AUTH=<>", Sender("a@[192.0.2.1]")),
    ],
)
def test_senders_are_read(argument: str, expected: Sender) -> None:
    assert sender(argument) == expected


@pytest.mark.parametrize(
    "argument, code",
    [
        ("a@example.net", "501 5.5.2"),
        ("<a@example.net", "501 5.5.2"),
        ("<a>", "501 5.1.3"),
        ("<a@b@c d>", "501 5.1.3"),
        ("<a\x00@example.net>", "501 5.1.3"),
        ("<a@example.net> BODY=BINARYMIME", "501 5.5.4"),
        ("<a@example.net> SIZE=-1", "501 5.5.4"),
        ("<a@example.net> SIZE=٣", "501 5.5.4"),
        ("<a@example.net> RET=NONE", "501 5.5.4"),
        ("<a@example.net> ENVID=a+b", "501 5.5.4"),
        ("<a@example.net> ENVID=" + "x" * 101, "501 5.5.4"),
        ("<a@example.net> RET=FULL RET=HDRS", "501 5.5.4"),
        ("<a@example.net> NOTIFY=NEVER", "555 5.5.4"),
        ("<jürgen@example.net>", "553 5.6.7"),
    ],
)
def test_other_senders_are_refused(argument: str, code: str) -> None:
    with pytest.raises(Refused, match=code):
        sender(argument)


def test_recipients_keep_what_was_asked_of_reports() -> None:
    said = recipient("<1001@vm.example.com> NOTIFY=success,DELAY ORCPT=rfc822;1001@vm.example.com")
    assert said == Recipient("1001@vm.example.com", ("SUCCESS", "DELAY"), "rfc822;1001@vm.example.com")
    assert recipient("<postmaster>") == Recipient("postmaster")


@pytest.mark.parametrize(
    "argument",
    ["<>", "<1001>", "<a@b> NOTIFY=", "<a@b> NOTIFY=NEVER,DELAY", "<a@b> ORCPT=a@b", "<a@b> ORCPT=x;a=b"],
)
def test_other_recipients_are_refused(argument: str) -> None:
    with pytest.raises(Refused):
        recipient(argument)


@pytest.mark.parametrize("sign", ["\r", "\n", "\0", "\x7f", " ", "<", ">", "\t", "\x85\n"])
def test_no_sign_that_ends_a_line_is_in_an_address(sign: str) -> None:
    for text in (f"a{sign}b@example.net", f"ab@exam{sign}ple.net", f"ab@example.net{sign}"):
        assert not is_address(text)


@pytest.mark.parametrize("said", ["evil\r\nBcc: x", "a b", "(comment)", "", "ü.example"])
def test_a_client_cannot_write_into_the_received_line(said: str) -> None:
    assert greeting_name(said) == "unknown"


def test_names_and_literals_of_clients_are_kept() -> None:
    assert [greeting_name(each) for each in ("mx.example.net", "[IPv6:::1]")] == [
        "mx.example.net",
        "[IPv6:::1]",
    ]
