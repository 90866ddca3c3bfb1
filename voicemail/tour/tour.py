"""The tour: what a caller, a user, a lamp and a mail reader see of the cluster, with real calls.

Each step is a coroutine that returns what was seen; a step that does not see it raises.
"""

import asyncio
import email
import email.policy
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from sip import wav
from sip.errors import BadSound
from sip.hears import hears
from sip.mwi import parse as parse_summary
from sip.settings import EngineSettings
from sip.softphone import Notify, PhoneCall, Softphone
from store.api import Store
from store.errors import NotYet
from store.model import Message, Setting
from voicemail.errors import VoicemailError
from voicemail.policy.book import OPTIONS
from voicemail.policy.model import UserOptions
from voicemail.prompts import PromptBook
from voicemail.tour.local import LocalCluster, LocalNode

T = TypeVar("T")
PROMPTS = PromptBook()
SPEECH = "cannot_record_now"
"""What the callers of the tour say: some seconds of a known voice, to be recognised later."""


class TourFailed(VoicemailError):
    """A step did not see what it should."""


@dataclass(frozen=True, slots=True)
class Person:
    """A mailbox of the tour."""

    extension: str
    pin: str
    id: UUID


LISTENS = 0.1
"""Seconds between two looks at what a call has heard."""


def prompt(name: str) -> Path:
    path = PROMPTS.find(name)
    assert path is not None, name
    return path


async def until(what: str, look: Callable[[], Awaitable[T | None]], within: float, every: float = 0.02) -> T:
    """The first thing that `look` finds. Raises TourFailed."""
    ends = time.monotonic() + within
    while time.monotonic() < ends:
        if (found := await look()) is not None:
            return found
        await asyncio.sleep(every)
    raise TourFailed(f"not seen within {within:g} s: {what}")


async def set_up(store: Store, user_id: UUID) -> None:
    """Spare a person what is asked at the first time. Settings wait until both nodes take them."""
    done = UserOptions(enrolled=True, pin_changed=datetime.now(UTC))

    async def look() -> bool | None:
        try:
            await store.settings.put(Setting(UserOptions.KIND, OPTIONS, done.model_dump_json(), user_id))
        except NotYet:
            return None
        return True

    await until("both nodes take settings", look, 15.0)


class Listening:
    """What a call has heard so far, while it goes on."""

    def __init__(self, call: PhoneCall, path: Path) -> None:
        self.call, self.path = call, path

    async def hear(self, name: str, sound: Path | None = None, within: float = 15.0) -> float:
        """Wait until the prompt has been heard to its end; the second at which it began."""
        known = 0.0

        async def look() -> float | None:
            nonlocal known
            found, known = await asyncio.to_thread(self._find, sound or prompt(name), known)
            return found

        return await until(f"the caller hears {name!r}", look, within, LISTENS)

    def _find(self, sound: Path, known: float) -> tuple[float | None, float]:
        """In a repaired copy, because the file is still being written; and how many seconds of it there
        are, of which the first `known` ones were looked through before."""
        with tempfile.NamedTemporaryFile(suffix=".wav") as copy:
            try:
                shutil.copyfile(self.path, copy.name)
                wav.repair(Path(copy.name))
                return hears(Path(copy.name), sound, known), wav.seconds(Path(copy.name))
            except (OSError, BadSound):
                return None, known


class Tour:
    """The tour's people: a PBX, a user's phone, two databases to look into, a mailbox for mail."""

    def __init__(self, cluster: LocalCluster, folder: Path, mails: Path) -> None:
        self.cluster, self.folder, self.mails = cluster, folder, mails
        self.first, self.second = cluster.nodes
        self.pilot = cluster.plan.pilot
        self.calls = 0

    async def open(self, stack: AsyncExitStack, trunk_port: int) -> None:
        """Phones and stores. The PBX is reached at `trunk_port`."""
        here = self.cluster.plan.address
        phone = EngineSettings(sip_address=here, rtp_address=here, rtp_port=self.cluster.plan.rtp - 400)
        pbx = EngineSettings(
            sip_address=here, sip_port=trunk_port, rtp_address=here,
            rtp_port=self.cluster.plan.rtp - 200, watch_messages=True,
        )  # fmt: skip
        self.phone = await stack.enter_async_context(Softphone(phone))
        self.pbx = await stack.enter_async_context(Softphone(pbx))
        self.stores: tuple[Store, Store] = (
            await stack.enter_async_context(self.first.store()),
            await stack.enter_async_context(self.second.store()),
        )

    # ---- what people do

    async def dial(self, node: LocalNode, phone: Softphone, caller: str, **headers: str) -> Listening:
        self.calls += 1
        path = self.folder / f"heard-{self.calls}.wav"
        call = await phone.dial(f"sip:{self.pilot}@{node.edge}", headers, caller)
        await call.answered()
        await call.record(path)
        return Listening(call, path)

    async def forwarded(self, node: LocalNode, extension: str) -> Listening:
        """A call that the PBX forwards because nobody answered at `extension`."""
        here = self.cluster.plan.address
        diversion = f"<sip:{extension}@{here}>;reason=no-answer"
        return await self.dial(node, self.pbx, f'"Carla" <sip:4930555@{here}>', Diversion=diversion)

    async def message(self, store: Store, person: Person, known: set[UUID]) -> Message:
        async def look() -> Message | None:
            listing = await store.messages.listing(person.id)
            return next((message for message in listing if message.id not in known), None)

        return await until("the message in the store", look, 5.0)

    async def known(self, person: Person) -> set[UUID]:
        return {message.id for store in self.stores for message in await store.messages.listing(person.id)}

    # ---- the steps

    async def subscribe(self, person: Person) -> str:
        await self.phone.subscribe(f"sip:{person.extension}@{self.second.edge}")
        await self.phone.notified(lambda notify: True)
        return "the phone's SUBSCRIBE at vm2 was answered at once by a NOTIFY"

    async def leave(self, person: Person) -> str:
        before, heard = await self.known(person), await self.forwarded(self.first, person.extension)
        greeting = await heard.hear("default_greeting_before")
        tone = await heard.hear("tone")
        await heard.call.say(prompt(SPEECH))
        await heard.call.hang_up()
        began = time.monotonic()
        kept = await asyncio.gather(*(self.message(store, person, before) for store in self.stores))
        took = time.monotonic() - began
        if kept[0].id != kept[1].id:
            raise TourFailed("the two nodes hold different messages")
        return (
            f"greeting from {max(greeting, 0):.1f} s, tone at {tone:.1f} s; "
            f"{kept[0].seconds:.1f} s recorded; "
            f"on both nodes {1000 * took:.0f} ms after the BYE was answered"
        )

    async def lamp(self, on: bool) -> str:
        """At the SUBSCRIBEd phone and at the trunk."""

        def says(notify: Notify) -> bool:
            return (parse_summary(notify.body).new > 0) is on

        async def look() -> bool | None:
            newest = [phone.notifies[-1:] for phone in (self.phone, self.pbx)]
            return True if all(found and says(found[0]) for found in newest) else None

        await until(f"the lamp goes {'on' if on else 'off'} at phone and trunk", look, 5.0)
        return " ".join(self.pbx.notifies[-1].body.split())

    async def mail(self, count: int) -> str:
        async def look() -> Path | None:
            mails = sorted(self.mails.glob("*.eml"))
            return mails[-1] if len(mails) >= count else None

        path = await until("the notification mail", look, 5.0)
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        sounds = [part for part in mail.walk() if part.get_content_maintype() == "audio"]
        recording = sounds[0].get_payload(decode=True) if sounds else b""
        if not isinstance(recording, bytes) or not wav.is_sound(recording):
            raise TourFailed("the mail has no recording attached")
        return f"{mail['Subject']!r} to {mail['To']}, {sounds[0].get_filename()} attached"

    async def retrieve(self, person: Person) -> str:
        here = self.cluster.plan.address
        heard = await self.dial(self.second, self.phone, f"sip:{person.extension}@{here}")
        await heard.hear("enter_pin")
        await heard.call.press(person.pin + "#")
        counted = await heard.hear("new_message")
        await heard.call.press("1")
        await heard.hear("received")
        await heard.hear("the message", prompt(SPEECH))
        await heard.call.press("3")
        await heard.hear("message_deleted")
        await heard.call.hang_up()
        return f"'you have one new message' {counted:.1f} s into the call, then envelope and message; deleted"

    async def cut_off(self, person: Person) -> str:
        """kill -9 of the Primary while it records; the other takes over and takes a call."""
        self.before = await self.known(person)
        heard = await self.forwarded(self.first, person.extension)
        await heard.call.press("#")
        await heard.hear("tone")
        speaking = asyncio.create_task(heard.call.say(prompt(SPEECH)))
        await asyncio.sleep(3.0)
        began = time.monotonic()
        killed = await self.first.kill()
        await self.cluster.until(self.second, lambda status: status.get("status") == "Primary", 10)
        took = time.monotonic() - began
        speaking.cancel()
        return f"{killed} processes killed; vm2 is Primary {1000 * took:.0f} ms later"

    async def next_call(self, person: Person) -> str:
        before, began = await self.known_at(1, person), time.monotonic()
        heard = await self.forwarded(self.second, person.extension)
        answered = time.monotonic() - began
        await heard.call.press("#")
        await heard.hear("tone")
        await heard.call.say(prompt(SPEECH))
        await heard.call.hang_up()
        await self.message(self.stores[1], person, before)
        return f"answered by vm2 after {1000 * answered:.0f} ms, message kept"

    async def known_at(self, index: int, person: Person) -> set[UUID]:
        return {message.id for message in await self.stores[index].messages.listing(person.id)}

    async def heal(self, person: Person) -> str:
        """The killed node comes back; both hold the same, the cut-off message included."""
        began = time.monotonic()
        await self.first.start()
        await self.cluster.in_service(30)

        async def look() -> list[Message] | None:
            one, two = [{m.id: m for m in await s.messages.listing(person.id)} for s in self.stores]
            new = [one[key] for key in one if key not in self.before]
            return new if one.keys() == two.keys() and len(new) == 2 else None

        new = await until("both nodes hold both messages", look, 10.0)
        cut = [message for message in new if message.cut_off]
        if len(cut) != 1:
            raise TourFailed(f"{len(cut)} messages are marked cut off")
        took = time.monotonic() - began
        return (
            f"vm1 is back after {took:.1f} s; both hold the same, {cut[0].seconds:.1f} s of the cut-off one"
        )
