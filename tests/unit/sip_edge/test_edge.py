"""The edge's files as a function of its settings."""

import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from sip.edge import Address, EdgeSettings, Listen, Trunk, argv, presence_argv, render, write
from sip.errors import EdgeFailed, SipError

RUN = Path("/run/tandem/edge")
BASIC = EdgeSettings(
    listen=(Listen(Address("192.0.2.10", 5060)),),
    workers=(Address("127.0.0.1", 20000), Address("127.0.0.1", 20001)),
    presence=Address("127.0.0.1", 20900),
    database="postgres://edge:secret@127.0.0.1:5432/edge",
    peer=Address("192.0.2.20", 5060),
    trunks=(Trunk("pbx", ("198.51.100.7", "198.51.100.64/26")),),
    allowed_networks=("10.0.0.0/8", "2001:db8::/32"),
    members=(Address("127.0.0.1", 20800),),
)


def head(settings: EdgeSettings) -> list[str]:
    """The lines written in front of sip/data/edge.cfg."""
    return render(settings, RUN)["kamailio.cfg"].split("# The edge of a node")[0].splitlines()


def test_the_edge_listens_by_udp_and_tcp_and_begins_out_of_service() -> None:
    assert head(BASIC) == [
        "debug=1",
        'edge.serving = 0 desc "1: calls are taken"',
        "listen=udp:192.0.2.10:5060",
        "listen=tcp:192.0.2.10:5060",
        "#!define PRESENCE",
    ]


def test_an_advertised_address_is_named_wherever_others_see_it() -> None:
    public = replace(BASIC, listen=(Listen(Address("10.1.1.1", 5060), Address("203.0.113.5", 5070)),))
    files = render(public, RUN)
    assert "listen=udp:10.1.1.1:5060 advertise 203.0.113.5:5070" in files["kamailio.cfg"]
    assert '"sip:lamps@203.0.113.5:5070"' in files["presence.cfg"]
    assert '$si == "10.1.1.1"' in files["presence.cfg"]


def test_workers_are_believed_alive_and_the_peer_dead_until_it_answers() -> None:
    assert render(BASIC, RUN)["dispatcher.list"].splitlines() == [
        "1 sip:127.0.0.1:20000 0 0",
        "1 sip:127.0.0.1:20001 0 0",
        "2 sip:192.0.2.20:5060 9 0 socket=udp:192.0.2.10:5060",
    ]


def test_each_source_is_in_the_group_of_its_trust() -> None:
    assert render(BASIC, RUN)["address.list"].splitlines() == [
        "1 127.0.0.1 32 20000",
        "1 127.0.0.1 32 20001",
        "1 127.0.0.1 32 20900",
        "1 127.0.0.1 32 20800",
        "2 192.0.2.20 32 5060",
        "3 198.51.100.7 32 0 pbx",
        "3 198.51.100.64 26 0 pbx",
        "4 10.0.0.0 8 0",
        "4 2001:db8:: 32 0",
    ]


def test_no_word_in_capitals_is_left_to_fill_in() -> None:
    for text in render(BASIC, RUN).values():
        code = [line for line in text.splitlines() if not line.startswith("#")]
        left = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", "\n".join(code)))
        assert left <= {
            "FROM_INSIDE", "TO_PRESENCE", "L_WARN", "RING_PEER", "RING_HERE", "TO_PHONE", "FROM_PHONE"
        }  # fmt: skip


def test_only_the_presence_server_knows_the_password() -> None:
    holders = [name for name, text in render(BASIC, RUN).items() if ":secret@" in text]
    assert holders == ["presence.cfg"]


def test_without_a_database_there_is_no_presence_server() -> None:
    files = render(replace(BASIC, database=""), RUN)
    assert "presence.cfg" not in files
    assert "#!define PRESENCE" not in files["kamailio.cfg"]


def test_the_same_settings_render_the_same_text() -> None:
    assert render(BASIC, RUN) == render(replace(BASIC), RUN)


@pytest.mark.parametrize(
    "changes",
    [
        {"listen": ()},
        {"listen": (Listen(Address("edge.example", 5060)),)},
        {"workers": (Address("127.0.0.1", 65536),)},
        {"peer": Address("vm2.example", 5060)},
        {"trunks": (Trunk("a b", ("192.0.2.1",)),)},
        {"trunks": (Trunk('x"\nlisten=udp:1.2.3.4:5060', ("192.0.2.1",)),)},
        {"trunks": (Trunk("pbx", ("192.0.2.1/24",)),)},
        {"allowed_networks": ("everywhere",)},
        {"database": 'postgres://edge:x@127.0.0.1/edge")\nloadmodule "exec.so'},
        {"database": "mysql://edge@127.0.0.1/edge"},
        {"calls_per_worker_second": 17},
        {"calls_per_worker_second": 0},
        {"requests_per_source_second": 0},
        {"retry_after": 0},
        {"log_level": "loud"},
    ],
)
def test_settings_that_cannot_work_are_refused_when_made(changes: dict[str, object]) -> None:
    with pytest.raises(EdgeFailed):
        replace(BASIC, **changes)  # type: ignore[arg-type]
    assert issubclass(EdgeFailed, SipError)


@pytest.mark.parametrize("folder", ["/x" * 60, "/a b", '/a"b'])
def test_a_run_directory_that_cannot_hold_the_socket_is_refused(folder: str) -> None:
    with pytest.raises(EdgeFailed):
        render(BASIC, Path(folder))


def test_files_are_readable_by_their_owner_only_and_nothing_else_is_left(tmp_path: Path) -> None:

    for _ in range(2):
        write(BASIC, tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {name: 0o600 for name in render(BASIC, tmp_path)}


def test_only_trunks_that_are_trusted_identify_callers() -> None:
    trunks = (Trunk("pbx", ("192.0.2.5",), trusted=True), Trunk("other", ("192.0.2.6",)))
    text = render(replace(BASIC, trunks=trunks), RUN)["kamailio.cfg"]
    assert '($avp(trunk) == "pbx")' in text
    assert '("" != "")' in render(BASIC, RUN)["kamailio.cfg"]


@pytest.mark.parametrize("secret", ["", "short", 'twenty-one "quotation'])
def test_a_secret_that_would_break_the_file_is_refused(secret: str) -> None:
    with pytest.raises(EdgeFailed):
        replace(BASIC, digest_secret=secret)


def test_both_commands_stay_in_the_foreground_and_keep_to_their_directory() -> None:
    for command, config in ((argv(RUN), "kamailio.cfg"), (presence_argv(RUN), "presence.cfg")):
        assert command[:3] == ["kamailio", "-DD", "-E"]
        assert f"{RUN}/{config}" in command
        assert all(word.startswith(str(RUN)) for word in command if word.startswith("/"))


@pytest.mark.parametrize("text", ["192.0.2.1", "192.0.2.1:", ":5060", "x:5060", "192.0.2.1:99999", ""])
def test_half_an_address_is_refused(text: str) -> None:
    with pytest.raises(EdgeFailed):
        Address.parse(text)


@pytest.mark.parametrize("text", ["192.0.2.1:5060", "[2001:db8::1]:5060"])
def test_an_address_reads_back_as_it_is_written(text: str) -> None:
    assert str(Address.parse(text)) == text
