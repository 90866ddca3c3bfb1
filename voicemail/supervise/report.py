"""Both servers, as one of them knows them: rows for `cluster status`, the situation of an order."""

from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from voicemail.cluster.roles import Status
from voicemail.errors import ClusterError
from voicemail.supervise.link import Link
from voicemail.supervise.operator import Situation

PATIENCE = 1.5
"""Seconds that the other node has to answer."""
QUESTION = {"command": "details"}


async def rows(link: Link, mine: dict[str, Any], detailed: bool) -> list[dict[str, Any]]:
    """A row for each member, in order: its keep-alive and, of this node and when `detailed` of the other
    one, what it knows besides. A silent one has only "number" and "status"."""
    found = [mine | {"name": link.membership.me.name, "here": True}]
    if member := link.membership.peer:
        said = link.peer()
        row = asdict(said) if said else {"number": member.number, "status": "Silent"}
        if said and detailed:
            with suppress(ClusterError):
                row |= await link.ask(QUESTION, PATIENCE)
        found.append(row | {"name": member.name, "here": False})
    publisher = link.membership.publisher_number
    found = [row | {"publisher": row["number"] == publisher} for row in found]
    return sorted(found, key=lambda row: int(row["number"]))


async def asked(link: Link, now: Situation) -> Situation:
    """The situation with what the peer says at this moment, should it answer."""
    if now.theirs:
        with suppress(ClusterError, ValueError, KeyError):
            said = await link.ask(QUESTION, PATIENCE)
            status, taking = Status(said["status"]), bool(said["taking_calls"])
            return replace(now, theirs=replace(now.theirs, status=status, taking_calls=taking))
    return now
