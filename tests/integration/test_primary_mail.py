"""Notification mails through a real SMTP server."""

import asyncio
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import aiosmtplib
import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from sip.wav import file_ulaw
from store.ids import uuid7
from store.memory import MemoryStore
from store.model import Mark, NewMessage, OutboxItem, User, Work
from tests.fakes.smtp import Faults, MailServer
from voicemail.cluster.certificates import make_authority, make_key, make_request, sign
from voicemail.config import Mail
from voicemail.primary.agenda import Job, Outcome, Verdict
from voicemail.primary.lease import NotPrimary
from voicemail.primary.postman import Postman, SmartHost

ANNA = User(UUID(int=1), "1001", name="Anna", mail="anna@example.com")
SPEECH = file_ulaw(bytes(range(256)) * 300)


class Office:
    """A store with one user, and a postman for the settings given."""

    def __init__(self, mail: Mail) -> None:
        self.store, self.mail = MemoryStore(), mail
        self.postman = Postman(self.store, mail, SmartHost(mail, "vm1"), UTC)

    async def item(self, user: User = ANNA, audio: bytes = SPEECH) -> OutboxItem:
        if user.id not in self.store.state.users:
            await self.store.users.add(user)
        message = NewMessage(uuid7(), user.id, "1007", "Eve", datetime.now(UTC), 9.6)
        await self.store.messages.deposit(message, audio)
        return next(
            i for i in self.store.state.outbox.values() if i.message_id == message.id and i.kind is Work.MAIL
        )

    async def send(self, item: OutboxItem | None = None) -> Outcome:
        item = item or await self.item()
        plan = await self.postman.plan(item)
        (lane,) = plan.lanes
        return await self.postman.perform(Job(lane, plan.subject, (item,)), lambda: None)


def settings(server: MailServer, **changes: object) -> Mail:
    chosen = {"host": server.host, "port": server.port, "sender": "vm@example.com", "timeout": 1.0}
    return Mail(**(chosen | {"message_id_domain": "vm.example.com"} | changes))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailServer]:
    async with MailServer(tmp_path / "mails") as opened:
        yield opened


async def test_a_mail_arrives_as_it_was_written(server: MailServer) -> None:
    office = Office(settings(server))
    item = await office.item()
    assert await office.send(item) == Outcome(Verdict.SENT, "sent")
    (mail,) = server.parsed()
    assert (mail["X-Envelope-From"], mail["X-Envelope-To"]) == ("vm@example.com", "anna@example.com")
    assert mail["Message-ID"] == f"<{item.id}@vm.example.com>"
    (part,) = mail.iter_attachments()
    assert part.get_content_type() == "audio/x-wav" and len(part.get_content()) == 44 + 2 * 256 * 300
    assert not mail.defects


async def test_a_repeat_is_the_same_to_the_byte(server: MailServer) -> None:
    office = Office(settings(server))
    item = await office.item()
    await office.send(item)
    await office.send(replace(item, attempts=3))
    one, two = (path.read_bytes() for path in server.mails())
    assert one == two


@pytest.mark.parametrize(
    ("verb", "fault", "verdict"),
    [
        ("EHLO", "421 4.3.2 shutting down", Verdict.SILENT),
        ("MAIL", "451 4.3.0 later", Verdict.FAILED),
        ("MAIL", "530 5.7.0 authenticate first", Verdict.SILENT),
        ("MAIL", "550 5.7.1 not from you", Verdict.REFUSED),
        ("RCPT", "450 4.2.0 greylisted", Verdict.FAILED),
        ("RCPT", "550 5.1.1 no such user", Verdict.REFUSED),
        ("DATA", "452 4.3.1 disk full", Verdict.FAILED),
        ("DATA", "554 5.6.0 not wanted", Verdict.REFUSED),
        ("DATA", "421 4.3.2 shutting down", Verdict.SILENT),
        ("EHLO", Faults.HANG, Verdict.SILENT),
        ("RCPT", Faults.HANG, Verdict.SILENT),
        ("DATA", Faults.HANG, Verdict.SILENT),
        ("EHLO", Faults.CLOSE, Verdict.SILENT),
        ("DATA", Faults.CLOSE, Verdict.SILENT),
    ],
)
async def test_what_a_failure_means(server: MailServer, verb: str, fault: str, verdict: Verdict) -> None:
    server.faults.by_verb[verb] = fault
    outcome = await Office(settings(server, timeout=0.3)).send()
    assert outcome.verdict is verdict, outcome
    assert not server.mails()


async def test_nobody_there_is_a_silent_host(server: MailServer) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        outcome = await Office(settings(server, port=closed.getsockname()[1])).send()
    assert outcome.verdict is Verdict.SILENT and "onnect" in outcome.text


async def test_a_name_that_does_not_resolve_is_a_silent_host(server: MailServer) -> None:
    assert (await Office(settings(server, host="nobody.invalid")).send()).verdict is Verdict.SILENT


async def test_a_lease_that_ends_while_connecting_sends_nothing(server: MailServer) -> None:
    office = Office(settings(server))
    item = await office.item()

    def refused() -> None:
        raise NotPrimary("over")

    with pytest.raises(NotPrimary):
        await office.postman.perform(Job("mail", item.id, (item,)), refused)
    await asyncio.sleep(0.05)
    assert not server.mails()


async def test_a_message_deleted_meanwhile_and_a_user_without_address_get_no_mail(server: MailServer) -> None:
    office = Office(settings(server))
    item = await office.item()
    assert item.message_id
    await office.store.messages.mark(item.message_id, Mark.DELETE)
    assert (await office.send(item)).text.startswith("nothing sent")
    other = await office.item()
    await office.store.users.change(replace(ANNA, mail=""))
    assert (await office.send(other)).text.startswith("nothing sent")
    await office.store.users.change(replace(ANNA, mail="anna@example.com, eve@evil.example"))
    assert (await office.send(other)).text.startswith("nothing sent")
    assert server.sessions == 0


async def test_a_damaged_recording_is_mailed_without_it(server: MailServer) -> None:
    office = Office(settings(server))
    assert (await office.send(await office.item(audio=b"RIFF"))).verdict is Verdict.SENT
    (mail,) = server.parsed()
    assert "damaged" in mail.get_content()


async def test_names_beyond_ascii_arrive(server: MailServer) -> None:
    office = Office(settings(server))
    assert (await office.send(await office.item(replace(ANNA, name="Änna Ångström")))).verdict is Verdict.SENT
    assert server.parsed()[0]["To"].addresses[0].display_name == "Änna Ångström"


# ---- TLS and AUTH


@pytest.fixture
async def tls_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MailServer]:
    """Offers STARTTLS and asks for a password; its authority is trusted here."""
    now = datetime.now(UTC)
    authority, authority_key = make_authority("test", now)
    key = make_key()
    certificate = sign(authority, authority_key, make_request(key, "mail"), 1, "127.0.0.1", now)
    for name, content in (("ca.pem", authority), ("mail.pem", certificate), ("mail.key", key)):
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "mail.pem", tmp_path / "mail.key")

    def known(*arguments: object) -> AuthResult:
        data = arguments[-1]
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"vm", b"secret")
        return AuthResult(success=right, handled=right)

    (tmp_path / "password").write_text("secret\n")
    options = {
        "tls_context": context,
        "authenticator": known,
        "auth_required": True,
        "require_starttls": True,
    }
    async with MailServer(tmp_path / "mails", **options) as opened:
        yield opened


def tls_settings(server: MailServer, **changes: object) -> Mail:
    password = str(server.folder.parent / "password")
    return settings(server, **({"tls": True, "user": "vm", "password_file": password} | changes))


async def test_with_tls_and_password_a_mail_goes_out(tls_server: MailServer) -> None:
    assert await Office(tls_settings(tls_server)).send() == Outcome(Verdict.SENT, "sent")
    assert len(tls_server.mails()) == 1


@pytest.mark.parametrize(
    "changes", [{"tls": False}, {"user": "eve"}, {"user": ""}, {"password_file": "/gone"}]
)
async def test_what_the_host_does_not_accept_of_us_is_tried_again(
    tls_server: MailServer, changes: dict[str, object]
) -> None:
    outcome = await Office(tls_settings(tls_server, **changes)).send()
    assert outcome.verdict is Verdict.SILENT, outcome
    assert "secret" not in outcome.text and not tls_server.mails()


async def test_a_host_that_cannot_be_verified_gets_nothing(
    tls_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert (await Office(tls_settings(tls_server)).send()).verdict is Verdict.SILENT
    assert not tls_server.mails()


async def test_without_starttls_nothing_is_said_in_clear(server: MailServer) -> None:
    assert (await Office(settings(server, tls=True)).send()).verdict is Verdict.SILENT
    assert not server.mails()


# ---- the sink of ./run


async def test_the_sink_runs_as_a_program_and_keeps_mails_in_order(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "voicemail.sink", "--port", str(port), "--folder", str(tmp_path / "m")]
    sink = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        for number in range(3):
            await _mailed(port, f"Subject: {number}\r\n\r\nhello\r\n")
        kept = sorted((tmp_path / "m").glob("*.eml"))
        assert [path.name for path in kept] == ["000001.eml", "000002.eml", "000003.eml"]
        assert b"Subject: 2" in kept[2].read_bytes()
    finally:
        sink.send_signal(signal.SIGINT)
        said, _ = await asyncio.wait_for(sink.communicate(), 10)
    assert said == b""


async def _mailed(port: int, text: str) -> None:
    """Send one mail, waiting for the server to come up."""
    async with asyncio.timeout(15):
        while True:
            try:
                await aiosmtplib.send(
                    text, sender="a@x", recipients=["b@x"], hostname="127.0.0.1", port=port, start_tls=False
                )
                return
            except OSError:
                await asyncio.sleep(0.05)
