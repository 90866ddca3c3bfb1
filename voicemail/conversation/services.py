"""Where keys and routing rules can lead besides mailboxes and handlers (functions.md section 2.2): calling a
number on, greetings of handlers for their owners, messages for everybody.

All but the caller's system transfer need a sign-in. What may be dialled is the table of restrictions' to
say, which refuses everything until an administrator changes it."""

from dataclasses import replace

import structlog

from sip.call import Call, Transferred
from store.model import User, setting_id
from voicemail.conversation.aside import Aside
from voicemail.conversation.broadcast import record_broadcast
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.handler import SWITCHES
from voicemail.conversation.lookup import ON
from voicemail.conversation.setup.greetings import cos_of, greetings
from voicemail.conversation.transfer import put_through
from voicemail.conversation.user_side import identified, set_up
from voicemail.policy.model import CallHandler, Go, GreetingKind, GreetingSwitch, RestrictionTable

log = structlog.get_logger()

SERVICES = (
    Go.SYSTEM_TRANSFER,
    Go.USER_SYSTEM_TRANSFER,
    Go.GREETINGS_ADMINISTRATION,
    Go.BROADCAST_ADMINISTRATION,
)
SYSTEM_TABLE = "default_system_transfer"
TRIES = 3
MOST = 30
"""Digits taken of a number."""


async def serve(desk: Desk, call: Call, go: Go, known: User | None, certain: bool) -> Transferred | None:
    """One of SERVICES; DONE when the caller has been put through. `known` and `certain` as for signing in.
    Raises HungUp, Unavailable."""
    if go is Go.SYSTEM_TRANSFER:
        return await dial(desk, call, SYSTEM_TABLE)
    async with Aside() as aside:
        entry = await identified(desk, call, aside, known, certain)
        ready = await set_up(desk, call, entry) if entry else None
        return await serve_user(ready[0], call, go, ready[1].user) if ready else None


async def serve_user(his: Desk, call: Call, go: Go, user: User) -> Transferred | None:
    """One of those for users. Raises HungUp, Unavailable."""
    cos = await cos_of(his, user)
    match go:
        case Go.USER_SYSTEM_TRANSFER:
            return await dial(his, call, cos.dial_out_table)
        case Go.GREETINGS_ADMINISTRATION:
            await greetings_of_handlers(his, call, user)
        case Go.BROADCAST_ADMINISTRATION if cos.may_broadcast:
            await record_broadcast(his, call, user)
        case _:
            await call.play("not_allowed")
    return None


async def dial(desk: Desk, call: Call, table: str) -> Transferred | None:
    """Ask for a number and put the caller through; None when he gives up, or none of three numbers did."""
    rows = await desk.policies.get(RestrictionTable, table) or RestrictionTable()
    for _ in range(TRIES):
        number = await call.digits("enter_number_to_call", most=MOST)
        if number in ("", "*"):
            return None
        if await put_through(call, number, rows) is Transferred.DONE:
            return Transferred.DONE
    return None


async def greetings_of_handlers(desk: Desk, call: Call, user: User) -> None:
    """Of those whose owner the user is, by their numbers, one after the other."""
    for _ in range(TRIES):
        number = await call.digits("enter_handler_number", most=MOST)
        if number in ("", "*"):
            return
        name = await owned(desk, user, number)
        if name:
            await call.play("handler_greetings")
            await greetings(desk, call, await _keeper(desk, user, name, number))
        else:
            await call.play("no_such_handler")


async def owned(desk: Desk, user: User, number: str) -> str:
    """The name of the handler with this number, if the user is one of its owners; else ""."""
    handlers = await desk.policies.numbered(CallHandler, number)
    return next((name for name, each in handlers.items() if user.extension in each.owners), "")


async def _keeper(desk: Desk, user: User, name: str, number: str) -> User:
    """Whoever greetings are kept for, in a user's shape. What holds without a switch is written down first,
    so that changing one thing keeps the others."""
    keeper = replace(user, id=setting_id(CallHandler.KIND, name), extension=number)
    if GreetingKind.STANDARD not in await desk.policies.of(GreetingSwitch, keeper.id):
        usual = SWITCHES.get(name, ON)
        await reach(desk.policies.put(GreetingKind.STANDARD.value, usual, keeper.id))
    log.info("greetings of a handler are looked after", handler=name, mailbox=user.extension)
    return keeper
