"""`voicemail node` on one PostgreSQL that somebody else runs: the node makes its tables there."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from sip.softphone import Softphone
from store.postgres import PostgresStore
from tests.fakes.postgres import RunningServer, server_folder
from tests.fakes.sip_pool import phone_settings
from voicemail.prompts import PromptBook
from voicemail.tour.local import LocalCluster, LocalNode, Plan


@pytest.fixture
def bare_dsn(postgres_server: RunningServer) -> Iterator[str]:
    """Of a database without any table."""
    name = f"bare_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server.conninfo("postgres", "postgres"), autocommit=True) as admin:
        admin.execute(f"create database {name} template template0 owner vm")
        yield make_conninfo(postgres_server.conninfo(), dbname=name)
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
async def cluster(bare_dsn: str) -> AsyncIterator[LocalCluster]:
    """Both nodes made and joined; only the first was started."""
    with server_folder() as folder:
        plan = Plan(
            folder, sip=random.randrange(21000, 23000, 50), workers_at=random.randrange(24000, 26000, 200),
            rtp=random.randrange(14000, 15000) * 2, workers=1, more=f'dsn = "{bare_dsn}"\n',
        )  # fmt: skip
        made = LocalCluster(plan)
        try:
            await made.nodes[0].command("cluster", "init")
            await made.nodes[0].start()
            await made.until(made.nodes[0], lambda status: status.get("status") == "Primary")
            yield made
        except BaseException:
            for node in made.nodes:
                print(node.log.read_text()[-5000:] if node.log.exists() else "no log")
            raise
        finally:
            await made.stop()


async def left_a_message(node: LocalNode, phone: Softphone, speech: Path) -> None:
    here = node.config.node.address
    call = await phone.dial(f"sip:5000@{node.edge}", {"Diversion": f"<sip:1001@{here}>;reason=no-answer"}, "")
    await call.answered()
    await asyncio.sleep(2.0)
    await call.press("#")
    await asyncio.sleep(0.8)
    await call.say(speech)
    await call.hang_up()


async def test_two_nodes_share_it(cluster: LocalCluster, bare_dsn: str) -> None:
    one, two = cluster.nodes
    await cluster.until(one, lambda status: bool(status.get("database")) and status["workers"] == 1)
    speech = PromptBook().find("cannot_record_now")
    assert speech
    await one.command("user", "add", "1001", "--name", "Anna")
    async with (
        Softphone(phone_settings()) as phone,
        PostgresStore.open(bare_dsn, replicated=False) as store,
    ):
        anna = await store.users.by_extension("1001")
        assert anna
        await left_a_message(one, phone, speech)
        async with asyncio.timeout(10):
            while not (messages := await store.messages.listing(anna.id)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert messages[0].seconds > 1.0 and messages[0].node == 1

        secret = cluster.plan.directory / "secret"
        secret.write_text((await one.command("cluster", "secret")).strip())
        where = ["--publisher", "127.0.0.1", "--port", str(one.config.cluster.port)]
        await two.command("cluster", "join", *where, "--secret-file", str(secret))
        await two.start()
        status = await cluster.until(two, lambda status: status.get("status") == "Secondary")
        assert status["database"] or await cluster.until(two, lambda status: bool(status.get("database")))
        assert "1001" in await two.command("message", "list")
