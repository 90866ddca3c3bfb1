"""Keep-alives over real TLS on loopback."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.fakes.cluster import LOOPBACK, End, node_config, opened, pair, until
from voicemail.cluster import join, keepalive
from voicemail.cluster.certificates import client_context, joining_context, make_key, make_request, sign
from voicemail.cluster.hearing import CLOSED
from voicemail.secrets import NodeFiles, write_private


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[End, End]]:
    async with pair(tmp_path) as ends:
        yield ends


def renumbered(files: NodeFiles, publisher: NodeFiles, number: int) -> None:
    """Give a node a certificate of the cluster with another number."""
    key = make_key()
    request = make_request(key, "x")
    made = sign(
        publisher.ca.read_bytes(), publisher.ca_key.read_bytes(), request, number, LOOPBACK, datetime.now(UTC)
    )
    write_private(files.key, key)
    write_private(files.certificate, made)


async def test_two_nodes_hear_each_other(both: tuple[End, End]) -> None:
    for end in both:
        end.speak()
    await until(lambda: all(len(end.said) >= 3 for end in both))
    assert {said.number for said in both[0].said} == {2} and {said.number for said in both[1].said} == {1}
    assert [end.lost for end in both] == [0, 0]


async def test_a_peer_that_dies_is_lost_at_once_and_heard_again_when_it_comes_back(
    both: tuple[End, End],
) -> None:
    one, two = both
    two.speak()
    await until(lambda: one.said)
    await two.hush()
    await until(lambda: one.lost == 1, within=1.0)
    before = len(one.said)
    two.speak()
    await until(lambda: len(one.said) > before)
    assert one.lost == 1


async def test_a_refused_line_ends_the_connection_and_the_peer_dials_again(both: tuple[End, End]) -> None:
    one, two = both
    one.takes = False
    two.speak()
    await until(lambda: len(one.said) >= 3)
    assert one.lost >= 2
    one.takes = True
    lost = one.lost
    before = len(one.said)
    await until(lambda: len(one.said) >= before + 5)
    assert one.lost <= lost + 1


async def test_a_node_of_another_cluster_is_refused_with_one_line_on_each_side(
    tmp_path: Path, both: tuple[End, End]
) -> None:
    one, two = both
    stranger = node_config(tmp_path, "other")
    join.initialise(stranger)
    strange = NodeFiles(stranger)
    for name in ("ca", "key", "certificate"):
        write_private(getattr(two.files, name), getattr(strange, name).read_bytes())
    with capture_logs() as logs:
        two.speak()
        await asyncio.sleep(1.0)
    refusals = [line for line in logs if line["event"] == "Refused a connection to the cluster port."]
    complaints = [line for line in logs if line["event"] == "Keep-alives do not reach the peer."]
    assert (one.said, len(refusals), len(complaints)) == ([], 1, 1), logs


async def test_a_node_with_the_wrong_number_is_refused_with_one_line_on_each_side(
    both: tuple[End, End],
) -> None:
    one, two = both
    renumbered(two.files, one.files, 1)
    with capture_logs() as logs:
        two.speak()
        await asyncio.sleep(1.0)
    assert one.said == []
    assert sorted(line["event"] for line in logs) == [
        "Keep-alives do not reach the peer.",
        "Refused a connection to the cluster port.",
    ], logs


async def test_a_server_with_the_wrong_number_is_told_nothing(tmp_path: Path) -> None:
    async with pair(tmp_path) as (one, two):
        renumbered(one.files, one.files, 2)
        await one.listener.stop()
        async with opened(one.config) as wrong:
            with capture_logs() as logs:
                two.speak()
                await until(lambda: logs)
            assert wrong.said == [] and "'tandem node 2'" in logs[0]["why"]


@pytest.mark.parametrize(
    "junk", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 5000, b"\x16\x03\x01" + b"\xff" * 500]
)
async def test_junk_on_the_port_harms_nothing(junk: bytes, both: tuple[End, End]) -> None:
    one, two = both
    two.speak()
    await until(lambda: one.said)
    _, writer = await asyncio.open_connection(LOOPBACK, one.config.cluster.port)
    writer.write(junk)
    writer.write_eof()
    await until(lambda: len(one.listener.open) == 1)
    writer.close()
    before = len(one.said)
    await until(lambda: len(one.said) >= before + 2)
    assert one.lost == 0


@pytest.mark.parametrize(
    "line", [b"[]\n", b"{}\n", b"7\n", b"\xff\n", b"x" * 70000 + b"\n", b"[" * 60000 + b"\n"]
)
async def test_a_peer_that_talks_nonsense_is_dropped_and_told_of_once(
    line: bytes, both: tuple[End, End]
) -> None:
    one, two = both
    with capture_logs() as logs:
        for _ in range(2):
            reader, writer = await asyncio.open_connection(
                LOOPBACK, one.config.cluster.port, ssl=client_context(two.files)
            )
            writer.write(line)
            with pytest.raises((asyncio.IncompleteReadError, OSError)):
                await asyncio.wait_for(reader.readexactly(1), 5)
            writer.close()
    assert one.said == [] and one.lost == 2
    assert {entry["event"] for entry in logs} == {"Refused a connection to the cluster port."}


async def stranger(end: End) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(LOOPBACK, end.config.cluster.port, ssl=joining_context())


async def test_a_stranger_that_says_nothing_is_dropped(
    both: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join, "PATIENCE", 0.3)
    reader, writer = await stranger(both[0])
    assert b'"ca"' in await reader.readline()
    assert await asyncio.wait_for(reader.read(), 3) == b""
    writer.close()


async def test_a_stranger_without_a_handshake_is_dropped(
    both: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepalive, "HANDSHAKE", 0.3)
    reader, writer = await asyncio.open_connection(LOOPBACK, both[0].config.cluster.port)
    assert await asyncio.wait_for(reader.read(), 3) == b""
    writer.close()


async def test_many_strangers_do_not_keep_the_peer_out(both: tuple[End, End]) -> None:
    one, two = both
    connections = [await stranger(one) for _ in range(keepalive.MOST_JOINING + 3)]
    answers = [await asyncio.wait_for(reader.readline(), 3) for reader, _ in connections]
    assert sum(b'"ca"' in answer for answer in answers) == keepalive.MOST_JOINING
    two.speak()
    await until(lambda: one.said)
    for _, writer in connections:
        writer.close()
    await until(lambda: one.listener.joining == 0)


async def test_plain_old_tls_is_refused(both: tuple[End, End]) -> None:
    context = joining_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, OSError)):
        await asyncio.open_connection(LOOPBACK, both[0].config.cluster.port, ssl=context)


async def test_a_connection_that_something_reset_is_dialled_again_before_the_peer_looks_dead(
    both: tuple[End, End],
) -> None:
    one, two = both
    two.speak()
    await asyncio.sleep(keepalive.GIVE_UP + 0.3)  # of use for so long
    before, [writer] = len(one.said), one.listener.open
    writer.transport.abort()
    began = time.monotonic()
    await until(lambda: len(one.said) > before)
    assert time.monotonic() - began < CLOSED
