"""Message summaries on their way: a request client sends, softphones and scripted parties receive."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sip.mwi import CONTENT_TYPE, EVENT, Summary, build, parse
from sip.softphone import Softphone
from tests.fakes.sip import Message, Party, Where
from tests.fakes.sip_pool import phone_settings
from tests.fakes.sip_sender import Sender

HEADERS = [("Event", EVENT), ("Subscription-State", "terminated"), ("X-VM-Mailbox", "1002")]
LAMP = {"headers": HEADERS, "content_type": CONTENT_TYPE, "body": build(Summary(2, 1, 1, 0, "sip:1002@vm"))}


@pytest.fixture
async def sender(tmp_path: Path) -> AsyncIterator[Sender]:
    async with Sender(tmp_path, timeout=1.0) as sender:
        yield sender


class Server(Party):
    """Answers requests with a code and headers; silent ones with nothing."""

    def __init__(self, user: str = "server") -> None:
        super().__init__(user)
        self.code, self.extra = 200, [("SIP-ETag", "abc123")]
        self.subscriber: tuple[Message, Where] | None = None

    def on_message(self, message: Message, where: Where) -> None:
        if self.code and message.method in ("NOTIFY", "PUBLISH", "SUBSCRIBE"):
            self.send(message.reply(self.code, "srv", self.extra), where)
        if message.method == "SUBSCRIBE":
            self.subscriber = message, where


async def test_a_trunk_gets_a_notify_as_it_was_written(sender: Sender) -> None:
    async with Softphone(phone_settings()) as trunk:
        code, _ = await sender.send("NOTIFY", f"sip:mwi-1002@127.0.0.1:{trunk.port}", **LAMP)
        assert code == 200
        notify = await trunk.notified(lambda notify: True)
        assert notify.message.method == "NOTIFY"
        assert notify.message.uri == f"sip:mwi-1002@127.0.0.1:{trunk.port}"
        assert notify.message.first("X-VM-Mailbox") == "1002"
        assert notify.message.first("Event") == EVENT
        assert "<sip:vm@vm.example>" in notify.message.first("From")
        assert parse(notify.body) == Summary(2, 1, 1, 0, "sip:1002@vm")


async def test_the_answers_headers_come_back(sender: Sender) -> None:
    async with await Server.open() as server:
        target = f"sip:1002@127.0.0.1:{server.address[1]}"
        code, headers = await sender.send("PUBLISH", target, **LAMP)
        assert (code, headers["sip-etag"]) == (200, "abc123")
        server.code = 412
        code, _ = await sender.send("PUBLISH", target, **LAMP)
        assert code == 412


async def test_a_request_with_a_route_leaves_by_way_of_it(sender: Sender) -> None:
    async with await Server.open() as edge:
        route = f"sip:127.0.0.1:{edge.address[1]};lr"
        code, _ = await sender.send("NOTIFY", "sip:1002@192.0.2.55", route=route, **LAMP)
        assert code == 200
        (seen,) = edge.requests("NOTIFY")
        assert seen.uri == "sip:1002@192.0.2.55"
        assert seen.get("Route").strip("<>") == route


async def test_the_from_can_be_chosen(sender: Sender) -> None:
    async with await Server.open() as server:
        target = f"sip:1002@127.0.0.1:{server.address[1]}"
        await sender.send("PUBLISH", target, identity="sip:other@vm.example", **LAMP)
        assert "<sip:other@vm.example>" in server.requests("PUBLISH")[0].get("From")


async def test_silence_is_a_timeout_and_holds_up_no_other_request(sender: Sender) -> None:
    async with await Server.open() as silent, await Server.open() as server:
        silent.code = 0
        lost = asyncio.create_task(sender.send("NOTIFY", f"sip:1@127.0.0.1:{silent.address[1]}", **LAMP))
        await silent.wait(lambda message: message.method == "NOTIFY")
        began = time.monotonic()
        assert (await sender.send("NOTIFY", f"sip:1@127.0.0.1:{server.address[1]}", **LAMP))[0] == 200
        assert time.monotonic() - began < 0.7
        assert (await lost)[0] == 408


async def test_a_bad_uri_is_an_error_of_that_request_only(sender: Sender) -> None:
    async with await Server.open() as server:
        code, headers = await sender.send("NOTIFY", "not a uri", **LAMP)
        assert code == 0
        assert "EngineError" in headers["error"]
        assert (await sender.send("NOTIFY", f"sip:1@127.0.0.1:{server.address[1]}", **LAMP))[0] == 200


async def test_many_requests_at_once_are_all_answered(tmp_path: Path) -> None:
    async with Sender(tmp_path) as sender, await Server.open() as server:
        target = f"sip:1@127.0.0.1:{server.address[1]}"
        answers = await asyncio.gather(*(sender.send("NOTIFY", target, **LAMP) for _ in range(200)))
        assert {code for code, _ in answers} == {200}


async def test_a_request_client_ends_when_it_is_told_to_also_with_requests_unanswered(sender: Sender) -> None:
    async with await Server.open() as silent:
        silent.code = 0
        lost = asyncio.create_task(sender.send("NOTIFY", f"sip:1@127.0.0.1:{silent.address[1]}", **LAMP))
        await silent.wait(lambda message: message.method == "NOTIFY")
        sender.process.terminate()
        assert await asyncio.wait_for(sender.process.wait(), 3) == 0
        lost.cancel()


async def test_a_phone_subscribes_and_collects_what_it_is_notified_of() -> None:
    async with await Server.open() as server, Softphone(phone_settings()) as phone:
        server.extra = [("Expires", "3600"), ("Contact", server.contact)]
        await phone.subscribe(f"sip:1001@127.0.0.1:{server.address[1]}")
        request = await server.wait(lambda message: message.method == "SUBSCRIBE")
        assert request.get("Event") == EVENT
        dialog = [
            ("From", request.get("To") + ";tag=srv"),
            ("To", request.get("From")),
            ("Call-ID", request.get("Call-ID")),
            ("Event", EVENT),
            ("Subscription-State", "active;expires=3600"),
            ("Content-Type", CONTENT_TYPE),
        ]
        contact = request.get("Contact").strip("<>")
        where = ("127.0.0.1", int(contact.rpartition(":")[2]))
        answer = await server.request("NOTIFY", contact, where, dialog, build(Summary(1)))
        assert answer.code == 200
        notify = await phone.notified(lambda notify: parse(notify.body).new == 1)
        assert notify.message.first("Subscription-State").startswith("active")
