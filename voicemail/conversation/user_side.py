"""A user's way in: who is it, in whose language, is anything to be set up first; then the main menu."""

from dataclasses import replace

import structlog

from sip.call import Call, Sound
from store.model import User
from voicemail.conversation.broadcast import hear_broadcasts
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.enrolment import enrol
from voicemail.conversation.hear_messages import resume
from voicemail.conversation.main_menu import main_menu
from voicemail.conversation.setup.greetings import cos_of
from voicemail.conversation.setup.pin import rules_of
from voicemail.conversation.sign_in import sign_in
from voicemail.greetings import NAME
from voicemail.policy import pin_rules, quota
from voicemail.policy.model import UserOptions
from voicemail.policy.quota import QuotaState

log = structlog.get_logger()

FULL = {
    QuotaState.OK: (),
    QuotaState.WARN: ("mailbox_nearly_full",),
    QuotaState.NO_SEND: ("mailbox_no_send",),
    QuotaState.NO_RECEIVE: ("mailbox_is_full",),
}


async def user_side(desk: Desk, call: Call, known: User | None, certain: bool) -> None:
    """From signing in to the end. `known` is whose number is calling; `certain` when that is proved, not
    only said. Raises HungUp, Unavailable."""
    user = await identified(desk, call, known, certain)
    if user is not None:
        await signed_in(desk, call, user)


async def identified(desk: Desk, call: Call, known: User | None, certain: bool) -> User | None:
    """Who it is; None when the caller did not get in. Raises HungUp, Unavailable."""
    user = await _recognised(desk, call, known) if known and certain else None
    return user or await sign_in(desk, call, known, certain)


async def set_up(desk: Desk, call: Call, user: User) -> Desk | None:
    """The desk as the user wants it; None when he has still something to set up, and has been told so.
    Raises HungUp, Unavailable."""
    options = await desk.policies.current_options(user.id)
    desk = replace(desk.in_language(call, user.language), style=options.menu_style)
    if await _is_set_up(desk, call, user, options):
        return desk
    await call.play("enrol_again_next_time", "goodbye")
    return None


async def signed_in(desk: Desk, call: Call, user: User) -> None:
    """What a user hears from then on. Raises HungUp, Unavailable."""
    his = await set_up(desk, call, user)
    if his is None:
        return
    desk = his
    await call.play(*await welcome(desk, user))
    await hear_broadcasts(desk, call, user)
    await resume(desk, call, user)
    await main_menu(desk, call, user)


async def _recognised(desk: Desk, call: Call, known: User) -> User | None:
    """Without a PIN, for those who may: on their own telephone, which has proved that it is."""
    if not (await cos_of(desk, known)).skip_pin:
        return None
    log.info("signed in without a PIN", mailbox=known.extension)
    return await reach(desk.store.users.get(known.id))


async def _is_set_up(desk: Desk, call: Call, user: User, options: UserOptions) -> bool:
    """Enrolled, with a PIN that still holds; what is missing is asked for now."""
    expired = pin_rules.expired(options.pin_changed, desk.now(), await rules_of(desk, user))
    if options.enrolled and not options.must_change_pin and not expired:
        return True
    if expired and not options.must_change_pin:
        options = options.model_copy(update={"must_change_pin": True})
        await reach(desk.policies.set_options(user.id, options))
    options = await enrol(desk, call, user, options)
    return options.enrolled and not options.must_change_pin


async def welcome(desk: Desk, user: User) -> tuple[Sound, ...]:
    """The user's recorded name, and what he should know: a mailbox nearly full, a PIN that will expire."""
    audio = await reach(desk.store.users.greeting(user.id, NAME))
    name = (await desk.sounds.file(audio),) if audio else ()
    cos, options = await cos_of(desk, user), await desk.policies.options(user.id)
    full = quota.state(cos.quota, await reach(desk.store.messages.size(user.id)))
    days = pin_rules.days_left(options.pin_changed, desk.now(), await rules_of(desk, user))
    expires = ("pin_expires_in", *desk.words.count("day", days)) if days is not None else ()
    return (*name, *FULL[full], *expires)
