"""`voicemail outbox` and `voicemail mwi`, on a real store, with a scripted node."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from store.ids import uuid7
from store.model import User
from store.postgres import PostgresStore
from tests.fakes.cli import CommandLine
from tests.fakes.store_contract import message
from voicemail import control
from voicemail.config import load
from voicemail.errors import ClusterError
from voicemail.secrets import Membership, NodeFiles, member_of

LAMP = {
    "id": "01890000-0000-7000-8000-000000000001", "kind": "lamp", "mailbox": None, "message": None,
    "created": "2026-03-04T10:00:00+00:00", "tries": 4, "next_try": "2026-03-04T10:09:00+00:00",
    "why": "trunk pbx: answered 404",
}  # fmt: skip
PBX = {
    "destination": "trunk pbx", "state": "answers", "lamps": 2, "to_send": 0, "not_taken": 1, "why": None,
    "answered": "2026-03-04T10:00:00+00:00", "since": None, "tries": None, "next_try": None,
}  # fmt: skip


class ScriptedNode:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any] | Exception] = []

    async def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def voicemail(
    tmp_path: Path, store_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    path = tmp_path / "node.toml"
    path.write_text(
        f'[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "{tmp_path}"\n'
        f'[store]\ndsn = "{store_dsn}"\n'
    )
    (tmp_path / "run").mkdir()
    config = load(path)
    NodeFiles(config).write_membership(Membership(1, (member_of(config, 1),)))
    return CommandLine(path, monkeypatch, capsys)


@pytest.fixture
def node(voicemail: CommandLine) -> Iterator[ScriptedNode]:
    made, loop = ScriptedNode(), asyncio.new_event_loop()
    server = loop.run_until_complete(control.serve(load(voicemail.config), made.answer))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield made
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def item(store_dsn: str) -> UUID:
    """A lamp's row in the outbox, never tried."""

    async def made() -> UUID:
        async with PostgresStore.open(store_dsn, replicated=False) as store:
            user = User(uuid7(), "1001")
            await store.users.add(user)
            await store.messages.deposit(message(user.id), b"")
            (lamp,) = await store.outbox.listed()
            return lamp.item.id

    return asyncio.run(made())


def test_what_was_tried_in_vain_is_listed_with_why_and_the_next_try(
    voicemail: CommandLine, node: ScriptedNode
) -> None:
    silent = {**PBX, "destination": "mail mx:25", "state": "does not answer", "why": "ConnectionRefusedError"}
    answer = {"work": [LAMP], "left_out": 3, "waiting": 9, "destinations": [PBX, silent]}
    node.answers = [answer, answer]
    said = voicemail.good("outbox", "list", "--kind", "lamp")
    assert "trunk pbx: answered 404" in said and LAMP["id"] in said and "and 3 more" in said
    assert "9 left to do, 4 tried in vain." in said and "mail mx:25" in said and "trunk pbx " not in said
    assert json.loads(voicemail.good("outbox", "list", "--all", "--json")) == [LAMP]
    assert [(a["kind"], a["all"]) for a in node.asked] == [("lamp", False), ("", True)]


def test_without_a_primary_the_list_is_that_of_this_servers_store(voicemail: CommandLine, item: UUID) -> None:
    result = voicemail("outbox", "list", "--json")
    assert result.code == 0 and "The Primary cannot be asked" in result.err
    assert [row["id"] for row in json.loads(result.out)] == [str(item)]
    assert json.loads(voicemail("outbox", "list", "--json", "--kind", "mail").out) == []


def test_one_or_all_are_tried_again_and_nothing_else_is_guessed(
    voicemail: CommandLine, node: ScriptedNode
) -> None:
    node.answers = [
        {"said": "1 is tried again now"},
        {"said": "7 are tried again now"},
        ClusterError("no Primary"),
    ]
    assert voicemail.good("outbox", "retry", LAMP["id"]) == "1 is tried again now\n"
    assert voicemail.good("outbox", "retry", "--all") == "7 are tried again now\n"
    assert [asked["id"] for asked in node.asked] == [LAMP["id"], ""]
    assert voicemail.refused("outbox", "retry") == "name one item, or give --all"
    assert voicemail.refused("outbox", "retry", "--all", LAMP["id"]) == "name one item, or give --all"
    assert voicemail.refused("outbox", "retry", "--all") == "no Primary"


def test_what_is_dropped_is_left_no_longer(voicemail: CommandLine, item: UUID) -> None:
    assert voicemail.good("outbox", "drop", str(item)) == f"{item}: dropped\n"
    assert json.loads(voicemail("outbox", "list", "--json").out) == []
    assert "nothing in the outbox has the id" in voicemail.refused("outbox", "drop", str(item))


def test_the_primary_drops_if_there_is_one(voicemail: CommandLine, node: ScriptedNode, item: UUID) -> None:
    node.answers = [{"dropped": True}, {"dropped": False}]
    assert voicemail.good("outbox", "drop", str(item)) == f"{item}: dropped\n"
    assert "perhaps it was done just now" in voicemail.refused("outbox", "drop", str(item))
    assert [(each["command"], each["id"]) for each in node.asked] == [("outbox-drop", str(item))] * 2


@pytest.mark.parametrize("command", ["drop", "retry"])
def test_what_is_no_id_is_told_in_one_line(voicemail: CommandLine, command: str) -> None:
    said = f"outbox {command}: '123' is no id of the outbox; `outbox list` shows them"
    assert voicemail.refused("outbox", command, "123") == said


def test_lamps_are_sent_again_of_what_is_named(voicemail: CommandLine, node: ScriptedNode) -> None:
    node.answers = [{"said": "3 lamps are sent again"}] * 2
    assert voicemail.good("mwi", "resync", "pbx") == "3 lamps are sent again\n"
    voicemail.good("mwi", "resync")
    assert [asked["what"] for asked in node.asked] == ["pbx", ""]


def test_the_state_of_lamps_is_shown_for_people_and_for_scripts(
    voicemail: CommandLine, node: ScriptedNode
) -> None:
    trouble = {"why": "answered 404", "since": "2026-03-04T10:00:00+00:00", "tries": 4, "next_try": None}
    lamp = {"destination": "trunk pbx", "lamp": "2001", "user": "1001", **trouble}
    node.answers = [{"destinations": [PBX], "lamps": [lamp], "not_taken": 5}] * 2
    lines = voicemail.good("mwi", "status").splitlines()
    assert lines[0].startswith("Destination  State    Lamps") and lines[1].startswith("trunk pbx")
    assert "2001  1001  answered 404" in lines[-2] and lines[-1] == "and 4 more"
    assert json.loads(voicemail.good("mwi", "status", "--json"))[0]["lamps"] == [lamp]
