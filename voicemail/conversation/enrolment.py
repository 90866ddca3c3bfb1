"""A user's first time: name, greeting, PIN, directory. Each step is kept at once, so a user who is cut off
goes on with the next one; until all are done he is asked again at every sign-in."""

from sip.call import Call
from store.model import User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose
from voicemail.conversation.record_sound import record_sound
from voicemail.conversation.setup.greetings import cos_of
from voicemail.conversation.setup.personal import NAME, YES_NO, listed, record_name, set_listed
from voicemail.conversation.setup.pin import change_pin
from voicemail.policy.model import GreetingKind, UserOptions

OWN_GREETING: Menu[bool] = Menu(help=("enrol_greeting_menu",), keys={"1": True, "#": False, "*": False})


async def enrol(desk: Desk, call: Call, user: User, options: UserOptions) -> UserOptions:
    """What is left of it; or only a new PIN, for a user who is enrolled. The options afterwards: with
    `must_change_pin` set, or `enrolled` not, the user has not done it. Raises HungUp, Unavailable."""
    if not options.enrolled:
        await call.play("enrol_welcome")
        await _name(desk, call, user)
        await _greeting(desk, call, user)
    if options.must_change_pin or not options.pin_changed:
        await call.play(*(("enrol_pin",) if not options.enrolled else ("pin_must_be_changed",)))
        await call.play(*await change_pin(desk, call, user, forced=True))
    options = await desk.policies.options(user.id)
    if options.enrolled or options.must_change_pin or not options.pin_changed:
        return options
    return await _listing(desk, call, user, options)


async def _name(desk: Desk, call: Call, user: User) -> None:
    cos = await cos_of(desk, user)
    if cos.may_record_name and not await reach(desk.store.users.greeting(user.id, NAME)):
        await call.play(*await record_name(desk, call, user))


async def _greeting(desk: Desk, call: Call, user: User) -> None:
    """The system's own does for those who want none."""
    standard = GreetingKind.STANDARD.value
    if await reach(desk.store.users.greeting(user.id, standard)):
        return
    if await choose(call, OWN_GREETING):
        longest = (await cos_of(desk, user)).longest_greeting
        audio = await record_sound(desk, call, longest, "record_greeting_at_tone")
        if audio:
            await reach(desk.store.users.set_greeting(user.id, audio, standard))
            await call.play("greeting_kept")


async def _listing(desk: Desk, call: Call, user: User, options: UserOptions) -> UserOptions:
    if (await cos_of(desk, user)).may_change_listing:
        wanted = await choose(call, YES_NO, listed(options.listed))
        if wanted is not None:
            await set_listed(desk, user, wanted)
    options = (await desk.policies.options(user.id)).model_copy(update={"enrolled": True})
    await reach(desk.policies.set_options(user.id, options))
    await call.play("enrol_done")
    return options
