"""The Primary's process as it runs: fed on stdin, with a real PostgreSQL, a real edge, a PBX that keeps
lamps, a phone that SUBSCRIBEs, and a mail server."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from sip.edge import Address
from sip.mwi import Summary, parse
from sip.wav import file_ulaw
from store.features import SCHEMA
from store.ids import uuid7
from store.model import Mark, NewMessage, Setting, User
from store.postgres import PostgresStore
from tests.fakes.edge import TRUNK, RunningEdge, Scene, free_port, until
from tests.fakes.postgres import RunningServer, running_server
from tests.fakes.sip import Message, Party
from tests.fakes.smtp import MailServer
from tests.integration.test_webhook import says, serving
from voicemail import control
from voicemail.config import load
from voicemail.policy.devices import Attachment, Device, DeviceKind, MailFormat
from voicemail.policy.house import ALTERNATE
from voicemail.primary.addresses import REQUEST_PORT, request_address, socket_of
from voicemail.secrets import Membership, NodeFiles, member_of

ANNA = User(UUID(int=1), "1001", name="Anna", mail="anna@example.com")
BEN = User(UUID(int=2), "1002")
SPEECH = file_ulaw(bytes(range(256)) * 100)

CONFIG = """
[node]
name = "vm1"
address = "127.0.0.1"
directory = "{folder}"
[sip]
port = {edge_port}
worker_port = {worker_port}
[store]
dsn = "{dsn}"
[mail]
host = "127.0.0.1"
port = {mail_port}
sender = "vm@example.com"
message_id_domain = "vm.example.com"
timeout = 2
[[trunk]]
name = "pbx"
addresses = ["{pbx_host}"]
lamp_uri = "sip:mwi-{{extension}}@{pbx_host}:{pbx_port}"
lamp_headers = {{ "X-VM-Mailbox" = "{{extension}}" }}
"""


@dataclass
class House:
    """One node without calls: everything the Primary's process talks to, and the process."""

    store: PostgresStore
    edge: RunningEdge
    pbx: Party
    phone: Party
    mail: MailServer
    config: Path
    presence: RunningServer
    process: asyncio.subprocess.Process | None = None
    duty: dict[str, object] = field(default_factory=lambda: {"duty": True, "epoch": 1, "peer_edge": None})

    async def feed(self) -> None:
        """What the supervisor writes."""
        while self.process and self.process.stdin:
            self.process.stdin.write(json.dumps(self.duty | {"at": time.monotonic()}).encode() + b"\n")
            await asyncio.sleep(0.2)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        command = [sys.executable, "-m", "voicemail.primary.service", str(self.config)]
        with self.config.with_suffix(".log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log
            )
        feeding = asyncio.create_task(self.feed())
        try:
            yield self.process
        finally:
            feeding.cancel()
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()

    async def deposit(self, user: User = ANNA) -> tuple[UUID, float]:
        """A new message; its id, and when the deposit returned."""
        message = NewMessage(uuid7(), user.id, "1007", "Eve", datetime.now(UTC), 3.2)
        await self.store.messages.deposit(message, SPEECH)
        return message.id, time.monotonic()

    async def subscribe(self, extension: str) -> None:
        headers = [("Event", "message-summary"), ("Accept", "application/simple-message-summary")]
        uri = f"sip:{extension}@{self.edge.uri}"
        answer = await self.phone.request("SUBSCRIBE", uri, self.edge.where, [*headers, ("Expires", "600")])
        assert answer.code == 200

    async def lamp(
        self, party: Party, extension: str, shows: Callable[[Summary], bool], seconds: float = 5.0
    ) -> float:
        """When the NOTIFY that shows this came (monotonic). Raises TimeoutError."""
        found: list[float] = []

        async def seen() -> bool:
            for at, message in party.received:
                if message.method == "NOTIFY" and not message.code and message.body and not found:
                    about = message.uri + message.get("To") + message.body
                    if extension in about and shows(parse(message.body)):
                        found.append(at)
            return bool(found)

        await until(seen, seconds)
        return found[0]

    async def ask(self, command: str, **more: object) -> dict[str, Any]:
        """The running process, as the supervisor asks it."""
        return await control.ask_at(socket_of(load(self.config)), "the process", {"command": command, **more})

    async def settled(self, seconds: float = 10.0) -> None:
        async def empty() -> bool:
            return await self.store.outbox.pending() == 0

        await until(empty, seconds)


@pytest.fixture(scope="module")
def presence_database() -> Iterator[RunningServer]:
    with running_server() as server:
        server.load_edge_schema()
        yield server


@pytest.fixture
async def house(store_dsn: str, presence_database: RunningServer, tmp_path: Path) -> AsyncIterator[House]:
    worker_port = free_port() - REQUEST_PORT
    settings = presence_database.settings
    url = f"postgres://edge:{settings.passwords.edge}@127.0.0.1:{settings.port}/edge"
    async with Scene() as scene, PostgresStore.open(store_dsn, replicated=False) as store:
        mail = await scene.stack.enter_async_context(MailServer(tmp_path / "mails"))
        pbx, phone = await scene.party(TRUNK), await scene.party()
        workers = await scene.workers(1)
        members = (Address("127.0.0.1", worker_port + REQUEST_PORT),)
        edge = await scene.edge(workers, database=url, members=members)
        path = tmp_path / "node.toml"
        path.write_text(
            CONFIG.format(
                folder=tmp_path,
                edge_port=edge.where[1],
                worker_port=worker_port,
                dsn=store_dsn,
                mail_port=mail.port,
                pbx_host=TRUNK,
                pbx_port=pbx.address[1],
            )
        )
        config = load(path)
        assert request_address(config) == members[0]
        NodeFiles(config).write_membership(Membership(1, (member_of(config, 1),)))
        for user in (ANNA, BEN):
            await store.users.add(user)
        yield House(store, edge, pbx, phone, mail, path, presence_database)


async def test_a_deposit_lights_the_pbxs_and_the_phones_lamp_and_is_mailed(house: House) -> None:
    async with house.running():
        await house.lamp(house.pbx, "1001", lambda s: s.new == 0, 15)
        await house.subscribe("1001")
        message, _ = await house.deposit()
        await house.lamp(house.pbx, "1001", lambda s: (s.new, s.old) == (1, 0))
        await house.lamp(house.phone, "1001", lambda s: (s.new, s.old) == (1, 0))
        await house.settled()
        (mail,) = house.mail.parsed()
        assert mail["Subject"].startswith("New voice message from Eve (1007)")
        await house.store.messages.mark(message, Mark.READ)
        await house.lamp(house.pbx, "1001", lambda s: (s.new, s.old) == (0, 1))
        await house.lamp(house.phone, "1001", lambda s: (s.new, s.old) == (0, 1))
    notify = next(m for m in house.pbx.requests("NOTIFY") if "1001" in m.uri)
    assert notify.uri == f"sip:mwi-1001@{TRUNK}:{house.pbx.address[1]}"
    assert (notify.get("X-VM-Mailbox"), notify.get("Event")) == ("1001", "message-summary")


async def test_lamps_follow_deposits_within_tenths_of_a_second(house: House) -> None:
    """Measured, and bounded generously: 50 deposits, one after the other."""
    async with house.running():
        await house.lamp(house.pbx, "1001", lambda s: s.new == 0, 15)
        await house.subscribe("1001")
        waits = []
        for number in range(1, 51):
            _, begun = await house.deposit()
            trunk = await house.lamp(house.pbx, "1001", lambda s, n=number: s.new == n)
            phone = await house.lamp(house.phone, "1001", lambda s, n=number: s.new == n)
            waits.append((trunk - begun, phone - begun))
        trunks, phones = (sorted(w) for w in zip(*waits, strict=True))
        print(f"deposit -> NOTIFY at the PBX: p50 {trunks[25] * 1000:.1f} ms, p98 {trunks[48] * 1000:.1f} ms")
        print(
            f"deposit -> NOTIFY at the phone: p50 {phones[25] * 1000:.1f} ms, p98 {phones[48] * 1000:.1f} ms"
        )
        assert trunks[25] < 0.3 and phones[25] < 0.3
        await house.settled()
        assert len(house.mail.mails()) == 50


async def test_a_process_without_duty_does_nothing_and_takes_over_at_once_when_told(house: House) -> None:
    house.duty["duty"] = False
    async with house.running():
        await house.deposit()
        await asyncio.sleep(2.5)
        assert not house.pbx.received and not house.mail.mails()
        house.duty |= {"duty": True, "epoch": 2}
        told = time.monotonic()
        assert await house.lamp(house.pbx, "1001", lambda s: s.new == 1) - told < 4.0
        await house.settled()


async def test_when_the_supervisor_is_gone_so_is_the_process(house: House) -> None:
    async with house.running() as process:
        await house.lamp(house.pbx, "1001", lambda s: s.new == 0, 15)
        assert process.stdin
        process.stdin.close()
        async with asyncio.timeout(5):
            assert await process.wait() == 0


async def test_a_killed_process_leaves_its_work_to_the_next_with_the_same_message_ids(house: House) -> None:
    for _ in range(30):
        await house.deposit()
    async with house.running() as process:
        await until(lambda: _at_least(house, 5), 15)
        process.kill()
        await process.wait()
    first = len(house.mail.mails())
    house.duty["epoch"] = 2
    async with house.running():
        await house.settled(20)
    ids = [mail["Message-ID"] for mail in house.mail.parsed()]
    assert len(set(ids)) == 30
    assert first >= 5 and len(ids) <= 31, "at most the one in hand is repeated"


async def _left(house: House, count: int) -> bool:
    return await house.store.outbox.pending() == count


async def _at_least(house: House, count: int) -> bool:
    return len(house.mail.mails()) >= count


async def test_a_silent_pbx_delays_neither_phones_nor_mail(house: House) -> None:
    async with house.running():
        await house.lamp(house.pbx, "1001", lambda s: s.new == 0, 15)
        await house.subscribe("1001")
        await house.subscribe("1002")
        house.pbx.on_message = lambda message, where: None  # type: ignore[method-assign]
        for user in (ANNA, BEN):
            _, begun = await house.deposit(user)
            assert await house.lamp(house.phone, user.extension, lambda s: s.new == 1) - begun < 2.0
        await until(lambda: _at_least(house, 1))
        await until(lambda: _left(house, 2))  # the PBX is still owed
        (pbx,) = [
            row for row in (await house.ask("mwi-status"))["destinations"] if "pbx" in row["destination"]
        ]
        assert pbx["lamps"] == 2 and pbx["to_send"] >= 1


async def test_an_edge_that_lost_its_publications_gets_them_anew(house: House) -> None:
    async with house.running():
        await house.lamp(house.pbx, "1001", lambda s: s.new == 0, 15)
        await house.subscribe("1001")
        await house.deposit()
        await house.lamp(house.phone, "1001", lambda s: s.new == 1)
        house.edge.stop("presence")
        house.edge.start("presence")
        await house.deposit()
        await house.lamp(house.phone, "1001", lambda s: s.new == 2, 20)


async def test_a_phone_is_told_at_once_of_no_messages_also_under_a_further_number(house: House) -> None:
    await house.store.agree(SCHEMA)
    await house.store.settings.put(Setting(ALTERNATE, "4001", json.dumps({"user": str(ANNA.id)})))
    async with house.running():
        await house.lamp(house.pbx, "1002", lambda s: s.new == 0, 15)
        for number in ("1002", "4001"):
            await until(lambda number=number: _published(house, number))
            begun = time.monotonic()
            await house.subscribe(number)
            first = await house.phone.wait(lambda message: message.method == "NOTIFY" and not message.code)
            assert parse(first.body).new == 0 and time.monotonic() - begun < 2.0
        await house.deposit(ANNA)
        await house.lamp(house.phone, "4001", lambda s: s.new == 1)


async def _published(house: House, number: str) -> bool:
    """The Primary has told the edge about this number."""
    with psycopg.connect(house.presence.conninfo("edge", "edge")) as connection:
        return bool(connection.execute("select 1 from presentity where username = %s", (number,)).fetchone())


async def test_publications_that_were_lost_are_rebuilt_when_the_edge_is_reported_to_be_back(
    house: House,
) -> None:
    async with house.running():
        await house.lamp(house.pbx, "1002", lambda s: s.new == 0, 15)
        await house.deposit()
        await house.settled()
        await until(lambda: _published(house, "1001"))
        with psycopg.connect(house.presence.conninfo("edge", "edge")) as connection:
            connection.execute("delete from presentity")
        edge = f"edge {house.edge.uri}"
        assert "2 lamps" in (await house.ask("mwi-resync", what=edge))["said"]
        await until(lambda: _published(house, "1001"))
        await house.subscribe("1001")
        first = await house.phone.wait(lambda message: message.method == "NOTIFY" and not message.code)
        assert parse(first.body).new == 1


async def test_a_lamp_the_pbx_does_not_know_is_shown_and_tried_again_when_asked(house: House) -> None:
    answers = house.pbx.on_message
    async with house.running():
        await house.lamp(house.pbx, "1001", lambda s: s.new == 0, 15)
        house.pbx.on_message = refusing("1001", house.pbx)  # type: ignore[method-assign]
        await house.deposit()
        await until(lambda: _refused(house))
        (lamp,) = (await house.ask("mwi-status"))["lamps"]
        assert (lamp["destination"], lamp["lamp"], lamp["why"]) == ("trunk pbx", "1001", "answered 404")
        await until(lambda: _postponed(house))
        (row,) = (await house.ask("outbox-list", kind="lamp"))["work"]
        assert "404" in row["why"] and row["next_try"]
        house.pbx.on_message = answers  # type: ignore[method-assign]
        await house.ask("outbox-retry")
        await house.lamp(house.pbx, "1001", lambda s: s.new == 1)
        await house.settled()
        assert not (await house.ask("mwi-status"))["lamps"]


def refusing(number: str, pbx: Party) -> Callable[[Message, tuple[str, int]], None]:
    """A PBX that does not know this lamp."""
    takes = pbx.on_message

    def on_message(message: Message, where: tuple[str, int]) -> None:
        if message.method == "NOTIFY" and not message.code and number in message.uri:
            pbx.send(message.reply(404), where)
        else:
            takes(message, where)

    return on_message


async def _postponed(house: House) -> bool:
    return bool((await house.ask("outbox-list", kind="lamp"))["work"])


async def _refused(house: House) -> bool:
    return bool((await house.ask("mwi-status"))["lamps"])


async def test_a_killed_process_leaves_devices_to_the_next_with_the_same_ids(house: House) -> None:
    """A page with MP3 by mail, a reminder, and a web server: 15 messages, the process killed twice."""
    mail = Device(kind=DeviceKind.MAIL, enabled=True, format=MailFormat.HTML, attachment=Attachment.MP3)
    await house.store.agree(SCHEMA)
    async with serving(says(b"HTTP/1.1 204 No Content\r\n\r\n")) as (server, place):
        address = f"http://127.0.0.1:{place.port}/hook"
        hook = Device(kind=DeviceKind.WEBHOOK, enabled=True, address=address, secret="0123456789abcdef")
        for name, device in (("mail", mail), ("hook", hook)):
            body = device.model_dump_json()
            await house.store.settings.put(Setting(Device.KIND, name, body, ANNA.id))
        for _ in range(15):
            await house.deposit()
        for least in (3, 8):
            async with house.running() as process:
                await until(lambda least=least: _at_least(house, least), 20)
                process.kill()
                await process.wait()
            house.duty["epoch"] = int(str(house.duty["epoch"])) + 1
        async with house.running():
            await house.settled(40)
        ids = [str(each["Message-ID"]) for each in house.mail.parsed()]
        told = [json.loads(body)["id"] for _, body in server.requests]
    assert len(set(ids)) == len(set(told)) == 15
    print(f"repeats after two kills: {len(ids) - 15} mails, {len(told) - 15} webhooks")
    assert len(ids) <= 15 + 2 * 5 and len(told) <= 15 + 2 * 2, "only what was in hand"
    (sound,) = house.mail.parsed()[0].iter_attachments()
    assert sound.get_content_type() == "audio/mpeg"
