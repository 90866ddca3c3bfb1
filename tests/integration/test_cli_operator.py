"""What an operator is asked and told at the command line; the node's side is scripted."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from voicemail import control
from voicemail.cli.app import tree
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status
from voicemail.config import load
from voicemail.errors import RoleRefused


class ScriptedNode:
    """Answers each command with the next of its answers, and remembers what it was asked."""

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
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(f'[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "{tmp_path}"\n')
    monkeypatch.setenv("VOICEMAIL_CONFIG", str(path))
    (tmp_path / "run").mkdir()
    return path


@pytest.fixture
def node(config: Path) -> Iterator[ScriptedNode]:
    made, loop = ScriptedNode(), asyncio.new_event_loop()
    server = loop.run_until_complete(control.serve(load(config), made.answer))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield made
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def run(*words: str, types: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(tree(), ["cluster", *words], input=types)
    return result.exit_code, result.stdout


QUESTION = {"asks": "2 calls in progress on vm2 will be ended. Deactivate vm2 all the same?"}


def test_an_order_is_given_once_and_what_came_of_it_is_said(node: ScriptedNode) -> None:
    node.answers = [{"said": "vm2 is Primary since 12:00:01: an operator made it Primary"}]
    code, said = run("make-primary", "vm2")
    assert (code, said) == (0, "vm2 is Primary since 12:00:01: an operator made it Primary\n")
    assert node.asked == [{"command": "make-primary", "server": "vm2", "yes": False}]


def test_what_costs_calls_is_done_after_a_yes(node: ScriptedNode) -> None:
    node.answers = [QUESTION, {"said": "vm2 is Deactivated"}]
    code, said = run("deactivate", "vm2", types="y\n")
    assert code == 0 and said.endswith("vm2 is Deactivated\n")
    assert [asked["yes"] for asked in node.asked] == [False, True]


@pytest.mark.parametrize("types", ["n\n", "\n", ""], ids=["no", "return", "nobody there"])
def test_what_costs_calls_is_not_done_without_a_yes(node: ScriptedNode, types: str) -> None:
    node.answers = [QUESTION]
    code, said = run("deactivate", "vm2", types=types)
    assert code == 1 and said.strip() == types.strip()  # the terminal echoes what is typed
    assert [asked["yes"] for asked in node.asked] == [False]


def test_yes_on_the_command_line_asks_nothing(node: ScriptedNode) -> None:
    node.answers = [{"said": "vm1 takes no more calls; no call in progress"}]
    assert run("stop-taking-calls", "--yes")[0] == 0
    assert node.asked == [{"command": "stop-taking-calls", "server": "", "yes": True}]


def test_a_refusal_is_an_error(node: ScriptedNode) -> None:
    node.answers = [RoleRefused("vm1 is Primary: make vm2 Primary first")]
    result = CliRunner().invoke(tree(), ["cluster", "deactivate", "vm1"])
    assert result.exit_code == 1 and str(result.exception) == "vm1 is Primary: make vm2 Primary first"


def status_of(busy: int, **more: Any) -> dict[str, Any]:
    row = asdict(KeepAlive(1, Status.PRIMARY, 1, busy=busy, ports=4, **more))
    return {"nodes": [{"name": "vm1", "here": True, **row}], "synchronous": False, "programs": {}}


def test_waiting_for_calls_to_end_shows_how_many_are_left(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicemail.cli.operator.LOOK", 0.01)
    node.answers = [{"said": "drained"}, *(status_of(busy) for busy in (2, 2, 1, 0))]
    code, said = run("stop-taking-calls", "vm1", "--wait")
    lines = ["drained", "calls in progress: 2", "calls in progress: 1", "no call in progress"]
    assert (code, said.splitlines()) == (0, lines)


def test_status_says_when_nobody_takes_calls(node: ScriptedNode) -> None:
    node.answers = [status_of(0), status_of(0, taking_calls=False)]
    assert "No server takes calls." not in run("status")[1]
    assert run("status")[1].splitlines()[-1] == "No server takes calls."
    assert all(asked["details"] for asked in node.asked)


def test_history_is_shown_for_people_and_for_scripts(node: ScriptedNode) -> None:
    entry = {"at": 1.7e9, "was": "Starting", "now": "Primary", "because": "it is the publisher", "epoch": 3}
    node.answers = [{"history": [entry]}, {"history": [entry]}]
    assert "it is the publisher" in run("history", "vm2")[1]
    assert json.loads(run("history", "--json")[1]) == [entry]
    assert [asked["server"] for asked in node.asked] == ["vm2", ""]


@pytest.mark.parametrize("equal", [True, False])
def test_comparing_shows_rows_and_fails_when_a_table_differs(node: ScriptedNode, equal: bool) -> None:
    table = {"table": "message", "here": 3, "there": 3, "equal": equal}
    node.answers = [{"here": "vm1", "there": "vm2", "tables": [table]}] * 2
    code, said = run("compare", "--audio")
    assert code == (0 if equal else 1)
    assert said.splitlines()[:2] == [
        "Table    vm1  vm2  Equal",
        f"message  3    3    {'yes' if equal else 'no'}",
    ]
    assert ("differ in: message" in said) is not equal
    assert json.loads(run("compare", "--json")[1])[0]["tables"] == [table]
    assert [asked["audio"] for asked in node.asked] == [True, False]
