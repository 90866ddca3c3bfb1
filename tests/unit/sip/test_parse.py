import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.errors import BadMessage
from sip.invite import Invite
from sip.parse import parse_invite, parse_message, parse_name_addr, parse_uri, split_list

INVITE = (
    "INVITE sip:5000@vm.example:5060;transport=udp SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    'From: "Ada Lovelace" <sip:1001@pbx.example>;tag=1\r\n'
    "To: <sip:5000@vm.example>\r\n"
    "Call-ID: abc@192.0.2.1\r\n"
    "X-VM-Source: udp:192.0.2.7:5060\r\n"
    "X-VM-Trunk: pbx\r\n"
    "Content-Length: 0\r\n\r\n"
)


def invite(*headers: str, uri: str = "sip:5000@vm") -> Invite:
    return parse_invite(f"INVITE {uri} SIP/2.0\r\n" + "".join(f"{line}\r\n" for line in headers) + "\r\n")


def test_an_ordinary_invite() -> None:
    assert parse_invite(INVITE) == Invite(
        call_id="abc@192.0.2.1",
        dialled="5000",
        caller="1001",
        caller_name="Ada Lovelace",
        source="udp:192.0.2.7:5060",
        trunk="pbx",
    )


def test_compact_and_folded_headers() -> None:
    found = invite('f: "Ada\r\n  Lovelace"\r\n\t<sip:1001@pbx>;tag=1', "t: <sip:5000@vm>", "i: xyz")
    assert (found.caller, found.caller_name, found.call_id) == ("1001", "Ada Lovelace", "xyz")


@pytest.mark.parametrize(
    ("value", "caller", "name"),
    [
        ("sip:1001@pbx;tag=1", "1001", ""),
        ("<sip:1001@pbx>", "1001", ""),
        ("Ada Lovelace <sip:1001@pbx>", "1001", "Ada Lovelace"),
        ('"Lovelace, \\"Ada\\"" <sip:1001@pbx>', "1001", 'Lovelace, "Ada"'),
        ('"Jürgen Müßig" <sips:1001@pbx>', "1001", "Jürgen Müßig"),
        ("J\udcfcrgen <sip:1001@pbx>", "1001", "Jürgen"),
        ('"<sip:666@evil>" <sip:1001@pbx>', "1001", "<sip:666@evil>"),
        ("<sip:%2B49305550@pbx;user=phone>", "+49305550", ""),
        ("<sip:+49305550;phone-context=x@pbx>", "+49305550", ""),
        ("<sip:1001:secret@pbx>", "1001", ""),
        ("<tel:+49-(30)-555.0;phone-context=+49>", "+49305550", ""),
        ('"Anonymous" <sip:anonymous@anonymous.invalid>', "", ""),
        ("<sip:pbx.example>", "", ""),
        ("<mailto:ada@example.com>", "", ""),
        ("Ada \x00\x07<sip:10\x0001@pbx>", "1001", "Ada"),
    ],
)
def test_who_calls(value: str, caller: str, name: str) -> None:
    found = invite(f"From: {value}")
    assert (found.caller, found.caller_name) == (caller, name)


@pytest.mark.parametrize(
    ("value", "asserted"),
    [
        ('"Ada" <sip:1001@pbx>', "1001"),
        ("<tel:+4930555>, <sip:+4930555@pbx>", "+4930555"),
        ("nonsense, <sip:1001@pbx>", "1001"),
        ("nonsense", ""),
    ],
)
def test_who_the_network_says_it_is(value: str, asserted: str) -> None:
    assert invite(f"P-Asserted-Identity: {value}").asserted == asserted


def test_without_a_user_in_the_request_uri_the_to_header_tells_whom_was_called() -> None:
    assert invite("To: <sip:5000@vm>", uri="sip:10.0.0.1:5060").dialled == "5000"


def test_a_damaged_header_leaves_the_rest_alone() -> None:
    found = invite("From: <<<>>>;;;", 'Diversion: ,,,<sip:1002@pbx>;reason=no-answer,"', "no colon", "i: x")
    assert found.caller == ""
    assert [entry.number for entry in found.redirections] == ["1002"]
    assert found.call_id == "x"


def test_a_huge_name_is_cut() -> None:
    assert len(invite(f'From: "{"A" * 5000}" <sip:1@pbx>').caller_name) == 128


def test_commas_in_quotes_and_brackets_do_not_split() -> None:
    assert list(split_list('"a,\\"b" <sip:1,2@x>, <sip:3@x>')) == ['"a,\\"b" <sip:1,2@x>', " <sip:3@x>"]


def test_parameters_of_uri_and_header_are_kept_apart() -> None:
    found = parse_name_addr('<sip:1@x;a=1?Reason=SIP%3Bcause%3D302>;a="2;3";b')
    assert found.uri.parameters == {"a": "1"}
    assert found.uri.headers == {"reason": "SIP;cause=302"}
    assert found.parameters == {"a": "2;3", "b": ""}


def test_a_host_may_be_an_ipv6_address() -> None:
    assert parse_uri("sip:1@[2001:db8::1]:5060;lr").host == "[2001:db8::1]:5060"


def test_an_answer_is_read_too() -> None:
    message = parse_message("SIP/2.0 200 OK\r\nSIP-ETag: abc\r\n\r\nbody")
    assert (message.code, message.first("sip-etag"), message.body) == (200, "abc", "body")


def test_what_is_no_sip_raises() -> None:
    with pytest.raises(BadMessage):
        parse_message("GET / HTTP/1.1\r\n\r\n")


NAMES = st.sampled_from(
    [
        "From",
        "f",
        "To",
        "Diversion",
        "History-Info",
        "P-Asserted-Identity",
        "Call-ID",
        "X-VM-Source",
        "Reason",
    ]
)
PIECES = st.sampled_from(
    [
        "<",
        ">",
        '"',
        "sip:",
        "tel:",
        "1002",
        "@",
        "pbx",
        ";",
        ",",
        "=",
        "reason",
        "cause",
        "index",
        "1.1",
        "mp",
    ]
    + [
        "%",
        "%zz",
        "?",
        "&",
        "\\",
        "[",
        "\udcff",
        "\x00",
        " ",
        "\r\n ",
        "Reason=SIP%3Bcause%3D",
        "²",
        "９",
        "target",
    ]
)
VALUES = st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=25).map("".join))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), VALUES)
def test_junk_never_raises_and_always_fits_a_database(headers: list[tuple[str, str]], uri: str) -> None:
    found = invite(*(f"{name}: {value}" for name, value in headers), uri="sip:5000@vm;" + uri)
    texts = [found.call_id, found.dialled, found.caller, found.caller_name, found.asserted, found.source]
    texts += [entry.number for entry in found.redirections] + [entry.name for entry in found.redirections]
    for text in texts:
        assert len(text) <= 128
        assert "\x00" not in text
        text.encode()


@given(st.text(max_size=300))
def test_any_text_is_at_least_an_empty_invite(text: str) -> None:
    assert isinstance(parse_invite(text), Invite)
