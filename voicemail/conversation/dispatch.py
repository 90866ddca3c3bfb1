"""A dispatch message is accepted, declined, or postponed: one of several people is to take it on."""

import structlog

from sip.call import Call
from store.errors import NotFound, NotYet
from store.model import Answer, Mark, Message, Outcome, User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.marks import Do, keep_mark
from voicemail.conversation.menu import Mapped
from voicemail.policy.key_map import AfterKeys, DuringKeys

log = structlog.get_logger()

DURING_DISPATCH = Mapped(
    DuringKeys(),
    help=("during_dispatch_menu",),
    rows=(
        (Do.RESTART, "restart", "to_start_over_press"),
        (Do.ACCEPT, "save", "to_accept_press"),
        (Do.DECLINE, "delete", "to_decline_press"),
        (Do.SLOWER, "slower", "to_hear_slower_press"),
        (Do.LOUDER, "louder", "to_hear_louder_press"),
        (Do.FASTER, "faster", "to_hear_faster_press"),
        (Do.STEP_BACK, "rewind", "to_rewind_press"),
        (Do.PAUSE, "pause", "to_pause_press"),
        (Do.STEP_FORWARD, "advance", "to_advance_press"),
        (Do.SKIP, "skip", "to_postpone_press"),
        (Do.BACK, "back", "to_go_back_press"),
    ),
)
AFTER_DISPATCH = Mapped(
    AfterKeys(),
    help=("after_dispatch_menu",),
    brief=("after_dispatch_brief",),
    rows=(
        (Do.RESTART, "replay", "to_hear_again_press"),
        (Do.ACCEPT, "save", "to_accept_press"),
        (Do.DECLINE, "delete", "to_decline_press"),
        (Do.STEP_BACK, "rewind", "to_hear_end_press"),
        (Do.PROPERTIES, "properties", "to_hear_who_press"),
        (Do.SKIP, "skip", "to_postpone_press"),
        (Do.BACK, "back", "to_go_back_press"),
    ),
)
ANSWERS = {Do.ACCEPT: Answer.ACCEPT, Do.DECLINE: Answer.DECLINE}
WORDS = {
    (Answer.ACCEPT, Outcome.KEPT): "dispatch_accepted",
    (Answer.ACCEPT, Outcome.HAD): "dispatch_accepted",
    (Answer.DECLINE, Outcome.KEPT): "dispatch_declined",
    (Answer.DECLINE, Outcome.HAD): "dispatch_accepted",
    (Answer.DECLINE, Outcome.LAST): "dispatch_last_holder",
}
TAKEN = "dispatch_taken"


async def taken(desk: Desk, message: Message) -> bool:
    """Whether somebody else has accepted it since it was listed."""
    return message.open_dispatch and await reach(desk.store.messages.get(message.id)) is None


async def answer(desk: Desk, call: Call, user: User, message: Message, do: Do, heard: bool) -> bool:
    """Accept or decline, then say what became of it. What was accepted is saved. False: all others have
    declined, so he may not. Raises HungUp, Unavailable."""
    given = ANSWERS[do]
    try:
        done = await reach(desk.store.dispatches.answer(message.id, given))
    except NotFound:
        done = Outcome.TAKEN
    except NotYet as error:  # one node has still the older release
        log.warning("dispatch not answered", message_id=str(message.id), why=str(error))
        await call.play("nothing_changed")
        return True
    log.info(
        "dispatch answered",
        message_id=str(message.id),
        mailbox=user.extension,
        answer=str(given),
        outcome=str(done),
    )
    if (given, done) == (Answer.ACCEPT, Outcome.KEPT):
        await keep_mark(desk, user, message, Mark.READ, heard)
    await call.play(WORDS.get((given, done), TAKEN))
    return done is not Outcome.LAST
