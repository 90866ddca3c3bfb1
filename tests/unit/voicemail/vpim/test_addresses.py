"""Local parts (RFC 3801 section 4.1, RFC 3804), vCards, and what is read of address headers."""

import pytest

from voicemail.vpim.addresses import Kind, Local, blind, is_nobody, read_local, written_local
from voicemail.vpim.cards import card_of, read_card, written_card
from voicemail.vpim.headers import decoded, people
from voicemail.vpim.model import Card, Person


@pytest.mark.parametrize(
    ("text", "kind", "number", "extension", "to_list", "plain"),
    [
        ("2722", Kind.MAILBOX, "2722", "", "", "2722"),
        ("2722+111", Kind.MAILBOX, "2722", "111", "", "2722+111"),
        ("+16135551234", Kind.E164, "+16135551234", "", "", "+16135551234"),
        ("+17035551234+230", Kind.E164, "+17035551234", "230", "", "+17035551234+230"),
        ("VPIM=+12145551212", Kind.E164, "+12145551212", "", "", "+12145551212"),
        ("/vpim=+12145551212/ext=12/", Kind.E164, "+12145551212", "12", "", "+12145551212+12"),
        ("/VPIM=2722/DL=5/", Kind.MAILBOX, "2722", "", "5", "/VPIM=2722/DL=5/"),
        ("+12145551212/Ext=12/dl=5", Kind.E164, "+12145551212", "12", "5", "/VPIM=+12145551212/EXT=12/DL=5/"),
        ("VPIM=+1+2/DL=3", Kind.E164, "+1", "2", "3", "/VPIM=+1/EXT=2/DL=3/"),
    ],
)
def test_an_address_of_the_profile(
    text: str, kind: Kind, number: str, extension: str, to_list: str, plain: str
) -> None:
    local = read_local(text)
    assert local == Local(kind, text, number, extension, to_list)
    assert written_local(local) == plain
    again = read_local(plain)
    assert (again.number, again.extension, again.to_list) == (number, extension, to_list)


@pytest.mark.parametrize("text", ["VOICE=+1613", "/voice=1", "AMIS=2", "FAX=+1/T33S=2", "/Fax=1/"])
def test_a_wish_to_dial_out_is_refused(text: str) -> None:
    assert read_local(text) == Local(Kind.REFUSED, text)
    assert written_local(read_local(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "ann", "ann.example", "+1234567890123456", "2722+", "+", "27 22", "2722/EXT=", "2722/DL=1/EXT=2",
     '"2722"', "２７２２", "2722\n", "1" * 65, "VPIM=", "/", "list-5", "vpim=ann"],
)  # fmt: skip
def test_any_other_is_kept_as_it_is(text: str) -> None:
    assert read_local(text) == Local(Kind.OTHER, text)
    assert written_local(read_local(text)) == text


@pytest.mark.parametrize(
    ("dial_id", "prefixes", "dialled", "address"),
    [
        ("87", (), "872722", "2722@d.example"),
        ("87", ("27",), "872722", "2722@d.example"),
        ("87", ("3", "27"), "872722", "2722@d.example"),
        ("87", ("3",), "872722", None),
        ("87", (), "87", None),
        ("87", (), "88722", None),
        ("", (), "2722", None),
        ("87", (), "87*2", None),
        ("87", (), "87\u0661", None),
        ("87", (), "87" + "1" * 65, None),
        ("88", (), "8888", "88@d.example"),
    ],
)
def test_blind_addressing(dial_id: str, prefixes: tuple[str, ...], dialled: str, address: str | None) -> None:
    assert blind("d.example", dial_id, prefixes, dialled) == address


def test_nobody_has_no_mailbox() -> None:
    assert is_nobody("Non-Mail-User@vm.example.com") and not is_nobody("1001@vm.example.com")


# ---- vCards


@pytest.mark.parametrize(
    ("text", "card"),
    [
        ("", None),
        ("FN:Ann", None),
        ("BEGIN:VCARD\nFN:Ann\nEND:VCARD", Card("Ann")),
        ("begin:vcard\r\nN:Example;Ann;;Dr\r\nend:vcard", Card("Ann Example")),
        ("BEGIN:VCARD\r\nFN:Ann\\, the\r\n  first\\nof \\;all\r\n", Card("Ann, the first of ;all")),
        ("BEGIN:VCARD\nitem1.TEL;TYPE=WORK,VOICE:tel:+1-555-1\nTEL:x\nEMAIL;TYPE=INTERNET:a@b.c\nEMAIL:x\n",
         Card("", ("+15551",), ("a@b.c",))),
        ("BEGIN:VCARD\nFN;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:J=C3=B6rg\nEND:VCARD", Card("Jörg")),
        ("BEGIN:VCARD\nFN:Ann\nEND:VCARD\nBEGIN:VCARD\nTEL:1\nEND:VCARD", Card("Ann")),
        ("BEGIN:VCARD\nFN:=?utf-8?q?=0D=0ABcc:_eve?=\x00\nEND:VCARD", Card("= ?utf-8?q?=0D=0ABcc:_eve?=")),
        ("BEGIN:VCARD\n" + "TEL:1\n" * 10_000, Card("", ("1",) * 10)),
        ("BEGIN:VCARD\nN:;;;;\n", Card()),
        ("BEGIN:VCARD\nN\nTEL\n:\n;:\n", Card()),
    ],
)  # fmt: skip
def test_a_card_is_read(text: str, card: Card | None) -> None:
    assert read_card(text) == card


@pytest.mark.parametrize(
    "person",
    [
        Person("1001@vm.example.com", "Ann; Example, \\ the first: "),
        Person("+49305551@vm.example.com", "Jörg " + "ä" * 90),
        Person("ann@vm.example.com"),
    ],
)
def test_a_card_is_written(person: Person) -> None:
    card = card_of(person)
    text = written_card(card)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    got = read_card(text)
    assert got is not None and got.addresses == card.addresses and got.numbers == card.numbers
    assert got.name == (card.name or person.address)


# ---- address headers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("a@b.example", (Person("a@b.example"),)),
        ("<a@b.example>", (Person("a@b.example"),)),
        ("Ann B <a@b.example>, c@d.example (C)", (Person("a@b.example", "Ann B"), Person("c@d.example"))),
        ('"A, <x@y.example>; B" <a@b.example>', (Person("a@b.example", "A, <x@y.example>; B"),)),
        ("team: a@b.example, C <c@d.example>;", (Person("a@b.example"), Person("c@d.example", "C"))),
        ("undisclosed-recipients:;", ()),
        ("<@relay.example,@b.example:a@b.example>", (Person("a@b.example"),)),
        ('"a b"@c.example', (Person('"a b"@c.example'),)),
        ("=?utf-8?q?J=C3=B6rg?= <j@b.example>", (Person("j@b.example", "Jörg"),)),
        ("Ann <a@b.example", (Person("a@b.example", "Ann"),)),
        ("((((", ()),
        (")a@b.example(", (Person("a@b.example"),)),
        ("Ann\r\nBcc: x <a@b.example>", (Person("a@b.example", "x"),)),
    ],
)
def test_people_are_read(text: str, found: tuple[Person, ...]) -> None:
    assert people(text) == found


@pytest.mark.parametrize(
    "text", ["(" * 20_000, "<" * 20_000, '"' * 20_001, "a@b,", ",;:<>()" * 4_000, "\\" * 99_999]
)
def test_hostile_address_headers_are_read_in_no_time(text: str) -> None:
    assert people(text) == (people("a@b") if text == "a@b," else ())
    assert len(people("a@b.example," * 5000)) == 1000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=?utf-8?b?SGk=?=", "Hi"),
        ("=?utf-8?b?SGk?=", "Hi"),
        ("=?UTF-8*en?Q?a_b?= c", "a b c"),
        ("=?utf-8?q?a?=  =?utf-8?q?b?=", "ab"),
        ("=?no-such?q?a?=", "a"),
        ("=?hex?q?61?=", "61"),
        ("=?utf-8?q?x=0D=0ABcc:_eve=40x?=", "x Bcc: eve@x"),
        ("=?utf-8?q?=ff?=", "\ufffd"),
        ("=?utf-8?x?a?=", "= ?utf-8?x?a?="),
    ],
)
def test_words_are_decoded(text: str, shown: str) -> None:
    assert decoded(text) == shown
