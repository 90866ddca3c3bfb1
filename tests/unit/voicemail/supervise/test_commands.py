from typing import Any

import pytest

from voicemail.errors import ClusterError, VoicemailError
from voicemail.secrets import Member, Membership
from voicemail.supervise.commands import Commands

MEMBERS = tuple(Member(n, f"vm{n}", f"192.0.2.{n}", 5065, 5432, 5060) for n in (1, 2))


async def run(asked: dict[str, Any]) -> dict[str, Any]:
    return {"done": "here"}


async def ask_peer(asked: dict[str, Any]) -> dict[str, Any]:
    return {"done": "there", "asked": asked}


@pytest.fixture
def commands() -> Commands:
    """Of vm1: one command for any server, one for this one only."""
    made = Commands(lambda: Membership(1, MEMBERS), ask_peer)
    made.add("order", run, addressed=True)
    made.add("look", run)
    return made


@pytest.mark.parametrize("asked", [{}, {"server": ""}, {"server": "vm1"}], ids=str)
async def test_an_order_for_this_server_or_for_none_is_done_here(
    commands: Commands, asked: dict[str, Any]
) -> None:
    assert await commands.answer({"command": "order", **asked}) == {"done": "here"}


async def test_an_order_for_the_other_server_is_done_there(commands: Commands) -> None:
    asked = {"command": "order", "server": "vm2", "yes": True}
    assert await commands.answer(asked) == {"done": "there", "asked": asked}


async def test_what_the_other_server_asks_is_never_passed_on(commands: Commands) -> None:
    assert await commands.answer_peer({"command": "order", "server": "vm2"}) == {"done": "here"}


async def test_what_may_be_asked_only_here_is_refused_to_the_other_server(commands: Commands) -> None:
    assert await commands.answer({"command": "look"}) == {"done": "here"}
    with pytest.raises(ClusterError, match="look can be ordered only on the server itself"):
        await commands.answer_peer({"command": "look"})


async def test_an_unknown_server_is_told_with_those_there_are(commands: Commands) -> None:
    with pytest.raises(ClusterError, match="there is no server 'vm3'; the cluster has vm1 and vm2"):
        await commands.answer({"command": "order", "server": "vm3"})


@pytest.mark.parametrize("name", ["", "none", 7, ["order"], {}], ids=str)
async def test_an_unknown_command_is_told(commands: Commands, name: object) -> None:
    for answer in (commands.answer, commands.answer_peer):
        with pytest.raises(VoicemailError, match="there is no command"):
            await answer({"command": name})
