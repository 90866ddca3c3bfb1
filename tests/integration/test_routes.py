"""Mail exchangers, asked of a real name server on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from aiosmtplib import SMTPRecipientRefused

from voicemail.config import Mail, parse
from voicemail.errors import ConfigError
from voicemail.policy.locations import Tls
from voicemail.primary.routes import Dns, Route, places, smart_host


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """`zone`: records by name and type; None for a name that gets no answer, () for a type that fails. Other
    names are none."""

    zone: Mapping[str, Mapping[str, tuple[str, ...]] | None]
    asked: list[str] = field(default_factory=list)
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{kind} {name}")
        records = self.zone.get(name, {})
        if records is None:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name not in self.zone:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif records.get(kind) == ():
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif found := records.get(kind):
            answer.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, found))
        assert self.transport
        self.transport.sendto(answer.to_wire(), source)


ZONE: dict[str, Mapping[str, tuple[str, ...]] | None] = {
    "far.example": {"MX": ("20 b.far.example.", "10 a.far.example.", "10 c.far.example.")},
    "a.far.example": {"A": ("127.0.0.5", "127.0.0.6"), "AAAA": ("::1",)},
    "b.far.example": {"A": ("127.0.0.7",)},
    "plain.example": {"A": ("127.0.0.8",)},
    "old.example": {"A": ("127.0.0.9",), "AAAA": ()},
    "broken.example": {"A": (), "AAAA": ()},
    "nothing.example": {"MX": ("0 .",)},
    "silent.example": None,
    "xn--fr-via.example": {"MX": ("5 a.far.example.",)},
}


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: NameServer(ZONE), ("127.0.0.1", 0))
    yield server
    transport.close()


def names(server: NameServer, chosen: float = 0.0) -> Dns:
    def resolver() -> dns.asyncresolver.Resolver:
        made = dns.asyncresolver.Resolver(configure=False)
        assert server.transport
        made.nameservers, made.port = ["127.0.0.1"], server.transport.get_extra_info("sockname")[1]
        return made

    numbers = iter([chosen, 1 - chosen, chosen, 1 - chosen, 0.0, 0.0])
    return Dns(lambda: next(numbers, 0.0), resolver, within=0.5)


async def test_exchangers_come_by_preference_and_the_same_in_any_order(server: NameServer) -> None:
    found = [list(await names(server, chosen).exchangers("far.example")) for chosen in (0.0, 1.0)]
    assert {each[-1] for each in found} == {"b.far.example"}
    assert sorted(found[0][:2]) == sorted(found[1][:2]) == ["a.far.example", "c.far.example"]


async def test_a_domain_without_exchangers_is_its_own(server: NameServer) -> None:
    found = await places(names(server), Route(domain="plain.example"))
    assert [(each.host, each.address, each.port) for each in found] == [("plain.example", "127.0.0.8", 25)]


async def test_all_addresses_of_all_exchangers_can_be_tried_the_best_first(server: NameServer) -> None:
    found = await places(names(server), Route(domain="far.example"))
    assert {each.address for each in found[:3]} == {"::1", "127.0.0.5", "127.0.0.6"}
    assert [each.address for each in found[3:]] == ["127.0.0.7"]


@pytest.mark.parametrize(
    ("domain", "code"),
    [
        ("nothing.example", 556),
        ("nowhere.example", 550),
        ("[127.0.0.1]", 553),
        ("a" * 64 + ".example", 553),
        ("a..example", 553),
        ("a\r\n.example", 553),
    ],
)
async def test_where_no_mail_can_go_it_is_refused_for_good(
    server: NameServer, domain: str, code: int
) -> None:
    with pytest.raises(SMTPRecipientRefused) as refused:
        await names(server).exchangers(domain)
    assert refused.value.code == code


async def test_a_name_server_that_does_not_answer_is_no_refusal(server: NameServer) -> None:
    with pytest.raises(OSError, match="no answer from the name servers"):
        await names(server).exchangers("silent.example")


async def test_a_name_server_that_fails_for_one_kind_of_address_does_not_hide_the_other(
    server: NameServer,
) -> None:
    (place,) = await places(names(server), Route(domain="old.example"))
    assert place.address == "127.0.0.9"
    with pytest.raises(OSError, match="no answer from the name servers"):
        await places(names(server), Route(domain="broken.example"))


async def test_a_domain_of_other_letters_is_asked_for_in_ascii(server: NameServer) -> None:
    assert await names(server).exchangers("fär.example") == ["a.far.example"]
    assert server.asked == ["MX xn--fr-via.example"]


async def test_a_configured_host_is_known_as_this_machine_knows_it(server: NameServer) -> None:
    found = await places(names(server), Route("localhost", 2525))
    assert "127.0.0.1" in [each.address for each in found] and server.asked == []
    (place,) = await places(names(server), Route("192.0.2.1", 2525))
    assert (place.address, place.port) == ("192.0.2.1", 2525)


async def test_a_configured_host_that_nobody_knows_is_no_refusal(server: NameServer) -> None:
    with pytest.raises((OSError, socket.gaierror)):
        await places(names(server), Route("nobody.invalid", 25))


@pytest.mark.parametrize(
    ("written", "tls"),
    [
        ("true", Tls.VERIFY),
        ("false", Tls.NONE),
        *((f'"{each}"', each) for each in Tls),
    ],
)
def test_the_smart_host_is_spoken_to_as_the_configuration_says(written: str, tls: Tls) -> None:
    node = '[node]\nname = "vm1"\naddress = "192.0.2.1"\ndirectory = "/tmp/x"\n'
    mail = parse(f'{node}[mail]\nhost = "relay.example"\nport = 587\nuser = "vm"\ntls = {written}\n').mail
    route = smart_host(mail)
    assert route == Route("relay.example", 587, tls=tls, user="vm")
    with pytest.raises(ConfigError, match="line 6: mail.tls"):
        parse(f'{node}[mail]\ntls = "maybe"\n')


def test_without_a_smart_host_there_is_no_way_through_one() -> None:
    assert smart_host(Mail()) is None
