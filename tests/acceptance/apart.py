"""Two voice-mail systems that are no cluster: each one node, with a domain of its own. They know one another
as locations only. And how much of a sound is left after a journey."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from sip import wav
from sip.settings import EngineSettings
from sip.softphone import Softphone
from store.features import SCHEMA
from store.ids import uuid7
from store.model import OUTGOING, Envelope, Message, NewMessage, Setting, User
from store.postgres import PostgresStore
from tests.acceptance import scene
from tests.acceptance.scene import PIN
from voicemail import departures, pins
from voicemail.policy.book import OPTIONS
from voicemail.policy.model import MenuStyle, UserOptions
from voicemail.tour.local import LocalNode, Plan
from voicemail.tour.tour import Listening, Person, prompt

SMTP = 9
"""Above the SIP port: where a node takes mails."""
PILOT = "5000"


class MailPlan(Plan):
    """Nodes that take mails for a domain."""

    __slots__ = ()

    @property
    def smtp(self) -> int:
        return self.sip + SMTP

    def text(self, number: int) -> str:
        step = 20 * (number - 1)
        return Plan.text(self, number).replace("SMTP_PORT", str(self.smtp + step))


def lines(domain: str, more: str = "") -> str:
    """Of the configuration: mails of this domain, taken from this machine."""
    return (
        f'[mail]\nsender = "voicemail@{domain}"\nmessage_id_domain = "{domain}"\ntimeout = 5\n'
        f'[smtp]\nport = SMTP_PORT\ndomains = ["{domain}"]\nallowed_networks = ["127.0.0.1"]\n{more}'
    )


class System:
    """One node, its phones and its store."""

    def __init__(self, home: Path, domain: str) -> None:
        self.domain, self.folder = domain, home / domain
        self.folder.mkdir(mode=0o755)
        chosen = scene.plan(self.folder, workers=2, pilot=PILOT, more=lines(domain))
        self.plan = MailPlan(**{name: getattr(chosen, name) for name in Plan.__slots__})
        self.node = LocalNode(self.plan, 1)
        self.heard = 0

    async def start(self, stack: AsyncExitStack) -> None:
        """Until it takes calls and mails; stopped at the end of the stack."""
        await self.node.command("cluster", "init")
        stack.push_async_callback(self.node.stop)
        await self.node.start()
        await scene.seen(f"{self.domain} in service", self.serves, 60)
        rtp = self.plan.rtp
        settings = EngineSettings(sip_address="127.0.0.1", rtp_address="127.0.0.1", rtp_port=rtp - 400)
        self.phone = await stack.enter_async_context(Softphone(settings))
        self.store: PostgresStore = await stack.enter_async_context(self.node.store())
        await scene.seen(f"{self.domain} knows that no node is older", self.agreed, 10)

    async def agreed(self) -> bool:
        """So settings may be written; `agree` never goes back."""
        return await self.store.agree(1) == SCHEMA

    async def serves(self) -> bool:
        status = await self.node.status()
        running = status.get("status") == "Primary" and all(status["programs"].values())
        return running and status["workers"] == self.plan.workers and await answers(self.plan.smtp)

    async def user(self, extension: str) -> Person:
        """Hears brief menus."""
        user = User(uuid7(), extension, f"User {extension}", pin_hash=pins.hashed(PIN))
        await self.store.users.add(user)
        brief = UserOptions(enrolled=True, menu_style=MenuStyle.BRIEF).model_dump_json()
        await self.store.settings.put(Setting(UserOptions.KIND, OPTIONS, brief, user.id))
        return Person(extension, PIN, user.id)

    async def dial(self, person: Person) -> Listening:
        """From the user's own phone, signed in."""
        self.heard += 1
        edge = f"127.0.0.1:{self.plan.sip}"
        call = await self.phone.dial(f"sip:{PILOT}@{edge}", {}, f"sip:{person.extension}@127.0.0.1")
        await call.answered()
        path = self.folder / f"heard-{self.heard}.wav"
        await call.record(path)
        heard = Listening(call, path)
        await heard.hear("enter_pin")
        await call.press(PIN + "#")
        return heard

    async def command(self, *words: str) -> str:
        return await self.node.command(*words)

    async def messages(self, person: Person, count: int, within: float = 15.0) -> list[Message]:
        """Once there are so many, oldest first."""

        async def look() -> bool:
            return len(await self.store.messages.listing(person.id)) >= count

        await scene.seen(f"{count} messages for {person.extension}@{self.domain}", look, within)
        return sorted(await self.store.messages.listing(person.id), key=lambda each: each.id)

    async def sound(self, message: Message) -> "np.ndarray[Any, Any]":
        return samples(await self.store.messages.audio(message.id))


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def samples(data: bytes) -> "np.ndarray[Any, Any]":
    """Of a WAV file, 8000 a second."""
    return np.frombuffer(wav.samples_pcm16(wav.parse(data)), "<i2").astype(float)


def snr(received: "np.ndarray[Any, Any]", sent: "np.ndarray[Any, Any]", late: int = 400) -> float:
    """Decibels, at the delay (at most `late` samples) that fits best. What is longer counts as noise only
    where both have something."""
    best = -np.inf
    for delay in range(late + 1):
        got = received[delay : delay + len(sent)]
        want = sent[: len(got)]
        if len(got) < len(sent) - late:
            break
        noise = float(np.sum((got - want) ** 2))
        best = max(best, 10 * np.log10(float(np.sum(want**2)) / noise) if noise else np.inf)
    return float(best)


ENOUGH = 20.0
"""Decibels."""
SPEECH = "failure"
"""What is said. G.726 leaves 18 to 24 dB of the prompts' voice (21 at the median), 23.0 of this one, so that
what is lost beside the codec shows."""
A, B = "a.example", "b.example"


@dataclass
class Apart:
    """Both systems; users 1001 and 1002 at the first, 2001 at the second."""

    here: System
    there: System
    ann: Person
    ben: Person
    eva: Person


FRESH = 2.5
"""Seconds after which the Primary knows a new location."""
SHORT = wav.file_ulaw(bytes(range(256)) * 32)


async def posted(apart: Apart, audio: bytes, *addresses: str) -> None:
    """A message for other systems, as delivery leaves it."""
    seconds, envelope = wav.parse(audio).seconds, Envelope(sender=apart.ann.id)
    message = NewMessage(uuid7(), OUTGOING, "1001", "", datetime.now(UTC), seconds, envelope=envelope)
    await departures.depart(apart.here.store, message, addresses, audio, 1.0)


def speech() -> bytes:
    """A WAV file of some seconds."""
    return wav.file_pcm16(wav.samples_pcm16(wav.read(prompt(SPEECH))))


async def known(apart: Apart) -> set[UUID]:
    """What 1002 has already."""
    return {each.id for each in await apart.here.store.messages.listing(apart.ben.id)}


async def audible(apart: Apart, before: set[UUID], what: str) -> Message:
    """The new message of 1002, which holds the speech."""
    listing = await apart.here.messages(apart.ben, len(before) + 1)
    [message] = [each for each in listing if each.id not in before]
    ratio = snr(await apart.here.sound(message), samples(speech()))
    print(f"{what}: {message.seconds:.2f} s, {ratio:.1f} dB")
    assert ratio >= ENOUGH
    return message


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __str__(self) -> str:
        return f"{time.monotonic() - self.began:.2f} s"
