"""Voice messages to domains of others: their exchangers found by a real name server, mails taken by a real
Postfix with certificates of its own, under each policy for TLS."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import dns.asyncresolver
import pytest

from sip import wav
from store.memory import MemoryStore
from store.model import Setting
from tests.fakes.balancer import running_dnsmasq
from tests.fakes.desk import house
from tests.fakes.postfix import Postfix, running_postfix
from tests.fakes.postgres import free_port
from tests.integration.test_post import leaves, primary, until
from voicemail.cluster.certificates import make_authority, make_key, make_request, sign
from voicemail.policy.locations import Location, Tls
from voicemail.primary import post
from voicemail.primary.answers import Answers
from voicemail.primary.routes import Dns

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a Postfix of its own")

HOSTS = ("right", "misnamed", "untrusted", "stripped")
"""Exchangers: one as it should be; with another host's certificate; with one by an authority that nobody
knows here; and behind somebody who takes STARTTLS out of what it offers."""
TAKEN = {
    Tls.NONE: HOSTS,
    Tls.OPPORTUNISTIC: HOSTS,
    Tls.ENCRYPT: ("right", "misnamed", "untrusted"),
    Tls.VERIFY: ("right",),
}
WHY = {
    "verify-misnamed.example": "Hostname mismatch",
    "verify-untrusted.example": "unable to get local issuer certificate",
    "verify-stripped.example": "STARTTLS",
    "encrypt-stripped.example": "STARTTLS",
}
"""What administrators read of a domain that gets no mail."""
USER = "2722"
SOUND = wav.file_ulaw(b"\x40" * 32000)
DOMAINS = {f"{tls}-{host}.example": (tls, host) for tls in Tls for host in HOSTS}


@dataclass(frozen=True, slots=True)
class Far:
    """The hosts of others, and the name server that knows them. Exchangers listen on port 25."""

    postfix: Postfix
    names: Dns

    def mails(self) -> dict[str, EmailMessage]:
        """By the domain that they were for. Raises AssertionError when one came twice."""
        found: dict[str, EmailMessage] = {}
        for path in (self.postfix.mail / USER).glob("new/*"):
            mail = message_from_bytes(path.read_bytes(), policy=policy.default)
            assert isinstance(mail, EmailMessage)
            domain = mail["To"].addresses[0].domain
            assert domain not in found, f"twice to {domain}"
            found[domain] = mail
        return found


def zone(net: str) -> str:
    """Each domain's best exchanger is dead; the next one lives."""
    lines = ["local=/example/", f"host-record=dead.example,{net}.99"]
    lines += [f"host-record={host}.example,{net}.{number}" for number, host in enumerate(HOSTS, 1)]
    for domain, (_, host) in DOMAINS.items():
        lines += [f"mx-host={domain},dead.example,10", f"mx-host={domain},{host}.example,20"]
    return "\n".join(lines) + "\n"


def chain(folder: Path, host: str, authority: tuple[bytes, bytes]) -> Path:
    """Key and certificate of a host, in one file."""
    key = make_key()
    certificate = sign(*authority, make_request(key, host), 1, host, datetime.now(UTC))
    path = folder / f"{host}-{len(list(folder.iterdir()))}.pem"
    path.write_bytes(key + certificate)
    return path


def services(folder: Path, net: str) -> str:
    """Lines of master.cf. The authority's certificate is in `ca.pem` then."""
    known, unknown = (make_authority(name, datetime.now(UTC)) for name in ("known", "unknown"))
    (folder / "ca.pem").write_bytes(known[0])
    certificates = {
        "right": chain(folder, "right.example", known),
        "misnamed": chain(folder, "right.example", known),
        "untrusted": chain(folder, "untrusted.example", unknown),
        "stripped": chain(folder, "stripped.example", known),
    }
    said = ""
    for number, host in enumerate(HOSTS, 1):
        said += f"{net}.{number}:25 inet n - n - - smtpd -o syslog_name={host}\n"
        said += f" -o smtpd_tls_security_level=may -o smtpd_tls_chain_files={certificates[host]}\n"
        if host == "stripped":
            said += " -o smtpd_discard_ehlo_keywords=starttls\n"
    return said


@asynccontextmanager
async def far_hosts(folder: Path) -> AsyncIterator[Far]:
    net, port = f"127.{random.randrange(60, 250)}.{random.randrange(250)}", free_port()

    def resolver() -> dns.asyncresolver.Resolver:
        made = dns.asyncresolver.Resolver(configure=False)
        made.nameservers, made.port = ["127.0.0.1"], port
        return made

    ways = dict.fromkeys(DOMAINS, [USER])
    more = "smtpd_tls_received_header = yes\nsmtp_tls_security_level = none\n"
    with running_postfix(ways, more=more, services=services(folder, net)) as postfix:
        async with running_dnsmasq(zone(net), port):
            yield Far(postfix, Dns(resolver=resolver))


async def there_are(store: MemoryStore, **changed: Tls) -> None:
    """Locations without a host, so that the exchangers of their domains are asked for."""
    for domain, (tls, _) in DOMAINS.items():
        location = Location(domain=domain, tls=changed.get(domain.partition(".")[0], tls))
        await store.settings.put(Setting(Location.KIND, domain, location.model_dump_json()))


async def silent(answers: Answers) -> dict[str, dict[str, Any]]:
    """What `voicemail outbox list` shows of destinations that do not take mails, by domain."""
    listed = (await answers.answer({"command": "outbox-list"}))["destinations"]
    return {row["destination"].removeprefix("post mx "): row for row in listed if row["why"]}


async def tried(answers: Answers, times: int) -> dict[str, dict[str, Any]]:
    """The same, once all that are refused by policy were tried so often."""
    async with asyncio.timeout(5):
        while True:
            found = await silent(answers)
            if found.keys() == WHY.keys() and min(row["tries"] for row in found.values()) >= times:
                return found
            await asyncio.sleep(0.02)


async def test_exchangers_get_a_message_as_the_policy_for_tls_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not go is tried again, and goes when the administrator is content with less."""
    wanted = {domain for domain, (tls, host) in DOMAINS.items() if host in TAKEN[tls]}
    async with house(tmp_path) as home, far_hosts(tmp_path) as far:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        monkeypatch.setattr(post, "FRESH", 0.05)
        await there_are(home.store)
        async with primary(home.store, names=far.names) as answers:
            for domain in DOMAINS:
                await leaves(home.store, f"{USER}@{domain}", SOUND)
            await until(lambda: far.mails().keys() >= wanted)
            for domain, row in (await tried(answers, 1)).items():
                assert WHY[domain] in row["why"] and row["next_try"]
            await answers.answer({"command": "outbox-retry"})
            await tried(answers, 2)
            mails = far.mails()
            assert mails.keys() == wanted
            for domain, mail in mails.items():
                tls, host = DOMAINS[domain]
                assert ("using TLS" in mail["Received"]) is (tls is not Tls.NONE and host != "stripped")
            await there_are(home.store, **{each.partition(".")[0]: Tls.OPPORTUNISTIC for each in WHY})
            await asyncio.sleep(0.1)
            await answers.answer({"command": "outbox-retry"})
            await until(lambda: far.mails().keys() == DOMAINS.keys())
