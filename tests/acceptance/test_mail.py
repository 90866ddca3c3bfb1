"""Mails as their readers get them: a real Postfix is the smart host, users read by IMAP from a real Dovecot.
While hundreds of mails, and voice messages to another system, wait, nodes are killed; each of them arrives,
always under the same Message-ID."""

import asyncio
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from uuid import uuid5

import numpy as np
import pytest

from sip import wav
from store.api import Store
from store.errors import Unavailable
from store.ids import uuid7
from store.model import OUTGOING, Envelope, NewMessage, Setting, copy_id
from tests.acceptance import scene
from tests.acceptance.scene import Scene
from tests.fakes.dovecot import Dovecot, running_dovecot
from tests.fakes.postfix import Pace, Postfix, running_postfix
from voicemail import departures
from voicemail.policy.locations import Location, Tls
from voicemail.tour.tour import Person

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a Postfix and a Dovecot of its own"),
]

MAILS, POSTS, KILLS = 500, 100, 3
FAST, SLOW = 0.01, 0.5
"""Seconds that the smart host takes for a mail, while nodes are killed and while they come back."""
FAR, FAR_SLOW = "far.example", 1.0
"""Another voice-mail system, behind the same Postfix, and how slow it is until the last kill."""
READERS = tuple(str(number) for number in range(3201, 3211))
SPEECH = wav.file_ulaw(bytes(range(256)) * 32)


@contextmanager
def office(two: Scene, *users: str, more: str = "") -> Iterator[tuple[Postfix, Dovecot]]:
    """The smart host of both nodes, and the mailboxes behind it; that of 2722 at FAR too."""
    ways = {"example.com": users, FAR: ["2722"]}
    with (
        running_postfix(ways, more=more, port=two.mail_port) as postfix,
        running_dovecot(postfix.mail) as dovecot,
    ):
        yield postfix, dovecot


async def deposit(store: Store, person: Person, number: int = 0) -> None:
    """A message of a second, from a caller of its own; again, as delivery does, while the store is busy."""
    message = NewMessage(uuid7(), person.id, f"+4930{number:04}", "", datetime.now(UTC), 1.0)

    async def kept() -> bool:
        with suppress(Unavailable):
            await store.messages.deposit(message, SPEECH)
            return True
        return False

    await scene.seen("a message deposited", kept, 30)


async def arrived(dovecot: Dovecot, user: str, count: int, within: float) -> list[str]:
    """The Message-IDs in a mailbox, once they are so many."""

    async def look() -> bool:
        return len(await asyncio.to_thread(dovecot.ids, user)) >= count

    await scene.seen(f"{count} mails for {user}", look, within)
    return await asyncio.to_thread(dovecot.ids, user)


def recording(mail: EmailMessage) -> bytes:
    [sound] = [part for part in mail.walk() if part.get_content_maintype() == "audio"]
    content = sound.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


async def test_a_message_left_by_a_call_is_read_by_imap(two: Scene) -> None:
    person = await two.person("3200")
    await two.with_mail(person, "anna@example.com")
    with office(two, "anna") as (_, dovecot):
        await two.tour.leave(person)
        began = time.monotonic()
        await arrived(dovecot, "anna", 1, 10)
        print(f"in the user's mailbox {time.monotonic() - began:.2f} s after the message was on both nodes")
        [by_imaplib] = await asyncio.to_thread(dovecot.mails, "anna")
        curl = ["curl", "-sS", "--max-time", "10", dovecot.url("anna", 1)]
        read = await asyncio.to_thread(subprocess.run, curl, capture_output=True, check=True, timeout=15)
    by_curl = message_from_bytes(read.stdout, policy=policy.default)
    assert by_curl["Message-ID"] == by_imaplib["Message-ID"] and not by_curl.defects
    assert by_curl["To"].addresses[0].addr_spec == "anna@example.com"
    [message], _ = await two.messages(person)
    samples = np.frombuffer(wav.samples_pcm16(wav.parse(recording(by_imaplib))), "<i2")
    assert abs(len(samples) / 8000 - message.seconds) < 0.1
    assert np.abs(samples).max() > 1000, "silence"


class Queue:
    """Five hundred mails for ten readers, and a hundred voice messages to another system, all by way of the
    same Postfix."""

    def __init__(self, two: Scene, postfix: Postfix, pace: Pace, people: list[Person]) -> None:
        self.two, self.postfix, self.pace, self.people = two, postfix, pace, people
        self.posts: set[str] = set()
        """Message-IDs that the voice messages must have: made of their work."""
        self.before: list[tuple[int, int]] = []
        """Mails and voice messages that had come twice when each kill happened."""

    async def fill(self) -> None:
        """Messages at both nodes."""

        async def some(first: int, person: Person) -> None:
            for number in range(MAILS // len(self.people)):
                await deposit(self.two.tour.stores[number % 2], person, first * 100 + number)
            for number in range(POSTS // len(self.people)):
                self.posts.add(await depart(self.two, number % 2, person))

        async with asyncio.TaskGroup() as group:
            for first, person in enumerate(self.people):
                group.create_task(some(first, person))

    def taken(self) -> tuple[Counter[str], Counter[str]]:
        """Mails and voice messages: by Message-ID, how often Postfix took them."""
        mails, posts = Counter[str](), Counter[str]()
        for each in self.postfix.accepted():
            (posts if each in self.posts else mails)[each] += 1
        return mails, posts

    @property
    def doubled(self) -> tuple[int, int]:
        mails, posts = self.taken()
        return mails.total() - len(mails), posts.total() - len(posts)

    def repeats(self, kind: int) -> list[int]:
        """Of mails (0) or voice messages (1), after each kill, until the next one."""
        begins = [counts[kind] for counts in self.before]
        ends = [*begins[1:], self.doubled[kind]]
        return [end - begin for begin, end in zip(begins, ends, strict=True)]

    async def has_taken(self, mails: int, posts: int, within: float) -> None:
        async def look() -> bool:
            return all(len(had) >= count for had, count in zip(self.taken(), (mails, posts), strict=True))

        await scene.seen(f"{mails} mails, {posts} voice messages taken by Postfix", look, within)

    async def kill_primary(self, at: int) -> str:
        """Every process of it, in the midst of the mails; the other one goes on. Mails go slowly until the
        killed node is back, so that there are enough left for the next."""
        await self.has_taken(at, 1 + len(self.before), 60)
        self.before.append(self.doubled)
        node, other = await self.two.primary()
        began = time.monotonic()
        count = await node.kill()
        had, posts = map(len, self.taken())
        assert posts < POSTS, "too late for the voice messages"
        await self.has_taken(had + 10, posts + 1, 20)
        stalled = time.monotonic() - began
        self.pace.delay = SLOW
        await node.start()
        await self.two.cluster.in_service(60)
        self.pace.delay = FAST
        return (
            f"vm{node.number} killed ({count} processes) after {had} mails and {posts} voice messages; "
            f"vm{other.number} had handed over more of both {stalled:.1f} s later"
        )


async def depart(two: Scene, index: int, person: Person) -> str:
    """A voice message to the other system; the Message-ID that it must have there."""
    to, envelope = f"2722@{FAR}", Envelope(sender=person.id)
    message = NewMessage(uuid7(), OUTGOING, person.extension, "", datetime.now(UTC), 1.0, envelope=envelope)

    async def kept() -> bool:
        with suppress(Unavailable):
            await departures.depart(two.tour.stores[index], message, (to,), SPEECH, 1.0)
            return True
        return False

    await scene.seen("a message left for another system", kept, 30)
    domain = two.first.config.mail.message_id_domain
    return f"<{uuid5(copy_id(message.id, OUTGOING), to)}@{domain}>"


async def test_every_mail_arrives_whoever_of_the_nodes_is_killed(two: Scene) -> None:
    """Postfix is down while 500 messages are left, and 100 sent elsewhere; then it is up, and slow."""
    people = [await two.person(extension) for extension in READERS]
    for person in people:
        await two.with_mail(person, f"u{person.extension}@example.com")
    far = Location(domain=FAR, host=f"127.0.0.1:{two.mail_port}", tls=Tls.NONE)
    one, other = (store.settings for store in two.tour.stores)
    await one.put(Setting(Location.KIND, "far", far.model_dump_json()))
    await scene.seen("the location on both nodes", lambda: other.get(Location.KIND, "far"), 5)
    pace = Pace(FAST)
    pace.by_domain[FAR] = FAR_SLOW
    readers = [f"u{extension}" for extension in READERS]
    async with pace.open(), AsyncExitStack() as stack:
        postfix, dovecot = stack.enter_context(office(two, *readers, more=pace.more))
        postfix.stop()
        queue = Queue(two, postfix, pace, people)
        began = time.monotonic()
        await queue.fill()
        print(f"\n{MAILS} + {POSTS} messages left in {time.monotonic() - began:.1f} s while Postfix was down")
        postfix.start()
        began = time.monotonic()
        for kill in range(KILLS):
            print(await queue.kill_primary(10 + kill * MAILS // KILLS))
        pace.delay = pace.by_domain[FAR] = 0.0
        await queue.has_taken(MAILS, POSTS, 60)
        print(f"all taken {time.monotonic() - began:.1f} s after Postfix was up again")
        await outbox_empty(two)
        repeats = queue.repeats(0), queue.repeats(1)
        found = [each for reader in readers for each in await arrived(dovecot, reader, MAILS // 10, 20)]
        posts = Counter(await arrived(dovecot, "2722", POSTS, 20))
    for name, counts, count, again in zip(
        ("mails", "voice messages"), (Counter(found), posts), (MAILS, POSTS), repeats, strict=True
    ):
        doubled = counts.total() - len(counts)
        print(f"{len(counts)} {name} arrived, {doubled} came twice; repeats after each kill: {again}")
        assert len(counts) == count
        assert max(counts.values()) <= 1 + KILLS
        assert doubled <= KILLS, "more than the one in hand"
    assert posts.keys() == queue.posts


async def outbox_empty(two: Scene) -> None:
    async def look() -> bool:
        return await two.tour.stores[0].outbox.pending() == 0

    await scene.seen("nothing left in the outbox", look, 30)
