"""A user's way in: who is it, in whose language, is anything to be set up first; then the main menu."""

from dataclasses import replace

import structlog

from sip.call import Call
from store.model import User
from voicemail.conversation.aside import Aside
from voicemail.conversation.broadcast import hear_broadcasts
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.enrolment import enrol
from voicemail.conversation.hear_messages import resume
from voicemail.conversation.main_menu import main_menu
from voicemail.conversation.opening import keys_of, name_of, welcome
from voicemail.conversation.setup.greetings import cos_of
from voicemail.conversation.setup.pin import rules_of
from voicemail.conversation.sign_in import Entry, sign_in
from voicemail.policy import pin_rules
from voicemail.policy.model import UserOptions

log = structlog.get_logger()


async def user_side(desk: Desk, call: Call, known: User | None, certain: bool) -> None:
    """From signing in to the end. `known` is whose number is calling; `certain` when that is proved, not
    only said. Raises HungUp, Unavailable."""
    async with Aside() as aside:
        entry = await identified(desk, call, aside, known, certain)
        if entry is not None:
            await signed_in(desk, call, entry)


async def identified(desk: Desk, call: Call, aside: Aside, known: User | None, certain: bool) -> Entry | None:
    """Who it is; None when the caller did not get in. Raises HungUp, Unavailable."""
    entry = await _recognised(desk, call, known) if known and certain else None
    return entry or await sign_in(desk, call, aside, known, certain)


async def set_up(desk: Desk, call: Call, entry: Entry) -> tuple[Desk, Entry] | None:
    """The desk as the user wants it, and the user as he is then; None when he has still something to set up,
    and has been told so. Raises HungUp, Unavailable."""
    user, options = entry.user, desk.policies.seen(entry.user.id, entry.glance.options)
    keys = await keys_of(desk, options)
    desk = replace(desk.in_language(call, user.language), style=options.menu_style, keys=keys)
    present = await _set_up(desk, call, entry, options)
    if present is None:
        await call.play("enrol_again_next_time", "goodbye")
        return None
    return desk, present


async def signed_in(desk: Desk, call: Call, entry: Entry) -> None:
    """What a user hears from then on. Raises HungUp, Unavailable."""
    ready = await set_up(desk, call, entry)
    if ready is None:
        return
    (desk, present), user = ready, entry.user
    resumes = (await desk.policies.options(user.id)).resume_message
    said = await welcome(desk, present.glance, present.name)
    await call.play(*said)
    if present.glance.broadcasts:
        await hear_broadcasts(desk, call, user)
    await resume(desk, call, user)
    at_once = present is entry and not (said or entry.glance.broadcasts or resumes)
    await main_menu(desk, call, user, entry.glance if at_once else None)


async def _recognised(desk: Desk, call: Call, known: User) -> Entry | None:
    """Without a PIN, for those who may: on their own telephone, which has proved that it is."""
    if not (await cos_of(desk, known)).skip_pin:
        return None
    entry = await _present(desk, known)
    if entry:
        log.info("signed in without a PIN", mailbox=known.extension)
    return entry


async def _present(desk: Desk, user: User) -> Entry | None:
    """The user as he is now; None when he is no longer there."""
    glance = (await reach(desk.store.sign_ins.look(user.id, user.id, desk.policy, desk.now()))).glance
    return Entry(glance, await name_of(desk, glance)) if glance else None


async def _set_up(desk: Desk, call: Call, entry: Entry, options: UserOptions) -> Entry | None:
    """The same entry when he is enrolled, with a PIN that still holds. What is missing is asked for now, and
    the user as he is then given; None when it is missing still."""
    user = entry.user
    expired = pin_rules.expired(options.pin_changed, desk.now(), await rules_of(desk, user))
    if options.enrolled and not options.must_change_pin and not expired:
        return entry
    if expired and not options.must_change_pin:
        options = options.model_copy(update={"must_change_pin": True})
        await reach(desk.policies.set_options(user.id, options))
    options = await enrol(desk, call, user, options)
    return await _present(desk, user) if options.enrolled and not options.must_change_pin else None
