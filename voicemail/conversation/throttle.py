"""Whoever tries one PIN at many mailboxes is slowed down by where he calls from (functions.md section 8).

The lock of a mailbox (store.lockout) counts per mailbox, and so never sees him. Here wrong answers are
counted per source (the number behind a trunk, or the host of a phone), and per trunk over all numbers,
under ids made of these, on both nodes. Too many, and no PIN from there is compared for a while. A trunk
that is held back still serves users who call from their own number: a stranger must not lock out a company.
A telephone that has proved whose it is is a source of its own, and never held back from its own mailbox.

Looked at before the comparison and counted after it, so that attempts at the same moment may exceed it by
as many; the lock of the mailbox, which they meet besides, is exact.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID, uuid5

import structlog

from sip.invite import Invite
from store.model import User
from store.signing_in import PinPolicy
from voicemail.conversation.desk import Desk, reach

log = structlog.get_logger()

SOURCES = UUID("0b6c5a0e-6f0b-4d52-8f3e-6a54c1b7f2d4")
"""Below it the ids are made under which wrong answers are counted."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an attempt comes from."""

    source: str
    """A number behind a trunk, a host, or a user: "trunk pbx +4930555", "host 192.0.2.7", "user 1001"."""
    trunk: str = ""
    hint: User | None = None
    """Whose number it is, as the INVITE says."""

    def counted(self, policy: PinPolicy) -> tuple[tuple[UUID, PinPolicy], ...]:
        """Under which ids it counts, and how much of it is too much."""
        if not self.source:
            return ()
        per_source = (uuid5(SOURCES, self.source), _limit(policy, policy.per_source))
        per_trunk = (uuid5(SOURCES, f"trunk {self.trunk}"), _limit(policy, policy.per_trunk))
        return (per_source, per_trunk) if self.trunk else (per_source,)

    def held_back_by(self, policy: PinPolicy, extension: str) -> tuple[tuple[UUID, PinPolicy], ...]:
        """Which of them hold back an attempt at this mailbox."""
        counted = self.counted(policy)
        return counted[:1] if self.hint and self.hint.extension == extension else counted


NOWHERE = Origin("")
"""Of a call that we have made ourselves: nobody is held back."""


def origin_of(invite: Invite, hint: User | None, certain: bool) -> Origin:
    """Where the attempts of a call come from. A number is as its trunk says it; a phone's may be anything,
    so it is known by its host, unless it is `certain` that it is the user's of the hint."""
    if certain and hint:
        return Origin(f"user {hint.extension}", "", hint)
    if invite.trunk:
        number = (invite.asserted or invite.caller)[:64]
        return Origin(f"trunk {invite.trunk} {number}", invite.trunk, hint)
    host = invite.source.partition(":")[2].rpartition(":")[0]
    return Origin(f"host {host}" if host else "", "", hint)


async def held_back(desk: Desk, origin: Origin, extension: str) -> bool:
    """Whether no PIN from there is compared now. Raises Unavailable."""
    asked = origin.held_back_by(desk.policy, extension)
    locked = [desk.store.sign_ins.locked_until(each, policy, desk.now()) for each, policy in asked]
    ends = await reach(asyncio.gather(*locked))
    if not any(ends):
        return False
    log.warning("sign-in refused: too many wrong PINs from there", source=origin.source)
    return True


async def went_wrong(desk: Desk, origin: Origin) -> None:
    """Count a wrong answer, under all ids at the same time: each waits for the peer's disk. Raises
    Unavailable."""
    await asyncio.gather(*(_count(desk, origin, *each) for each in origin.counted(desk.policy)))


async def _count(desk: Desk, origin: Origin, counted: UUID, policy: PinPolicy) -> None:
    attempt = await reach(desk.store.sign_ins.begin(counted, policy, desk.now()))
    locked = await reach(desk.store.sign_ins.locked_until(counted, policy, desk.now()))
    if attempt.allowed and locked:
        log.error("ALARM PINs are being tried", source=origin.source, limit=policy.failures)


def _limit(policy: PinPolicy, failures: int) -> PinPolicy:
    return PinPolicy(failures, policy.window_minutes, policy.lock_minutes)
