"""One node asks the other over the cluster port."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.cluster import LOOPBACK, End, node_config, opened, pair, until
from voicemail.cluster import asking
from voicemail.cluster.asking import PeerUnreachable, ask
from voicemail.cluster.certificates import client_context, joining_context
from voicemail.cluster.join import initialise
from voicemail.errors import ClusterError, RoleRefused
from voicemail.secrets import Member, NodeFiles

QUESTION = {"command": "make-primary", "server": "vm2"}


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[End, End]]:
    async with pair(tmp_path) as ends:
        yield ends


def peer_of(end: End) -> Member:
    peer = end.files.membership().peer
    assert peer
    return peer


async def test_a_question_is_answered_beside_the_keep_alives(both: tuple[End, End]) -> None:
    one, two = both
    one.speak()
    await until(lambda: two.said)
    assert await ask(one.files, peer_of(one), QUESTION) == {"asked": QUESTION}
    heard = len(two.said)
    await until(lambda: len(two.said) > heard + 1)
    assert two.lost == 0 and two.asked == [QUESTION]


async def test_a_refusal_comes_in_the_peers_words(both: tuple[End, End]) -> None:
    one, two = both

    async def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise RoleRefused("vm2 is Deactivated: activate it first")

    two.answers = refuse
    with pytest.raises(ClusterError, match="^vm2 is Deactivated: activate it first$"):
        await ask(one.files, peer_of(one), QUESTION)


async def test_a_peer_that_does_not_answer_in_time_is_told(both: tuple[End, End]) -> None:
    one, two = both

    async def never(_: dict[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    two.answers = never
    with pytest.raises(PeerUnreachable, match=r"vm2 does not answer at .* within 0\.3 s"):
        await ask(one.files, peer_of(one), QUESTION, 0.3)


async def test_nobody_there_is_told(both: tuple[End, End]) -> None:
    one, two = both
    await two.listener.stop()
    with pytest.raises(PeerUnreachable, match=r"vm2 does not answer at [\d.:]+: Connection refused$"):
        await ask(one.files, peer_of(one), QUESTION)


async def test_a_frozen_peer_is_told_of_as_soon_as_it_is_known(
    both: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel takes the connection, nobody else does. However long an answer may take."""
    one, _ = both
    monkeypatch.setattr(asking, "CONNECT", 0.2)
    with socket.create_server((LOOPBACK, 0)) as nobody:
        frozen = replace(peer_of(one), cluster_port=nobody.getsockname()[1])
        with pytest.raises(PeerUnreachable, match=r"vm2 does not answer at .* within 0\.2 s"):
            await ask(one.files, frozen, QUESTION, 280.0)


async def test_a_peer_that_knows_no_questions_is_told(
    both: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an older node does: it takes the line for a bad keep-alive, and goes on hearing good ones."""
    one, two = both
    monkeypatch.setattr(asking, "question_of", lambda _first: None)
    with pytest.raises(PeerUnreachable, match="is it an older version"):
        await ask(one.files, peer_of(one), QUESTION)
    assert two.asked == []


async def test_a_stranger_gets_no_answer(both: tuple[End, End]) -> None:
    """Without a certificate it may only join: its question is a failed try to."""
    _, two = both
    reader, writer = await asyncio.open_connection(LOOPBACK, two.config.cluster.port, ssl=joining_context())
    writer.write(json.dumps(QUESTION).encode() + b"\n")
    assert "asked" not in (await reader.read()).decode()
    writer.close()
    assert two.asked == []


async def test_a_certificate_of_another_cluster_gets_no_answer(both: tuple[End, End], tmp_path: Path) -> None:
    _, two = both
    other = node_config(tmp_path, "elsewhere")
    initialise(other)
    context = client_context(NodeFiles(other))
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises((OSError, ValueError)):
        await asking._exchange(context, peer_of(both[0]), json.dumps(QUESTION).encode() + b"\n")
    assert two.asked == []


async def test_nobody_is_asked_who_is_not_the_peer(both: tuple[End, End], tmp_path: Path) -> None:
    """Another cluster answers at the peer's address."""
    one, _ = both
    other = node_config(tmp_path, "elsewhere")
    initialise(other)
    async with opened(other) as end:
        wrong = Member(2, "vm2", LOOPBACK, other.cluster.port, 0, 0)
        with pytest.raises(PeerUnreachable, match="certificate verify failed"):
            await ask(one.files, wrong, QUESTION)
        own = Member(2, "vm2", LOOPBACK, one.config.cluster.port, 0, 0)
        with pytest.raises(PeerUnreachable, match="it is 'tandem node 1'"):
            await ask(one.files, own, QUESTION)
        assert end.asked == [] == one.asked
