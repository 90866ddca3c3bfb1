"""A worker takes orders to call users who want to be told of messages by telephone (`call_orders.py`).

Whether the number may be dialled is asked here, immediately before it is, by the user's own table of
restrictions. The conversation is the user's side of the telephone, behind the PIN.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path

import structlog

from sip.call import Call, Dial, HungUp, Transferred
from sip.errors import SipError
from store.api import Store
from store.errors import StoreError
from store.model import User
from voicemail.call_orders import LONGEST_LINE, Ended, Order, Report
from voicemail.conversation.desk import Desk
from voicemail.conversation.notified import notified
from voicemail.conversation.setup.transfer import number_allowed
from voicemail.policy.numbers import dialable

log = structlog.get_logger()

RING = 45.0
"""Seconds that a user's telephone rings."""
ASKING = 5.0
"""Seconds within which an order must have come."""
LONGEST_CALL = 3600.0
"""Seconds that a user may talk to us on such a call."""
ENDED = {
    Transferred.BUSY: Ended.BUSY,
    Transferred.NO_ANSWER: Ended.NO_ANSWER,
    Transferred.REFUSED: Ended.REFUSED,
    Transferred.DONE: Ended.NO_PIN,
}
Tell = Callable[[Report], None]


class Caller:
    """One per worker: makes the calls that are ordered. `open_desk` opens a call's desk, `uri` has a place
    for the number, "" calls registered phones only, of `domain`."""

    def __init__(
        self, store: Store, open_desk: Callable[[], AbstractContextManager[Desk]], uri: str, domain: str
    ) -> None:
        self._store, self._open_desk = store, open_desk
        self._uri, self._trunk = uri or f"sip:{{number}}@{domain}", bool(uri)
        self._dial: Dial | None = None

    def may_dial(self, dial: Dial) -> None:
        self._dial = dial

    async def call(self, order: Order, tell: Tell) -> None:
        """Do it; `tell` is called once, as soon as it is known how it went."""
        told = False

        def once(ended: Ended, text: str = "") -> None:
            nonlocal told
            if not told:
                tell(Report(ended, text))
            told = True

        structlog.contextvars.bind_contextvars(item=str(order.item))
        try:
            await self._call(order, once)
        except SipError as error:
            once(Ended.NO_PORT, str(error))
        except StoreError as error:
            once(Ended.NO_PORT, f"the database is away: {error}")
        finally:
            once(Ended.REFUSED, "the call failed")

    async def _call(self, order: Order, tell: Callable[..., None]) -> None:
        """Raises SipError, StoreError."""
        user = await self._store.users.get(order.user)
        digits = dialable(order.number)
        if self._dial is None or user is None:
            return tell(Ended.NO_PORT, "not ready" if user else "the user is gone")
        with self._open_desk() as desk:
            if not digits or not await number_allowed(desk, user, order.number, dial_out=True):
                return tell(Ended.NOT_ALLOWED)

            async def talk(call: Call) -> None:
                await self._talk(desk, call, user, lambda: tell(Ended.REACHED))

            done = await self._dial(self._uri.replace("{number}", digits), RING, talk, trunk=self._trunk)
            tell(ENDED[done])

    async def _talk(self, desk: Desk, call: Call, user: User, reached: Callable[[], None]) -> None:
        """Whatever happens, the call was answered."""
        try:
            async with asyncio.timeout(LONGEST_CALL):
                await notified(desk, call, user, reached)
        except HungUp:
            log.info("call over: the user hung up", mailbox=user.extension)
        except (StoreError, SipError, TimeoutError) as error:
            log.warning("call over", mailbox=user.extension, why=str(error) or "it lasted too long")
            with suppress(HungUp, SipError):
                await call.play("not_available_now", "goodbye")


@asynccontextmanager
async def taking_orders(path: Path, call: Callable[[Order, Tell], Awaitable[None]]) -> AsyncIterator[None]:
    """Take orders at a socket that only we may open. Where there can be none, callers are served all the
    same."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ASKING):
                order = Order.read(await reader.readline())
            await _carried_out(order, call, reader, writer)
        except (OSError, ValueError) as error:
            log.warning("order cannot be read", why=str(error) or "it did not come")
        except Exception:
            log.exception("a call that was ordered failed")
        finally:
            writer.close()

    server = await _listening(path, client)
    try:
        yield
    finally:
        if server:
            server.close()


async def _listening(
    path: Path, client: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> asyncio.Server | None:
    before = os.umask(0o177)
    try:
        await asyncio.to_thread(_clear, path)
        return await asyncio.start_unix_server(client, path, limit=LONGEST_LINE)
    except OSError as error:
        log.error("ALARM no orders to call users can be taken", path=str(path), why=str(error))
        return None
    finally:
        os.umask(before)


async def _carried_out(
    order: Order,
    call: Callable[[Order, Tell], Awaitable[None]],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Until the call is over; who ordered it and goes away before it was told how it went ends it."""
    told = asyncio.Event()

    def tell(report: Report) -> None:
        told.set()
        writer.write(report.line)

    calling = asyncio.ensure_future(call(order, tell))
    gone = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({calling, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not calling.done() and not told.is_set():
            log.warning("call ended: who ordered it has gone")
            calling.cancel()
        with suppress(asyncio.CancelledError):
            await calling
    finally:
        gone.cancel()
        calling.cancel()


def _clear(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)
