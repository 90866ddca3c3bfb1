"""Joining a cluster on loopback: the whole dialogue, and all that may stand in its way."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509

from tests.fakes.cluster import LOOPBACK, End, node_config, opened
from voicemail.cluster import join as joining
from voicemail.cluster.certificates import joining_context, server_context
from voicemail.cluster.join import initialise, join, joining_secret
from voicemail.config import Config
from voicemail.errors import ClusterError
from voicemail.secrets import NodeFiles

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def publisher(tmp_path: Path) -> AsyncIterator[End]:
    config = node_config(tmp_path, "vm1")
    initialise(config)
    async with opened(config) as end:
        yield end


@pytest.fixture
def joiner(tmp_path: Path) -> Config:
    return node_config(tmp_path, "vm2")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "PATIENCE", 0.5)
    monkeypatch.setattr(joining, "SLOW", 0.0)


def secret_of(end: End) -> str:
    return joining_secret(end.files)


async def refused(joiner: Config, port: int, secret: str) -> str:
    """Why joining failed; nothing may be left behind."""
    with pytest.raises(ClusterError) as error:
        await join(joiner, LOOPBACK, port, secret)
    assert not joiner.directory.exists()
    return str(error.value)


async def test_with_the_secret_both_are_members_and_trust_each_other(publisher: End, joiner: Config) -> None:
    membership = await join(joiner, LOOPBACK, publisher.config.cluster.port, f" {secret_of(publisher)}\n")
    files = NodeFiles(joiner)
    assert membership == files.membership() and membership.number == 2
    assert [member.name for member in membership.members] == ["vm1", "vm2"]
    assert publisher.files.membership().members == membership.members
    assert publisher.joined == [publisher.files.membership()]
    assert files.secrets() == publisher.files.secrets()
    authority = x509.load_pem_x509_certificate(publisher.files.ca.read_bytes())
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    certificate.verify_directly_issued_by(authority)
    server_context(files)  # key and certificate belong together


async def test_every_private_file_is_the_owners_alone(publisher: End, joiner: Config) -> None:
    await join(joiner, LOOPBACK, publisher.config.cluster.port, secret_of(publisher))
    for config in (publisher.config, joiner):
        files = [path for path in config.directory.rglob("*") if path.is_file()]
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
        assert not [path for path in files if path.suffix == ".part"]
    assert not NodeFiles(joiner).ca_key.exists()


async def test_a_wrong_secret_is_refused(publisher: End, joiner: Config) -> None:
    _, _, mark = secret_of(publisher).partition(".")
    why = await refused(joiner, publisher.config.cluster.port, f"guessed.{mark}")
    assert why.endswith("refused: wrong cluster secret")
    assert publisher.joined == [] and publisher.files.membership().peer is None


@pytest.mark.parametrize("secret", ["{}.0000", "{}", "", "."])
async def test_a_publisher_of_another_cluster_is_not_shown_the_secret(
    secret: str, publisher: End, joiner: Config
) -> None:
    shown = secret.format(publisher.files.secrets().cluster)
    assert await refused(joiner, publisher.config.cluster.port, shown) == (
        "wrong cluster secret: it is of another cluster"
    )
    assert publisher.joined == []


async def test_a_third_node_is_refused(publisher: End, joiner: Config, tmp_path: Path) -> None:
    await join(joiner, LOOPBACK, publisher.config.cluster.port, secret_of(publisher))
    third = node_config(tmp_path, "vm3")
    why = await refused(third, publisher.config.cluster.port, secret_of(publisher))
    assert why.endswith("the cluster has two nodes already; the other is vm2")


async def test_a_node_named_as_the_publisher_is_refused(publisher: End, tmp_path: Path) -> None:
    namesake = node_config(tmp_path / "elsewhere", "vm1")
    why = await refused(namesake, publisher.config.cluster.port, secret_of(publisher))
    assert why.endswith("the publisher is named vm1 itself")


async def test_joining_twice_is_refused_here_but_a_new_disk_may_join_again(
    publisher: End, joiner: Config, tmp_path: Path
) -> None:
    port = publisher.config.cluster.port
    await join(joiner, LOOPBACK, port, secret_of(publisher))
    with pytest.raises(ClusterError, match="belongs to a cluster already"):
        await join(joiner, LOOPBACK, port, secret_of(publisher))
    again = node_config(tmp_path / "new-disk", "vm2")
    assert (await join(again, LOOPBACK, port, secret_of(publisher))).number == 2
    assert len(publisher.files.membership().members) == 2


async def test_the_second_node_admits_nobody(publisher: End, joiner: Config, tmp_path: Path) -> None:
    await join(joiner, LOOPBACK, publisher.config.cluster.port, secret_of(publisher))
    async with opened(joiner) as second:
        third = node_config(tmp_path, "vm3")
        why = await refused(third, second.config.cluster.port, secret_of(publisher))
    assert why.endswith(f"this node is not the publisher; join at {LOOPBACK}")


def test_a_cluster_is_made_once(publisher: End) -> None:
    with pytest.raises(ClusterError, match="belongs to a cluster already"):
        initialise(publisher.config)


@asynccontextmanager
async def serving(client: Client, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server of another kind."""
    server = await asyncio.start_server(client, LOOPBACK, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_port_where_nobody_listens_is_told(joiner: Config) -> None:
    async with serving(lambda r, w: asyncio.sleep(0)) as port:
        pass
    assert "does not answer as a publisher: " in await refused(joiner, port, "a.b")


async def test_a_server_without_tls_is_told(joiner: Config) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(500))
        writer.close()

    async with serving(echo) as port:
        assert "does not answer as a publisher: " in await refused(joiner, port, "a.b")


async def test_a_server_that_keeps_silent_is_told(joiner: Config) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serving(silent) as port:
        assert (await refused(joiner, port, "a.b")).endswith(
            "does not answer as a publisher: it keeps silent"
        )


@pytest.mark.parametrize(
    "said", [b"", b"220 mail ESMTP\r\n", b"[]\n", b"{}\n", b'{"ca": 5}\n', b'{"ca": "x"}\n', b"y" * 70000]
)
async def test_a_tls_server_of_another_kind_is_told(said: bytes, publisher: End, joiner: Config) -> None:
    async def other(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async with serving(other, server_context(publisher.files)) as port:
        why = await refused(joiner, port, secret_of(publisher))
    assert "is no cluster port" in why or "does not answer as a publisher: " in why
    assert "\n" not in why


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"nonsense\n", b"[]\n", b"{}\n", b'{"members": 5}\n', b'{"members": [{"a": 1}]}\n',
        b'{"members": [], "certificate": 7, "secrets": {}}\n',
        b'{"members": [], "certificate": "x", "secrets": {"postgres": "p"}}\n',
    ],
)  # fmt: skip
async def test_a_publisher_whose_answer_is_garbage_is_told(
    answer: bytes, publisher: End, joiner: Config
) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps({"ca": publisher.files.ca.read_text()}).encode() + b"\n")
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with serving(broken, server_context(publisher.files)) as port:
        why = await refused(joiner, port, secret_of(publisher))
    assert f"{LOOPBACK}:{port}" in why and "\n" not in why


@pytest.mark.parametrize(
    "asked",
    [
        "[]", "7", "{}", '{"secret": 5}', '{"secret": "S"}', '{"secret": "S", "member": []}',
        '{"secret": "S", "member": {"name": "x"}, "request": ""}', "[" * 60000,
    ],
)  # fmt: skip
async def test_a_publisher_answers_any_nonsense_with_a_refusal(asked: str, publisher: End) -> None:
    reader, writer = await asyncio.open_connection(
        LOOPBACK, publisher.config.cluster.port, ssl=joining_context()
    )
    await reader.readline()
    writer.write(asked.replace("S", publisher.files.secrets().cluster).encode() + b"\n")
    answer = await asyncio.wait_for(reader.readline(), 5)
    assert not answer or "error" in json.loads(answer) or json.loads(answer) == {}
    assert publisher.joined == [] and publisher.files.membership().peer is None
    writer.close()
