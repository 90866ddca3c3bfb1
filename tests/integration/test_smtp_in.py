"""Mails from real clients into mailboxes: what is taken, what is refused, and how much of it."""

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from store.memory import MemoryStore
from store.model import QUARANTINE, MessageKind, Setting
from tests.fakes.parser import read
from tests.fakes.post import ANNA, BEN, DOMAIN, PostOffice, config, filled, mail, post_office, talking
from voicemail import pins
from voicemail.access import session
from voicemail.intake.parser import Bounds
from voicemail.intake.spool import Incoming
from voicemail.intake.wire import Outcome
from voicemail.policy.model import ClassOfService, Quota
from voicemail.vpim.model import Unreadable

A, B = f"1001@{DOMAIN}", f"1002@{DOMAIN}"


class Here:
    """Reads mails in this process."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def parse(self, mail: Path) -> Outcome:
        await self.gate.wait()
        try:
            return read(mail.read_bytes(), Bounds())
        except Unreadable as error:
            return error


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[PostOffice]:
    async with post_office(config(tmp_path), await filled(), Here()) as office:
        await asyncio.sleep(0.05)  # lists and locations are read in the background
        yield office


async def test_a_mail_becomes_a_message(office: PostOffice) -> None:
    await office.send(mail(), [A])
    [message] = await office.listed(ANNA.id)
    assert message.envelope.remote and message.envelope.remote.address == "eve@pbx.example.net"
    assert (message.caller_name, message.seconds, message.envelope.sender) == ("Eve", 1.0, None)
    assert not office.waiting


async def test_one_mail_to_many_and_to_a_list_reaches_each_once(office: PostOffice) -> None:
    await office.send(mail(), [A, B, f"sales@{DOMAIN}", f"7000@{DOMAIN}", f"1001+holiday@{DOMAIN}"])
    assert [len(await office.listed(user.id)) for user in (ANNA, BEN)] == [1, 1]


async def test_a_mail_that_comes_twice_is_one_message(office: PostOffice) -> None:
    await office.send(mail(), [A])
    await office.send(mail(), [A])
    await office.send(mail(name="2@pbx.example.net"), [A])
    assert len(await office.listed(ANNA.id, 2)) == 2
    assert len(office.store.state.messages) == 2


async def test_a_user_who_writes_by_mail_can_be_answered(office: PostOffice) -> None:
    await office.send(mail(sender="anna@example.com"), [B], "anna@example.com")
    [message] = await office.listed(BEN.id)
    assert message.envelope.sender == ANNA.id and message.caller == "1001"


@pytest.mark.parametrize(
    "line, answer",
    [
        ("RCPT TO:<9999@vm.example.com>", "550 5.1.1"),
        ("RCPT TO:<non-mail-user@vm.example.com>", "550 5.1.1"),
        ("RCPT TO:<1001@example.net>", "550 5.7.1"),
        ("RCPT TO:<1001%example.net@vm.example.com>", "550 5.1.1"),
        ("RCPT TO:<1001>", "501 5.1.3"),
        ("RCPT TO:1001@vm.example.com", "501 5.5.2"),
        ("RCPT TO:<1001@vm.example.com> NOTIFY=SOMETIMES", "501 5.5.4"),
        ("RCPT TO:<1001@vm.example.com> FOO=BAR", "555 5.5.4"),
        (
            "RCPT TO:<1001@VM.Example.COM> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;1001@vm.example.com",
            "250 2.1.5",
        ),
        ("RCPT TO:<postmaster>", "250 2.1.5"),
        ("RCPT TO:<voicemail@vm.example.com>", "550 5.1.1"),
        ("VRFY 1001", "252"),
        ("EXPN sales", "502"),
        ("DATA", "503"),
        ("MAIL FROM:<b@example.net>", "503"),
    ],
)
async def test_recipients_are_judged_in_the_dialogue(office: PostOffice, line: str, answer: str) -> None:
    async with talking(office.port) as client:
        await client.hear()
        await client.say("EHLO client")
        await client.say("MAIL FROM:<eve@pbx.example.net>")
        assert (await client.say(line)).startswith(answer)


async def test_reports_are_taken_at_the_address_that_notifications_come_from(office: PostOffice) -> None:
    async with talking(office.port) as client:
        await client.hear()
        await client.say("EHLO client")
        await client.say("MAIL FROM:<>")
        assert (await client.say("RCPT TO:<voicemail@vm.example.com>")).startswith("250")


async def test_what_is_announced(office: PostOffice) -> None:
    async with talking(office.port) as client:
        assert (await client.hear()).startswith("220 vm1.vm.example.com ESMTP")
        said = await client.say("EHLO client")
        for word in (
            "PIPELINING",
            "SIZE 35000000",
            "STARTTLS",
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
        ):
            assert word in said
        assert "AUTH" not in said, "there are no accounts"


ENDS = ("\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\r\n.\r\r\n", "\n.\r", "\n\n.\r\n\n")


@pytest.mark.parametrize("end", ENDS)
async def test_no_payload_smuggles_a_second_mail(office: PostOffice, end: str) -> None:
    second = b"MAIL FROM:<boss@vm.example.com>\r\nRCPT TO:<1002@vm.example.com>\r\nDATA\r\n" + mail(
        name="2@x"
    )
    async with talking(office.port) as client:
        await client.begin()
        answer = await client.say(mail() + end.encode() + second + mail(name="2@x") + b"\r\n.\r\n")
        assert answer.startswith("550 5.5.2")
        assert (await client.say("NOOP")).startswith("250"), (
            "only one answer was given, and the dialogue goes on"
        )
    assert not office.waiting and not office.store.state.messages


async def test_lines_with_dots_and_pipelined_commands(office: PostOffice) -> None:
    async with talking(office.port) as client:
        await client.hear()
        await client.say("EHLO client")
        client.writer.write(
            b"MAIL FROM:<a@example.net> RET=HDRS ENVID=e+2B1 BODY=8BITMIME SMTPUTF8\r\n"
            b"RCPT TO:<1001@vm.example.com> NOTIFY=NEVER\r\nRCPT TO:<8888@vm.example.com>\r\nDATA\r\n"
        )
        assert [(await client.hear())[:3] for _ in range(4)] == ["250", "250", "550", "354"]
        assert (await client.say(mail(more="X: y\r\n")[:-2] + b"..dot\r\n.\r\nQUIT\r\n")).startswith(
            "250 2.0.0"
        )
        assert (await client.hear()).startswith("221")
    assert len(await office.listed(ANNA.id)) == 1


async def test_a_mail_that_is_too_large_is_refused_before_and_after(tmp_path: Path) -> None:
    made = config(tmp_path, more='allowed_networks = ["127.0.0.0/8"]\nlargest_megabytes = 1')
    async with post_office(made, await filled(), Here()) as office, talking(office.port) as client:
        await client.hear()
        await client.say("EHLO client")
        assert (await client.say("MAIL FROM:<a@example.net> SIZE=1000001")).startswith("552 5.3.4")
        await client.say("MAIL FROM:<a@example.net> SIZE=10")
        await client.say(f"RCPT TO:<{A}>")
        await client.say("DATA")
        line = b"x" * 998 + b"\r\n"
        assert (await client.say(mail() + line * 1001 + b".\r\n")).startswith("552 5.3.4")
        await client.say("MAIL FROM:<a@example.net>")
        await client.say(f"RCPT TO:<{A}>")
        await client.say("DATA")
        assert (await client.say(mail() + b"y" * 200_000 + b"\r\n.\r\n")).startswith("554 5.6.0")
    assert not list(office.spool.glob("*.*"))


async def test_who_goes_on_sending_is_hung_up_on(tmp_path: Path) -> None:
    made = config(tmp_path, more='allowed_networks = ["127.0.0.0/8"]\nlargest_megabytes = 1')
    for flood in (b"x" * 998 + b"\r\n", b"y" * 1000):
        async with post_office(made, await filled(), Here()) as office, talking(office.port) as client:
            await client.begin()
            again = f"\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<{A}>\r\nDATA\r\n".encode()
            client.writer.write(mail() + flood * 2100 + again + mail() + b".\r\n")
            assert (await client.hear())[:3] in ("552", "554")
            with suppress(ConnectionError):
                assert await client.hear() == ""
            assert not office.waiting


async def test_a_mail_that_drips_for_ever_is_cut_and_its_rest_is_no_command(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "WHOLE_MAIL", 0.2)
    async with talking(office.port) as client:
        await client.begin()
        client.writer.write(mail())
        dripping = asyncio.create_task(_drip(client.writer, b"NOOP\r\n"))
        assert (await client.hear()).startswith("451 4.4.2")
        with suppress(ConnectionError):
            assert await client.hear() == ""
        dripping.cancel()
    assert not list(office.spool.glob("*.*"))


async def test_a_disk_that_fills_up_meanwhile_refuses_the_mail_and_keeps_the_dialogue(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Incoming, data: object) -> None:
        if not (isinstance(data, bytes) and data.startswith(b"Received: ")):
            raise OSError(28, "No space left on device")

    async with talking(office.port) as client:
        monkeypatch.setattr(Incoming, "write", full)
        await client.begin()
        assert (await client.say(mail() + b".\r\n")).startswith("452 4.3.1")
        assert (await client.say("NOOP")).startswith("250")
        monkeypatch.undo()
        monkeypatch.setattr(Incoming, "keep", full)
        await client.say("MAIL FROM:<a@b.example>", f"RCPT TO:<{A}>", "DATA")
        assert [await client.hear() for _ in range(2)][1].startswith("354")
        assert (await client.say(mail() + b".\r\n")).startswith("452 4.3.1")


async def test_a_mail_in_circles_is_refused(office: PostOffice) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refused:
        await office.send(mail(more="Received: from a by b; today\r\n" * 11), [A])
    assert refused.value.smtp_code == 554 and b"5.4.6" in refused.value.smtp_error  # type: ignore[operator]
    await office.send(mail(more="Received: from a by b; today\r\n" * 10), [A])


async def test_strangers_are_refused_and_locations_send_for_their_own_domain(tmp_path: Path) -> None:
    store = await filled()
    here = store.state.settings
    [key] = [key for key, each in here.items() if each.kind == "location"]
    here[key] = Setting("location", "berlin", here[key].body.replace("127.0.0.9", "127.0.0.1"))
    async with post_office(config(tmp_path, more=""), store, Here()) as office:
        await asyncio.sleep(0.05)
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            await office.send(mail(), [A])
        assert refused.value.smtp_code == 550
        await office.send(mail("2722@berlin.example.org"), [A], "2722@berlin.example.org")
        [message] = await office.listed(ANNA.id)
        assert message.caller == "2722"
        assert [s.name for s in await store.settings.all("contact")] == ["2722@berlin.example.org"]
        await office.send(mail("anna@example.com", name="2@x"), [B], "2722@berlin.example.org")
        [message] = await office.listed(BEN.id)
        assert message.envelope.sender is None, "another system does not speak for our users"
        assert message.envelope.remote and message.envelope.remote.address == "2722@berlin.example.org"
    made = config(tmp_path, more='allowed_networks = ["192.0.2.1"]')
    async with post_office(made, MemoryStore(), Here()) as office, talking(office.port) as client:
        assert (await client.hear()).startswith("554 5.7.1")
        assert await client.hear() == ""


async def test_auth_needs_tls_and_the_right_password_and_makes_the_sender_known(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"# who may send\n1001:{pins.hashed('secret')}\n")
    async with post_office(
        config(tmp_path, more=f'users_file = "{users}"'), await filled(), Here()
    ) as office:
        async with talking(office.port) as client:
            await client.hear()
            assert "AUTH" not in await client.say("EHLO client")
            assert (await client.say("AUTH PLAIN AGEAYg==")).startswith("538")
            assert (await client.say("MAIL FROM:<anna@example.com>")).startswith("530 5.7.0")
        for login in (("1001", "wrong"), ("1002", "secret")):
            with pytest.raises(smtplib.SMTPAuthenticationError):
                await office.send(mail(), [B], login=login)
        await office.send(mail("ben@example.com"), [B], "anything@example.net", login=("1001", "secret"))
        [message] = await office.listed(BEN.id)
        assert message.envelope.sender == ANNA.id


async def test_both_kinds_of_auth_are_spoken_as_clients_do(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"1001:{pins.hashed('secret')}\n")
    made = config(tmp_path, more=f'users_file = "{users}"')

    def dialogue(port: int) -> list[int]:
        codes = []
        with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
            client.starttls(context=ssl._create_unverified_context())
            client.ehlo()
            for line in (
                "AUTH CRAM-MD5", "AUTH PLAIN !!", "AUTH PLAIN AA==", "AUTH LOGIN", "*", "auth login MTAwMQ==",
                "c2VjcmV0", "AUTH PLAIN", "MAIL FROM:<x@example.net>", "RSET", "STARTTLS",
            ):  # fmt: skip
                codes.append(client.docmd(line)[0])
        return codes

    async with post_office(made, await filled(), Here()) as office:
        codes = await asyncio.to_thread(dialogue, office.port)
    assert codes == [504, 501, 501, 334, 501, 334, 235, 503, 250, 250, 503]


async def test_too_many_wrong_passwords_close_the_door(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"1001:{pins.hashed('secret')}\n")

    def guess(port: int) -> list[int]:
        codes = []
        for _ in range(4):
            with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
                client.starttls(context=ssl._create_unverified_context())
                client.ehlo()
                try:
                    for _ in range(3):
                        codes.append(client.docmd("AUTH PLAIN", "ADEwMDEAd3Jvbmc=")[0])
                except smtplib.SMTPServerDisconnected:
                    pass
        return codes

    async with post_office(
        config(tmp_path, more=f'users_file = "{users}"'), await filled(), Here()
    ) as office:
        codes = await asyncio.to_thread(guess, office.port)
        assert codes[:3] == [535, 535, 421] and codes.count(535) <= 7
        with pytest.raises(smtplib.SMTPException):
            await office.send(mail(), [A], login=("1001", "secret"))


async def test_tls_can_be_required(tmp_path: Path) -> None:
    made = config(tmp_path, more='allowed_networks = ["127.0.0.1"]\nrequire_tls = true')
    async with post_office(made, await filled(), Here()) as office:
        with pytest.raises(smtplib.SMTPException):
            await office.send(mail(), [A])
        long = mail() + (b"A" * 76 + b"\r\n") * 40_000
        await office.send(long, [A], tls=True)
        assert len(await office.listed(ANNA.id)) == 1


async def test_nothing_said_before_tls_counts_behind_it(office: PostOffice) -> None:
    def inject() -> list[bytes]:
        with smtplib.SMTP("127.0.0.1", office.port, timeout=5) as client:
            client.ehlo()
            assert client.sock
            client.sock.sendall(b"STARTTLS\r\nMAIL FROM:<a@example.net>\r\n")
            assert client.getreply()[0] == 220
            client.sock = ssl._create_unverified_context().wrap_socket(client.sock)
            client.file = None
            client.sock.sendall(b"RCPT TO:<1001@vm.example.com>\r\n")
            return list(client.getreply()[1:])

    assert b"send HELO first" in (await asyncio.to_thread(inject))[0]


async def test_a_full_mailbox_and_a_busy_one_are_told_at_once(tmp_path: Path) -> None:
    store = await filled()
    small = ClassOfService(quota=Quota(warn=0, no_send=0, no_receive=8000))
    await store.settings.put(Setting(ClassOfService.KIND, "default", small.model_dump_json()))
    made = config(tmp_path, more='allowed_networks = ["127.0.0.1"]\nmails_per_hour_per_mailbox = 1')
    async with post_office(made, store, Here()) as office:
        await office.send(mail(), [A])
        await office.listed(ANNA.id)
        await office.send(mail(), [B])
        [why] = [answer for _, answer in (await refusals(office, [A])).values()]
        assert b"4.2.1" in why
        await office.send(mail(name="4@x"), [f"sales@{DOMAIN}"])
        [why] = [answer for _, answer in (await refusals(office, [f"7000@{DOMAIN}"])).values()]
        assert b"4.2.1" in why, "a list counts as a mailbox, whatever it is called by"
    async with post_office(made, store, Here()) as office:
        [(code, why)] = (await refusals(office, [A])).values()
        assert code == 452 and b"4.2.2" in why


async def test_a_user_whose_own_mailbox_is_full_is_told_at_once(tmp_path: Path) -> None:
    store, users = await filled(), tmp_path / "users"
    users.write_text(f"1001:{pins.hashed('secret')}\n")
    small = ClassOfService(quota=Quota(warn=0, no_send=8000, no_receive=0))
    await store.settings.put(Setting(ClassOfService.KIND, "default", small.model_dump_json()))
    more = f'allowed_networks = ["127.0.0.1"]\nusers_file = "{users}"'
    async with post_office(config(tmp_path, more=more), store, Here()) as office:
        await office.send(mail("anna@example.com"), [B], "anna@example.com")
        await office.send(mail(name="2@x"), [A])
        await office.listed(ANNA.id)
        for sender, login in (("anna@example.com", None), (A, None), ("x@y.example", ("1001", "secret"))):
            with pytest.raises(smtplib.SMTPSenderRefused, match="5.2.2") as refused:
                await office.send(mail(sender, name="3@x"), [B], sender, login=login)
            assert refused.value.smtp_code == 552
        await office.send(mail(name="4@x"), [B])
        store.state.away = True
        await office.send(mail("anna@example.com", name="5@x"), [B], "anna@example.com")
        store.state.away = False
        await office.listed(QUARANTINE)
        assert len(await office.listed(BEN.id, 2)) == 2, "what was taken meanwhile is told afterwards"


async def refusals(office: PostOffice, to: list[str]) -> dict[str, tuple[int, bytes]]:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        await office.send(mail(name="3@x"), to)
    return refused.value.recipients


async def test_a_disk_that_is_nearly_full_takes_no_mail(tmp_path: Path) -> None:
    made = config(tmp_path)
    little = made.model_copy(
        update={"recording": made.recording.model_copy(update={"least_free_megabytes": 10**9})}
    )
    async with post_office(little, await filled(), Here()) as office:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            await office.send(mail(), [A])
        assert refused.value.smtp_code == 452 and b"4.3.1" in refused.value.smtp_error  # type: ignore[operator]


async def test_while_the_store_is_away_known_mailboxes_take_mails(tmp_path: Path) -> None:
    store = await filled()
    async with post_office(config(tmp_path), store, Here()) as office:
        await asyncio.sleep(0.05)
        store.state.away = True
        await office.send(mail(), [A])
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            await office.send(mail(), [f"4711@{DOMAIN}"])
        assert [code for code, _ in refused.value.recipients.values()] == [451]
        assert office.waiting == 1
        store.state.away = False
        assert len(await office.listed(ANNA.id)) == 1 and not office.waiting
    store.state.away = True
    async with post_office(config(tmp_path), store, Here()) as office:
        await office.send(mail(name="2@x"), [A])
        assert office.waiting == 1, "it was known before the restart"


async def test_a_mail_nobody_understands_is_kept_and_its_sender_told_once(office: PostOffice) -> None:
    await office.send(mail(subject="strange"), [A, B], options=("ENVID=abc", "RET=HDRS"))
    await office.send(mail(subject="strange"), [A, B])
    [kept] = await office.listed(QUARANTINE)
    assert kept.envelope.kind is MessageKind.QUARANTINED and kept.envelope.why == "5.6.1 as asked"
    assert (await office.store.messages.audio(kept.id)).endswith(mail(subject="strange"))
    assert len(office.store.state.outbox) == 1
    await office.send(mail(subject="strange", name="2@x"), [A], "")
    await office.send(mail(subject="strange", name="3@x", more="Auto-Submitted: auto-replied\r\n"), [A])
    await office.send(mail(subject="strange", name="4@x"), [A], rcpt_options=("NOTIFY=NEVER",))
    assert len(await office.listed(QUARANTINE, 4)) == 4 and len(office.store.state.outbox) == 1


async def test_a_mailbox_that_vanishes_after_rcpt_is_told_to_the_sender(tmp_path: Path) -> None:
    store, reader = await filled(), Here()
    reader.gate.clear()
    async with post_office(config(tmp_path), store, reader) as office:
        await office.send(mail(), [A, B])
        await store.users.remove(BEN.id)
        reader.gate.set()
        assert len(await office.listed(ANNA.id)) == 1
        [told] = [item for item in store.state.outbox.values() if item.kind == "report"]
        assert '"status": "5.1.1"' in told.payload and B in told.payload and A not in told.payload


async def test_a_source_gets_so_many_connections_and_mails(tmp_path: Path) -> None:
    more = 'allowed_networks = ["127.0.0.1"]\nconnections_per_source = 2\nmails_per_minute_per_source = 2'
    async with post_office(config(tmp_path, more=more), await filled(), Here()) as office:
        async with talking(office.port) as one, talking(office.port) as two, talking(office.port) as three:
            assert [(await each.hear())[:3] for each in (one, two, three)] == ["220", "220", "421"]
        await asyncio.sleep(0.05)
        for number in range(2):
            await office.send(mail(name=f"{number}@x"), [A])
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            await office.send(mail(name="3@x"), [A])
        assert b"4.7.1" in refused.value.smtp_error  # type: ignore[operator]


async def test_slow_and_silent_clients_are_left_and_delay_nobody(tmp_path: Path) -> None:
    more = 'allowed_networks = ["127.0.0.1"]\ntimeout = 0.5'
    async with post_office(config(tmp_path, more=more), await filled(), Here()) as office:
        async with talking(office.port) as silent, talking(office.port) as slow:
            await silent.hear()
            await slow.begin()
            dripping = asyncio.create_task(_drip(slow.writer))
            await office.send(mail(), [A])
            for client in (silent, slow):
                assert (await client.hear(3)).startswith("421 4.4.2")
            dripping.cancel()
        assert len(await office.listed(ANNA.id)) == 1
    assert not list(office.spool.glob("*.part"))


async def _drip(writer: asyncio.StreamWriter, drop: bytes = b"x") -> None:
    while True:
        writer.write(drop)
        await asyncio.sleep(0.05)


async def test_who_guesses_addresses_is_hung_up_on(office: PostOffice) -> None:
    async with talking(office.port) as client:
        await client.hear()
        await client.say("EHLO client")
        await client.say("MAIL FROM:<a@example.net>")
        answers = [await client.say(f"RCPT TO:<{4000 + n}@{DOMAIN}>") for n in range(21)]
        assert answers[0].startswith("550") and answers[-1].startswith("421")
        assert await client.hear() == ""
