"""Questions of administrators to the Primary's process: by its socket here, or by way of the other node."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from voicemail import control
from voicemail.cluster.roles import Status
from voicemail.config import Config, load
from voicemail.errors import ClusterError, NodeUnreachable, VoicemailError
from voicemail.primary.addresses import socket_of
from voicemail.secrets import Member, Membership
from voicemail.supervise.commands import Commands
from voicemail.supervise.duties import QUESTIONS, Duties

MEMBERS = tuple(Member(n, f"vm{n}", f"192.0.2.{n}", 5065, 5432, 5060) for n in (1, 2))


class Server:
    """One of two nodes, with as much of manager and link as questions need; `process` are those its Primary's
    process was asked."""

    def __init__(self, folder: Path, number: int) -> None:
        self.config, self.number, self.on_duty = configured(folder, number), number, False
        self.other: Server | None = None
        self.process: list[dict[str, Any]] = []
        self.membership = Membership(number, MEMBERS)
        manager: Any = self
        self.duties = Duties(self.config, manager, manager)
        self.commands = Commands(lambda: self.membership, self.ask)
        self.duties.register(self.commands)

    @property
    def status(self) -> Status:
        return Status.PRIMARY if self.on_duty else Status.SECONDARY

    def duty(self, _: float) -> bool:
        return self.on_duty

    def peer(self) -> Any:
        return self.other and SimpleNamespace(status=self.other.status)

    async def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.other is None:
            raise ClusterError("it is silent")
        return await self.other.commands.answer_peer(asked)

    async def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.process.append(asked)
        if asked.get("what") == "wrong":
            raise VoicemailError("no such trunk")
        return {"said": f"done by vm{self.number}" + "!" * asked.get("long", 0)}


def configured(folder: Path, number: int) -> Config:
    path = folder / f"node{number}.toml"
    path.write_text(
        f'[node]\nname = "vm{number}"\naddress = "127.0.0.1"\ndirectory = "{folder / str(number)}"\n'
    )
    (folder / str(number) / "run").mkdir(parents=True)
    return load(path)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    one, two = Server(tmp_path, 1), Server(tmp_path, 2)
    one.other, two.other = two, one
    sockets = [await control.serve_at(socket_of(s.config), s.answer) for s in (one, two)]
    yield one, two
    for each in sockets:
        each.close()
    await one.duties.stop()
    await two.duties.stop()


@pytest.mark.parametrize("primary", [0, 1])
@pytest.mark.parametrize("question", QUESTIONS)
async def test_either_server_has_the_primarys_process_answer(
    pair: tuple[Server, Server], primary: int, question: str
) -> None:
    pair[primary].on_duty = True
    for server in pair:
        answer = await server.commands.answer({"command": question, "what": "pbx"})
        assert answer == {"said": f"done by vm{primary + 1}"}
    assert [asked["what"] for asked in pair[primary].process] == ["pbx", "pbx"]
    assert not pair[1 - primary].process


async def test_what_the_process_refuses_is_told_in_its_words(pair: tuple[Server, Server]) -> None:
    pair[1].on_duty = True
    with pytest.raises(VoicemailError, match="no such trunk"):
        await pair[0].commands.answer({"command": "mwi-resync", "what": "wrong"})


async def test_with_no_primary_the_question_goes_in_no_circle(pair: tuple[Server, Server]) -> None:
    with pytest.raises(ClusterError, match="vm1 is Secondary, and no other server is known to be Primary"):
        await pair[0].commands.answer({"command": "mwi-status"})
    with pytest.raises(ClusterError, match="no other server is known to be Primary"):
        await pair[1].commands.answer_peer({"command": "mwi-status", "passed": True})


async def test_answers_longer_than_a_page_come_whole(pair: tuple[Server, Server]) -> None:
    pair[0].on_duty = True
    answer = await pair[0].commands.answer({"command": "outbox-list", "long": 500_000})
    assert len(answer["said"]) > 500_000


async def test_a_process_that_is_gone_is_said_so(tmp_path: Path) -> None:
    server = Server(tmp_path, 1)
    server.on_duty = True
    with pytest.raises(NodeUnreachable, match="the Primary's process of vm1 does not answer"):
        await server.commands.answer({"command": "mwi-status"})


async def test_a_process_that_hangs_is_waited_for_only_so_long(
    pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(asked: dict[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr("voicemail.supervise.duties.PATIENCE", 0.1)
    server = await control.serve_at(socket_of(pair[0].config), hangs)
    pair[0].on_duty = True
    with pytest.raises(NodeUnreachable, match="within 0.1 s"):
        await pair[0].commands.answer({"command": "mwi-status"})
    server.close()


@pytest.mark.parametrize("primary", [0, 1])
async def test_an_edge_that_was_started_again_has_its_lamps_sent_once_by_whoever_is_primary(
    pair: tuple[Server, Server], primary: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicemail.supervise.duties.SETTLED", 0.2)
    pair[primary].on_duty = True
    for _ in range(3):  # database, presence and edge, one after the other
        pair[1].duties.edge_started()
        await asyncio.sleep(0.1)
    assert not pair[primary].process, "the last one has only just been started"
    async with asyncio.timeout(5):
        while not pair[primary].process:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert [asked["what"] for asked in pair[primary].process] == ["edge 192.0.2.2:5060"]
