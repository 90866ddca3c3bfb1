"""What a node knows of itself without asking anybody, as a snapshot for alarms and metrics."""

import time
from collections.abc import Mapping

from voicemail.cluster.follower import Following
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.keeper import Keeper
from voicemail.cluster.manager import Manager
from voicemail.cluster.roles import has_duties
from voicemail.cluster.snapshot import Snapshot
from voicemail.secrets import Membership


def look(
    membership: Membership,
    said: KeepAlive,
    manager: Manager,
    following: Following | None,
    keepers: Mapping[str, Keeper],
    workers_wanted: int,
    refused: int,
) -> Snapshot:
    """`said` is what the node tells the other one at this moment; `keepers` are of the programs that run in
    its status. `following` is None on an external database."""
    now, wall = time.monotonic(), time.time()
    peer, duties = manager.hearing.recent(now), has_duties(said.status, membership.publisher)
    return Snapshot(
        now=now,
        wall=wall,
        name=membership.me.name,
        peer_name=membership.peer.name if membership.peer else "",
        publisher=membership.publisher,
        status=said.status,
        because=said.because,
        epoch=said.epoch,
        on_duty=duties and said.database and "primary" in keepers and keepers["primary"].running,
        sought=manager.hearing.sought(now),
        peer=peer,
        clock_ahead=peer.clock + (now - manager.hearing.at) - wall if peer and peer.clock else None,
        refused=refused,
        failed=tuple(name for name, keeper in keepers.items() if keeper.failed(now)),
        running={name: keeper.running for name, keeper in keepers.items()},
        database=said.database,
        taking_calls=said.taking_calls,
        schema=said.schema,
        workers_wanted=workers_wanted,
        workers=said.workers,
        busy=said.busy,
        ports=said.ports,
        receiving=following.receiving if following else None,
        synchronous=following.synchronous if following else False,
        lag=said.lag,
        retained=following.retained if following else None,
        room=following.room if following else None,
        slot_lost=following.lost if following else False,
        apply_errors=following.apply_errors if following else None,
        single_copies=said.single_copies,
        conflicts=following.conflicts if following else None,
    )
