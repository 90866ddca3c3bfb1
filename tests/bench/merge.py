"""How long two stores need to be one again after a cut in which both took messages and events.

    python -m tests.bench.merge [--messages 10000] [--bytes 10000] [--events 10000] [--lost]

Two real servers on this machine, replication by TLS, fsync on; each node writes so much alone, every row in
a transaction of its own. Told are the seconds from the link's return until both nodes' followers say that
all is on both (what ends Split Brain Recovery), and whether all tables are equal then. With --lost neither
server keeps enough log, so both copy what they lack instead of catching up.
"""

import argparse
import asyncio
import sys
import time

import psycopg

from store.ids import uuid7
from tests.fakes.followers import deliver, followed
from tests.fakes.pair import Node, Pair, open_pair, running_servers
from tests.fakes.store_contract import message

WRITE = """
do $$
declare box uuid := gen_random_uuid(); said uuid; audio bytea;
begin
  select string_agg(sha256(i::text::bytea), '') into audio from generate_series(1, {size} / 32) i;
  for i in 1 .. {most} loop
    if i <= {messages} then
      said := gen_random_uuid();
      perform public.deposit(said, box, {node}::smallint, '1001', 'Ann', now(), 5.0, false, false, '', audio,
        gen_random_uuid(), gen_random_uuid(), false, false);
      commit;
    end if;
    if i <= {events} then
      if i % 2 = 0 then
        select id into said from public.message where call_id = 'both' order by id offset i / 2 % 100 limit 1;
      end if;
      perform public.mark(gen_random_uuid(), said, {node}::smallint,
        (extract(epoch from clock_timestamp()) * 1000000)::bigint,
        (array['read', 'delete', 'unread', 'undelete'])[1 + i % 4], gen_random_uuid());
      commit;
    end if;
  end loop;
end $$"""
SERVER = {"fsync": "on", "shared_buffers": "128MB", "max_wal_size": "2GB"}


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write(node: Node, options: argparse.Namespace) -> None:
    """This node's share, without fsync: only the merge is measured."""
    statement = WRITE.format(
        size=options.bytes, messages=options.messages, events=options.events, node=node.number,
        most=max(options.messages, options.events),
    )  # fmt: skip
    with psycopg.connect(node.server.conninfo("postgres", "vm"), autocommit=True) as admin:
        admin.execute("alter system set fsync = off")
        admin.execute("select pg_reload_conf()")
        admin.execute(statement)  # type: ignore[call-overload]
        admin.execute("alter system set fsync = on")
        admin.execute("select pg_reload_conf()")
        admin.execute("checkpoint")
        states = admin.execute("select wal_status from pg_replication_slots").fetchall()
        tell(f"node {node.number}: the other one's slot is {', '.join(row[0] for row in states)}")


async def measure(pair: Pair, options: argparse.Namespace) -> bool:
    for _ in range(100):
        common = message(uuid7())
        await pair.stores[0].messages.deposit(common, b"x")
    with psycopg.connect(pair.servers.nodes[0].server.conninfo("postgres", "vm")) as admin:
        admin.execute("update public.message set call_id = 'both'")
    await pair.caught_up()
    with psycopg.connect(pair.servers.nodes[1].server.conninfo("postgres", "vm")) as admin:
        admin.execute("update public.message set call_id = 'both'")
    async with followed(pair) as followers:
        pair.servers.cut()
        await asyncio.sleep(1.0)
        began = time.monotonic()
        await asyncio.gather(*(asyncio.to_thread(write, node, options) for node in pair.servers.nodes))
        tell(f"written on each node alone: {options.messages} messages of {options.bytes} bytes,"
             f" {options.events} events, in {time.monotonic() - began:.1f} s")  # fmt: skip
        healed = time.monotonic()
        pair.servers.join()
        await deliver(followers, healed, timeout=600)
        tell(f"merged {time.monotonic() - healed:.1f} s after the link's return")
    same = await pair.same()
    tell(f"all tables and what is derived from them are {'equal' if same else 'NOT equal'}")
    return same


async def run(options: argparse.Namespace) -> bool:
    keep = "1MB" if options.lost else "20GB"
    with running_servers(**SERVER, max_slot_wal_keep_size=keep) as servers:
        async with open_pair(servers) as pair:
            return await measure(pair, options)


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a merge takes.")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--lost", action="store_true")
    sys.exit(0 if asyncio.run(run(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
