"""A server is lost with its disk and replaced by an empty one; a damaged database is overwritten."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from store.ids import uuid7
from store.model import User
from tests.acceptance import scene
from tests.acceptance.conftest import ended
from tests.acceptance.replacing import given_up, joined, lost
from tests.bench.replace import alike, filled, steadily
from voicemail import programs
from voicemail.errors import ClusterError
from voicemail.secrets import NodeFiles
from voicemail.tour.local import LocalCluster, LocalNode

pytestmark = pytest.mark.asyncio(loop_scope="module")
MESSAGES, SIZE = 200, 20_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(home: Path) -> AsyncIterator[LocalCluster]:
    made = LocalCluster(scene.plan(home / "replaced", workers=1))
    try:
        await made.start()
        async with made.nodes[0].store() as store:
            await filled(store, MESSAGES, SIZE)
        yield made
    finally:
        await ended(made)


async def refused_by_its_own_log(node: LocalNode) -> float:
    """Start the node, which must end by itself; seconds it took."""
    began = time.monotonic()
    await node.start()
    assert node.process
    async with asyncio.timeout(20):
        await node.process.wait()
    return time.monotonic() - began


async def test_an_empty_server_takes_the_place_of_a_lost_publisher(cluster: LocalCluster) -> None:
    dead = cluster.nodes[0]
    with pytest.raises(ClusterError, match="vm1 answers, so it is not dead"):
        await cluster.nodes[1].command("cluster", "replace-node", "--yes")
    survivor, disk = await lost(cluster, dead)
    async with survivor.store() as store:
        took: list[float] = []
        calls = asyncio.create_task(steadily(store, SIZE, took))
        secret = await given_up(survivor)

        disk.rename(dead.config.directory)
        stopped = await refused_by_its_own_log(dead)
        assert "This server was replaced; it stops." in dead.log.read_text()
        assert "A server that was replaced was started again; it stops." in survivor.log.read_text()
        assert await refused_by_its_own_log(dead) < stopped + 5
        assert f"was replaced: to use it again, empty {dead.config.directory}" in dead.log.read_text()
        dead.config.directory.rename(disk)

        seconds = await joined(cluster, survivor, dead, secret)
        calls.cancel()
    await scene.seen("both nodes hold the same", lambda: alike(cluster.nodes), 20)
    nodes = json.loads(await survivor.command("cluster", "status", "--json"))[0]["nodes"]
    assert [(node["name"], node["number"], node["publisher"]) for node in nodes] == [
        ("vm1", 1, False),
        ("vm2", 2, True),
    ]
    assert max(took) < 1.5
    shutil.rmtree(disk)
    print(
        f"old disk refused in {stopped:.1f} s, {MESSAGES} messages copied in {seconds:.1f} s,"
        f" {len(took)} taken meanwhile"
    )


async def test_an_empty_server_takes_the_place_of_a_lost_subscriber(cluster: LocalCluster) -> None:
    """vm1 by now. The publisher goes on without a change of status."""
    survivor, dead = cluster.nodes[1], cluster.nodes[0]
    before = json.loads(await survivor.command("cluster", "history", "--json"))
    _, disk = await lost(cluster, dead)
    async with survivor.store() as store:
        took: list[float] = []
        calls = asyncio.create_task(steadily(store, SIZE, took))
        secret = await given_up(survivor)
        seconds = await joined(cluster, survivor, dead, secret)
        calls.cancel()
    await scene.seen("both nodes hold the same", lambda: alike(cluster.nodes), 20)
    nodes = json.loads(await survivor.command("cluster", "status", "--json"))[0]["nodes"]
    assert [(node["name"], node["publisher"], node["status"]) for node in nodes] == [
        ("vm1", False, "Secondary"),
        ("vm2", True, "Primary"),
    ]
    assert json.loads(await survivor.command("cluster", "history", "--json")) == before
    assert max(took) < 1.5
    shutil.rmtree(disk)
    print(f"subscriber replaced in {seconds:.1f} s, {len(took)} messages taken meanwhile")


async def test_a_damaged_database_is_overwritten_and_what_only_it_had_is_kept(cluster: LocalCluster) -> None:
    primary, damaged = cluster.nodes[1], cluster.nodes[0]
    box = uuid7()
    server = programs.database(damaged.config, NodeFiles(damaged.config))
    async with await psycopg.AsyncConnection.connect(server.conninfo("postgres"), autocommit=True) as admin:
        await admin.execute("select pg_replication_origin_create('damage')")
        await admin.execute("select pg_replication_origin_session_setup('damage')")
        await admin.execute("set session_replication_role = replica")
        await admin.execute("delete from message where id in (select id from message order by id limit 5)")
        await admin.execute(
            "update message set mailbox_id = %s where id = (select id from message order by id limit 1)",
            (box,),
        )
        await admin.execute(
            "insert into message select (jsonb_populate_record(m, jsonb_build_object('id', %s::text))).*"
            " from message m limit 1",
            (str(box),),
        )
    assert not await alike(cluster.nodes)
    with pytest.raises(ClusterError, match="vm2 is Primary: make the other server Primary first"):
        await primary.command("cluster", "overwrite-from-peer", "--yes")
    said = await damaged.command("cluster", "overwrite-from-peer", "--yes")
    assert said.startswith("vm1 is as vm2 now: 5 rows fetched, 1 that only vm1 had and 1 that differed"), said
    await scene.seen("both nodes hold the same", lambda: alike(cluster.nodes), 20)
    kept = Path(said.strip().rpartition(" ")[2])
    assert kept.stat().st_mode & 0o777 == 0o600
    assert str(box) in {json.loads(line)["row"]["id"] for line in kept.read_text().splitlines()}
    assert "had nothing that vm2 lacks" in await damaged.command("cluster", "overwrite-from-peer", "--yes")


async def taken_in_a_split(node: LocalNode, user: User, other: User) -> None:
    """What adding the user here would have done while this node knew nothing of the other user."""
    server = programs.database(node.config, NodeFiles(node.config))
    async with await psycopg.AsyncConnection.connect(server.conninfo("postgres"), autocommit=True) as admin:
        await admin.execute(
            "insert into user_account select"
            " (jsonb_populate_record(u, jsonb_build_object('id', %s::text, 'name', %s::text))).*"
            " from user_account u where id = %s",
            (str(user.id), user.name, other.id),
        )


async def test_two_users_with_one_extension_are_listed(cluster: LocalCluster) -> None:
    assert "No conflicts." in await cluster.nodes[0].command("cluster", "conflicts")
    ids = sorted(uuid7() for _ in cluster.nodes)
    users = [
        User(one, "4401", f"made on {node.config.node.name}", "")
        for one, node in zip(ids, cluster.nodes, strict=True)
    ]
    async with cluster.nodes[0].store() as store:
        await store.users.add(users[0])
    await scene.seen("both nodes hold the same", lambda: alike(cluster.nodes), 20)
    await taken_in_a_split(cluster.nodes[1], users[1], users[0])
    await scene.seen("both nodes hold the same", lambda: alike(cluster.nodes), 20)
    for node in cluster.nodes:
        [found] = json.loads(await node.command("cluster", "conflicts", "--json"))
        [shared] = found["shared"]
        assert (shared["id"], shared["owner"]) == (str(users[1].id), str(users[0].id))
    table = await cluster.nodes[0].command("cluster", "conflicts")
    assert "4401" in table and "made on vm2" in table
