"""A call handler as it answers now: opening greeting, operator, goodbye, and those of administrators."""

from collections.abc import Mapping

from sip.call import Sound
from store.model import setting_id
from voicemail.conversation.host import Dialling, Host, Letterbox
from voicemail.conversation.lookup import ON, Greeted, Lookup
from voicemail.policy.book import Policies
from voicemail.policy.builtin import GOODBYE, OPENING, OPERATOR
from voicemail.policy.model import (
    Action,
    CallHandler,
    Go,
    GreetingKind,
    GreetingSwitch,
    Members,
    RestrictionTable,
    Source,
    Undeliverable,
)
from voicemail.policy.transferred import HANDLERS_TABLE
from voicemail.policy.transfers import rules_of
from voicemail.words import Words

BAD_KEY = Action(go=Go.ERROR_GREETING)
SWITCHES: Mapping[str, GreetingSwitch] = {
    OPENING: GreetingSwitch(
        enabled=True, reprompts=1, after=Action(go=Go.HANDLER, target=OPERATOR, transfer=True)
    ),
    GOODBYE: GreetingSwitch(enabled=True, after=Action(go=Go.HANG_UP)),
}
"""The standard greeting of a handler whose greetings nobody has set."""
OFFERS = {
    Go.DIRECTORY: "to_find_by_name_press",
    Go.SIGN_IN: "to_sign_in_press",
    Go.SKIP_GREETING: "to_leave_a_message_press",
    Go.TAKE_MESSAGE: "to_leave_a_message_press",
}
"""What is said of a key by what it does; other keys take a recording to tell of them."""


async def handler_host(look: Lookup, name: str, handler: CallHandler) -> Host:
    """Never raises."""
    policies, owner = look.desk.policies, setting_id(CallHandler.KIND, name)
    switches = {GreetingKind.STANDARD: SWITCHES.get(name, ON), **await look.switches(owner)}
    greeted = await look.greeted(owner, switches, handler.schedule)
    to = await addressees(policies, handler.messages_to)
    box = letterbox(handler, to, look.desk.limits.longest) if to else None
    said = system_words(look.desk.words, name, handler, greeted)
    takes = box is not None and greeted.switch.after.go is Go.TAKE_MESSAGE
    asks = takes and (greeted.switch.record_prompt or not greeted.recording)
    return Host(
        words=(greeted.recording,) if greeted.recording else said,
        switch=greeted.switch,
        keys=handler.keys,
        other=BAD_KEY,
        error=greeted.error,
        dialling=dialling(handler),
        box=box,
        before_tone=("record_at_tone",) if asks else (),
        after_message=handler.after_message,
        transfer=await look.transfer(rules_of(handler), handler.schedule),
        number=handler.extension,
        table=await policies.get(RestrictionTable, HANDLERS_TABLE) or RestrictionTable(),
        language=handler.language,
    )


def dialling(handler: CallHandler) -> Dialling | None:
    """None when callers may not dial extensions there."""
    if not handler.extensions_may_be_dialled:
        return None
    after = handler.wait_for_digits_after
    locked = handler.locked_keys + "".join(key for key, seconds in after.items() if not seconds)
    return Dialling(handler.wait_for_digits, locked, handler.prepend_digits, after)


def letterbox(handler: CallHandler, to: tuple[str, ...], longest: float) -> Letterbox:
    """`longest` seconds are the node's limit."""
    return Letterbox(
        handler.extension,
        addressees=to,
        dispatch=handler.dispatch,
        longest=min(handler.longest_message, longest),
        may_edit=handler.caller_may_edit,
    )


async def addressees(policies: Policies, to: tuple[str, ...]) -> tuple[str, ...]:
    """Extensions and lists. "undeliverable" stands for whom the policy names, "operator" for the list of
    that name; () when nobody would get the message, which is then not taken."""
    found: list[str] = []
    for each in to:
        if each == "undeliverable":
            policy = await policies.get(Undeliverable, "default")
            found += policy.members if policy else ()
        elif each.removeprefix("list:").isalpha() or each.startswith("list:"):
            name = each.removeprefix("list:")
            found += [f"list:{name}"] if await policies.get(Members, name) else []
        else:
            found.append(each)
    return tuple(dict.fromkeys(found))


def system_words(words: Words, name: str, handler: CallHandler, greeted: Greeted) -> tuple[Sound, ...]:
    """What is said where there is no recording: what the keys offer."""
    if greeted.switch.source is Source.NONE:
        return ()
    if name == GOODBYE:
        return ("goodbye",)
    first = "nobody_here_now" if name == OPERATOR else "opening_welcome"
    hello = (greeted.name,) if greeted.name else (first,)
    dial = ("dial_extension",) if handler.extensions_may_be_dialled and name != OPERATOR else ()
    return (*hello, *dial, *offers(words, handler.keys))


def offers(words: Words, keys: Mapping[str, Action]) -> tuple[str, ...]:
    """ "For the operator, press" "zero" …"""
    said: list[str] = []
    for key, action in keys.items():
        to_operator = action.go is Go.HANDLER and action.target == OPERATOR
        if offer := "for_the_operator_press" if to_operator else OFFERS.get(action.go):
            said += [offer, *words.digits(key)]
    return tuple(said)
