"""The balancer's files, and the commands that write what stands in front of a cluster."""

from pathlib import Path

import pytest

from tests.fakes.cli import CommandLine
from voicemail.config import load, parse
from voicemail.deploy.balancer import balancer, render
from voicemail.errors import ConfigError, VoicemailError
from voicemail.secrets import Member, Membership, NodeFiles

MEMBERS = (
    Member(1, "vm1", "192.0.2.11", 5065, 5432, 5060),
    Member(2, "vm2", "2001:db8::12", 5065, 5432, 5070),
)


@pytest.fixture
def voicemail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    """On a node that knows both members."""
    path = tmp_path / "node.toml"
    path.write_text(f'[node]\nname = "vm1"\naddress = "192.0.2.11"\ndirectory = "{tmp_path}"\n')
    NodeFiles(load(path)).write_membership(Membership(1, MEMBERS))
    return CommandLine(path, monkeypatch, capsys)


def test_it_sends_each_edge_its_share_in_percent_from_one_socket() -> None:
    files = render(balancer("192.0.2.20:5060", MEMBERS, (2, 1)), Path("/etc/kamailio"))
    assert files["dispatcher.list"].splitlines() == [
        "1 sip:192.0.2.11:5060 0 0 weight=67;socket=udp:192.0.2.20:5060",
        "1 sip:[2001:db8::12]:5070 0 0 weight=33;socket=udp:192.0.2.20:5060",
    ]


@pytest.mark.parametrize(
    ("weights", "percent"), [((), [50, 50]), ((0, 5), [1, 99]), ((70, 30), [70, 30]), ((1000, 1), [99, 1])]
)
def test_shares_make_a_hundred_and_none_is_zero(weights: tuple[int, ...], percent: list[int]) -> None:
    made = balancer("192.0.2.20:5060", MEMBERS, weights)
    assert [share for _, share in made.edges] == percent


def test_it_listens_by_udp_and_tcp_and_leaves_no_word_unfilled() -> None:
    config = render(balancer("[2001:db8::1]:5070", MEMBERS), Path("/etc/kamailio"))["kamailio.cfg"]
    assert config.startswith("listen=udp:[2001:db8::1]:5070\nlisten=tcp:[2001:db8::1]:5070\n")
    assert '"list_file", "/etc/kamailio/dispatcher.list"' in config
    assert '"sip:balancer@[2001:db8::1]"' in config
    assert "SOURCE_FLOOD" not in config and "DIRECTORY" not in config


@pytest.mark.parametrize(
    "listen", ["", "192.0.2.20", "vm.example:5060", "192.0.2.20:99999", "192.0.2.11:5060"]
)
def test_it_cannot_listen_just_anywhere(listen: str) -> None:
    with pytest.raises(VoicemailError):
        balancer(listen, MEMBERS)


def test_a_directory_that_would_break_its_configuration_is_refused() -> None:
    with pytest.raises(VoicemailError):
        render(balancer("192.0.2.20:5060", MEMBERS), Path('/etc/"x'))


def test_the_command_prints_records_of_the_members(voicemail: CommandLine) -> None:
    printed = voicemail.good("deploy", "dns", "--domain", "vm.example", "--weights", "70,30", "--ttl", "9")
    assert "$TTL 9" in printed
    assert "_sip._udp.vm.example. SRV 10 70 5060 vm1.vm.example." in printed
    assert "SOA" not in printed
    whole = voicemail.good("deploy", "dns", "--domain", "vm.example", "--name-server", "ns.example")
    assert "vm.example. NS ns.example." in whole


def test_the_domain_may_come_from_the_configuration_and_must_come_from_somewhere(
    voicemail: CommandLine,
) -> None:
    assert "--domain" in voicemail.refused("deploy", "dns")
    voicemail.config.write_text(voicemail.config.read_text() + '[sip]\ndomain = "calls.example"\n')
    assert "naptr-record=calls.example," in voicemail.good("deploy", "dns", "--format", "dnsmasq")


def test_weights_that_are_no_numbers_are_told(voicemail: CommandLine) -> None:
    assert "70,30" in voicemail.refused("deploy", "dns", "--domain", "vm.example", "--weights", "much")


def test_the_command_writes_a_balancer_and_says_who_must_believe_it(
    voicemail: CommandLine, tmp_path: Path
) -> None:
    out = tmp_path / "front"
    words = ("deploy", "kamailio-balancer", "--listen", "192.0.2.20:5060", "--out", str(out))
    for _ in range(2):
        assert 'put "192.0.2.20:5060" into sip.balancers' in voicemail.good(*words)
    assert sorted(path.name for path in out.iterdir()) == ["dispatcher.list", "kamailio.cfg"]
    assert str(out / "dispatcher.list") in (out / "kamailio.cfg").read_text()


@pytest.mark.parametrize("place", ["192.0.2.20", "192.0.2.20:0", "192.0.2.20:x", "front:5060", "[::1:5060x"])
def test_a_balancer_that_is_believed_has_an_address_and_a_port(place: str, tmp_path: Path) -> None:
    node = f'[node]\nname = "vm1"\naddress = "192.0.2.11"\ndirectory = "{tmp_path}"\n'
    with pytest.raises(ConfigError, match=r"line 6: sip.balancers"):
        parse(f'{node}[sip]\nbalancers = ["{place}"]\n')
    assert parse(f'{node}[sip]\nbalancers = ["[::1]:5060"]\n').sip.balancers == ("[::1]:5060",)
