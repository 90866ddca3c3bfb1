"""The mailer against real SMTP servers: ways, TLS policies, options, slow hosts."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import aiosmtplib
import pytest

from tests.fakes.plain_smtp import PlainServer
from tests.fakes.smtp import MailServer
from voicemail.cluster.certificates import make_authority, make_key, make_request, sign
from voicemail.policy.elsewhere import host_and_port
from voicemail.policy.locations import Tls
from voicemail.primary import kept, smtp_out
from voicemail.primary.agenda import Verdict
from voicemail.primary.lease import NotPrimary
from voicemail.primary.routes import Place, Route, places
from voicemail.primary.smtp_out import Mailer, Parcel, outcome, xtext

MAIL = Parcel(b"Subject: x\r\n\r\n.hello\r\n", "1001@vm.example", "2722@far.example", tracked=True)


@dataclass
class Names:
    """What the DNS says."""

    exchangers_of: Mapping[str, Sequence[str]] = field(default_factory=dict)
    addresses_of: Mapping[str, Sequence[str]] = field(default_factory=dict)

    async def exchangers(self, domain: str) -> Sequence[str]:
        if domain not in self.exchangers_of:
            raise aiosmtplib.SMTPRecipientRefused(550, "5.1.2 there is no such domain", domain)
        return self.exchangers_of[domain]

    async def addresses(self, host: str, configured: bool) -> Sequence[str]:
        return self.addresses_of.get(host, ["127.0.0.1"])


def mailer(names: Names | None = None, timeout: float = 2.0) -> Mailer:
    return Mailer("vm1", timeout, names or Names())


def to(server: PlainServer | MailServer, tls: Tls = Tls.OPPORTUNISTIC, host: str = "127.0.0.1") -> Route:
    return Route(host, server.port, tls=tls)


async def sent(server: PlainServer, parcel: Parcel = MAIL) -> list[str]:
    await mailer().send(parcel, to(server), lambda: None)
    return server.commands


async def test_a_mail_goes_over_as_it_is_and_without_options_nobody_offered() -> None:
    async with PlainServer() as server:
        commands = await sent(server)
    assert commands == ["EHLO vm1", "MAIL FROM:<1001@vm.example>", "RCPT TO:<2722@far.example>", "DATA"]
    assert server.mails == [b"Subject: x\r\n\r\n..hello\r\n"]


async def test_size_and_dsn_are_asked_for_where_they_are_offered() -> None:
    async with PlainServer(("SIZE 1000", "DSN", "8BITMIME", "SMTPUTF8")) as server:
        commands = await sent(server, replace(MAIL, envelope_id="a+b c"))
        assert commands[1:3] == [
            "MAIL FROM:<1001@vm.example> SIZE=22 RET=HDRS ENVID=a+2Bb+20c",
            "RCPT TO:<2722@far.example> NOTIFY=FAILURE,DELAY",
        ]


async def test_a_report_has_the_null_sender_and_asks_for_none() -> None:
    async with PlainServer(("DSN",)) as server:
        commands = await sent(server, replace(MAIL, sender="", tracked=False))
        assert commands[1:3] == ["MAIL FROM:<> RET=HDRS", "RCPT TO:<2722@far.example> NOTIFY=NEVER"]


async def test_eight_bits_and_utf8_only_when_needed() -> None:
    body = replace(MAIL, content="Subject: x\r\n\r\nä\r\n".encode())
    name = replace(MAIL, receiver="änne@fär.example")
    async with PlainServer(("8BITMIME", "SMTPUTF8")) as server:
        assert (await sent(server, body))[1].endswith("> BODY=8BITMIME")
        server.commands.clear()
        commands = await sent(server, name)
        assert commands[1].endswith("> SMTPUTF8") and commands[2] == "RCPT TO:<änne@xn--fr-via.example>"
        server.commands.clear()
        assert "SMTPUTF8" not in (await sent(server, replace(MAIL, receiver="anna@fär.example")))[1]
    async with PlainServer() as old:
        for parcel in (body, name):
            with pytest.raises(aiosmtplib.SMTPNotSupported) as refused:
                await sent(old, parcel)
            assert outcome(refused.value).verdict is Verdict.REFUSED
        assert not old.mails


async def test_what_is_too_big_is_not_even_begun() -> None:
    async with PlainServer(("SIZE 10",)) as server:
        with pytest.raises(aiosmtplib.SMTPSenderRefused) as refused:
            await sent(server)
        assert outcome(refused.value).verdict is Verdict.REFUSED and server.commands == ["EHLO vm1"]


@pytest.mark.parametrize("bad", ["a\r\nRCPT TO:<eve@evil>@b", "a> b@c", "a@b>\n", "nobody", "a b@c", "<a@b"])
async def test_an_address_cannot_bring_a_command_with_it(bad: str) -> None:
    async with PlainServer() as server:
        for parcel in (replace(MAIL, receiver=bad), replace(MAIL, sender=bad)):
            with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
                await sent(server, parcel)
            assert outcome(refused.value).verdict is Verdict.REFUSED
        assert server.connections == 0


@pytest.mark.parametrize(
    ("verb", "answer", "verdict"),
    [
        ("", "554 5.7.1 not you", Verdict.SILENT),
        ("MAIL", "451 4.3.0 later", Verdict.FAILED),
        ("RCPT", "550 5.1.1 no such mailbox", Verdict.REFUSED),
        ("RCPT", "452 4.2.2 full", Verdict.FAILED),
        ("DATA", "421 4.3.2 closing", Verdict.SILENT),
        (".", "554 5.6.0 not wanted", Verdict.REFUSED),
        (".", "451 4.3.0 disk", Verdict.FAILED),
    ],
)
async def test_what_an_answer_means(verb: str, answer: str, verdict: Verdict) -> None:
    async with PlainServer(answers={verb: answer}) as server:
        with pytest.raises(aiosmtplib.SMTPException) as refused:
            await sent(server)
    assert outcome(refused.value).verdict is verdict
    assert answer[4:] in outcome(refused.value).text and not server.mails


# ---- connections that stay open


async def test_the_next_mail_goes_over_the_same_connection() -> None:
    async with PlainServer() as server:
        same = mailer()
        for number in range(3):
            await same.send(replace(MAIL, receiver=f"{number}@far.example"), to(server), lambda: None)
        assert (len(server.mails), server.connections, server.commands.count("EHLO vm1")) == (3, 1, 1)
        await same.send(MAIL, to(server, Tls.NONE), lambda: None)
        assert server.connections == 2, "another way is another connection"


async def test_a_connection_without_mails_is_ended_politely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "IDLE", 0.05)
    async with PlainServer() as server:
        await mailer().send(MAIL, to(server), lambda: None)
        assert "QUIT" not in server.commands
        async with asyncio.timeout(2):
            while "QUIT" not in server.commands:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_so_many_mails_go_over_one_connection_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAILS", 2)
    async with PlainServer() as server:
        same = mailer()
        for _ in range(5):
            await same.send(MAIL, to(server), lambda: None)
        assert (len(server.mails), server.connections) == (5, 3)


async def test_a_host_that_has_hung_up_meanwhile_gets_the_mail_over_a_new_connection() -> None:
    async with PlainServer() as server:
        same, asked = mailer(), 0

        def permit() -> None:
            nonlocal asked
            asked += 1

        await same.send(MAIL, to(server), permit)
        await server.hang_up()
        await same.send(MAIL, to(server), permit)
        assert (len(server.mails), server.connections, asked) == (2, 2, 3)


@pytest.mark.parametrize(
    ("verb", "answer", "connections"),
    [("MAIL", "421 4.7.0 enough", 2), ("RCPT", "421 4.7.0 enough", 2), ("RCPT", "550 5.1.1 no", 1),
     (".", "421 4.3.2 closing", 1)],
)  # fmt: skip
async def test_what_a_host_says_over_a_kept_connection_counts_unless_it_only_closes_it(
    verb: str, answer: str, connections: int
) -> None:
    async with PlainServer() as server:
        same = mailer()
        await same.send(MAIL, to(server), lambda: None)
        server.answers[verb] = answer
        with pytest.raises(aiosmtplib.SMTPException) as refused:
            await same.send(MAIL, to(server), lambda: None)
        assert outcome(refused.value).text.endswith(answer[4:]) and server.connections == connections
        server.answers.clear()
        await same.send(MAIL, to(server), lambda: None)
        assert (len(server.mails), server.connections) == (2, connections + 1)


async def test_without_a_lease_nothing_goes_over_a_kept_connection() -> None:
    def permit() -> None:
        raise NotPrimary("over")

    async with PlainServer() as server:
        same = mailer()
        await same.send(MAIL, to(server), lambda: None)
        with pytest.raises(NotPrimary):
            await same.send(MAIL, to(server), permit)
        assert sum(each.startswith("MAIL") for each in server.commands) == 1


# ---- ways


async def test_the_next_exchanger_is_tried_when_one_is_dead_or_sends_us_away() -> None:
    async with PlainServer(host="127.0.0.2") as good, PlainServer(host="127.0.0.3", port=good.port) as busy:
        busy.answers[""] = "421 4.3.2 too many"
        names = Names(
            {"far.example": ["dead", "busy", "good"]},
            {"dead": ["127.0.0.9"], "busy": ["127.0.0.3"], "good": ["127.0.0.4", "127.0.0.2"]},
        )
        await mailer(names).send(MAIL, Route(port=good.port, domain="far.example"), lambda: None)
        assert (len(good.mails), busy.connections) == (1, 1)


async def test_a_refusal_is_not_taken_to_the_next_exchanger() -> None:
    async with (
        PlainServer(host="127.0.0.2") as first,
        PlainServer(host="127.0.0.3", port=first.port) as second,
    ):
        first.answers["RCPT"] = "550 5.1.1 no"
        names = Names({"far.example": ["a", "b"]}, {"a": ["127.0.0.2"], "b": ["127.0.0.3"]})
        with pytest.raises(aiosmtplib.SMTPRecipientRefused):
            await mailer(names).send(MAIL, Route(port=first.port, domain="far.example"), lambda: None)
        assert second.connections == 0


async def test_a_domain_that_is_none_is_a_refusal() -> None:
    with pytest.raises(aiosmtplib.SMTPRecipientRefused) as refused:
        await mailer().send(MAIL, Route(domain="nowhere.example"), lambda: None)
    assert outcome(refused.value).verdict is Verdict.REFUSED


async def test_places_are_bounded() -> None:
    names = Names(
        {"far.example": [f"mx{n}" for n in range(99)]},
        {f"mx{n}": [f"10.0.{n}.{m}" for m in range(99)] for n in range(99)},
    )
    found = await places(names, Route(domain="far.example"))
    assert len(found) == 20 and found[0] == Place("mx0", "10.0.0.0", 25)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("mail.example", ("mail.example", 25)),
        ("mail.example:2525", ("mail.example", 2525)),
        ("[2001:db8::1]:26", ("2001:db8::1", 26)),
        ("[2001:db8::1]", ("2001:db8::1", 25)),
        ("2001:db8::1", ("2001:db8::1", 25)),
    ],
)
def test_a_host_may_have_a_port(text: str, read: tuple[str, int]) -> None:
    assert host_and_port(text) == read


def test_xtext() -> None:
    assert xtext("a=b+c ä") == "a+3Db+2Bc+20+C3+A4"


# ---- slow hosts


async def test_a_host_of_a_byte_a_second_costs_a_bounded_time() -> None:
    async with PlainServer(rate=1.0) as slow:
        began = time.monotonic()
        with pytest.raises((aiosmtplib.SMTPException, OSError)) as late:
            await mailer(timeout=0.2).send(MAIL, to(slow), lambda: None)
        assert outcome(late.value).verdict is Verdict.SILENT and time.monotonic() - began < 2


async def test_a_host_that_takes_no_data_is_left_without_a_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has not taken yet is not sent to it any more."""
    monkeypatch.setattr(smtp_out, "LEAST_RATE", 10**9)
    taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def read(reader: asyncio.StreamReader) -> bytes:
        await asyncio.sleep(0.4)
        size = 0
        with suppress(ConnectionResetError):
            while more := await reader.read(100_000):
                size += len(more)
        taken.set_result(size)
        raise ConnectionResetError

    async with PlainServer() as slow:
        slow._read = read  # type: ignore[method-assign]
        big = replace(MAIL, content=b"Subject: x\r\n\r\n" + b"a\r\n" * 5_000_000)
        with pytest.raises(TimeoutError):
            await mailer(timeout=0.2).send(big, to(slow), lambda: None)
        assert await asyncio.wait_for(taken, 2) < len(big.content) / 2


# ---- TLS


@asynccontextmanager
async def tls_host(folder: Path, name: str = "127.0.0.1") -> AsyncIterator[MailServer]:
    now = datetime.now(UTC)
    authority, authority_key = make_authority("test", now)
    key = make_key()
    certificate = sign(authority, authority_key, make_request(key, "mail"), 1, name, now)
    for file, content in (("ca.pem", authority), ("mail.pem", certificate), ("mail.key", key)):
        (folder / file).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "mail.pem", folder / "mail.key")
    async with MailServer(folder / "mails", tls_context=context) as server:
        yield server


@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("tls", Tls)
async def test_each_policy_for_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: Tls, trusted: bool, offered: bool
) -> None:
    arrives = tls in (Tls.NONE, Tls.OPPORTUNISTIC) or (offered and (trusted or tls is Tls.ENCRYPT))
    async with tls_host(tmp_path) as secure, MailServer(tmp_path / "plain") as plain:
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        server = secure if offered else plain
        try:
            await mailer().send(MAIL, to(server, tls), lambda: None)
        except (aiosmtplib.SMTPException, OSError) as error:
            assert outcome(error).verdict is Verdict.SILENT
        assert len(server.mails()) == arrives


async def test_a_certificate_for_another_name_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tls_host(tmp_path, "192.0.2.1") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with pytest.raises(ssl.SSLCertVerificationError):
            await mailer().send(MAIL, to(server, Tls.VERIFY), lambda: None)
        assert not server.mails()


async def test_a_handshake_that_fails_is_repeated_in_clear_where_that_is_allowed() -> None:
    async with PlainServer(("STARTTLS",), answers={"STARTTLS": "454 4.7.0 not now"}) as server:
        await mailer().send(MAIL, to(server), lambda: None)
        assert (len(server.mails), server.connections) == (1, 2)
        with pytest.raises(OSError):
            await mailer().send(MAIL, to(server, Tls.ENCRYPT), lambda: None)
    assert len(server.mails) == 1


async def test_a_password_is_not_sent_in_clear(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    async with PlainServer(("AUTH PLAIN",)) as server:
        route = replace(to(server), user="vm", password_file=str(tmp_path / "password"))
        with pytest.raises(aiosmtplib.SMTPException, match="clear"):
            await mailer().send(MAIL, route, lambda: None)
        assert server.commands == ["EHLO vm1"]
