"""Whether and where to a user's calls are put through before his greeting: three rules, as for greetings."""

from enum import Enum, auto

import structlog

from sip.call import Call, Sound
from store.model import User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose
from voicemail.conversation.setup.greetings import cos_of, end_of_day
from voicemail.policy.model import RestrictionTable
from voicemail.policy.numbers import allowed
from voicemail.policy.transfers import FIELDS, OnBusy, OtherTransfer, RuleKind, Transfer, current, rules_of

log = structlog.get_logger()

MOST = 30
"""Digits taken of a number."""
BACK = "*"
WHICH: Menu[RuleKind | str] = Menu(
    help=("transfer_rules_menu",),
    brief=("transfer_rules_brief",),
    keys={"1": RuleKind.STANDARD, "2": RuleKind.ALTERNATE, "3": RuleKind.CLOSED, BACK: BACK},
)


class Do(Enum):
    """Rows of a rule's menu."""

    SWITCH = auto()
    NUMBER = auto()
    HOW = auto()
    SCREENING = auto()
    BUSY = auto()
    END = auto()
    GREETING = auto()
    BACK = auto()


STANDARD = Menu(
    help=("transfer_menu",),
    brief=("transfer_brief",),
    keys={"1": Do.SWITCH, "2": Do.NUMBER, "3": Do.HOW, "4": Do.SCREENING, "5": Do.BUSY, "*": Do.BACK},
)
"""It always holds: switched off, callers hear the greeting at once."""
OTHER = Menu(
    help=("other_transfer_menu",),
    brief=("transfer_brief",),
    keys={**STANDARD.keys, "6": Do.END, "7": Do.GREETING},
)
SCREENING: Menu[str] = Menu(
    help=("screening_menu",),
    brief=("screening_brief",),
    keys={"1": "announce", "2": "ask_name", "3": "confirm", BACK: BACK},
)
"""Each key switches this field of the rule."""
SCREENED = {"announce": "screen_announce", "ask_name": "screen_name", "confirm": "screen_confirm"}
BUSY = {
    OnBusy.GREETING: "when_busy_greeting",
    OnBusy.ASK: "when_busy_ask",
    OnBusy.HOLD: "when_busy_hold",
}
"""In the order in which one key goes through them."""
SUPERVISED = {"supervised": True}
"""What screening and waiting need."""


async def transfer_settings(desk: Desk, call: Call, user: User) -> None:
    """Until the user goes back."""
    while (kind := await choose(call, WHICH, style=desk.style)) not in (BACK, None):
        await one_rule(desk, call, user, RuleKind(kind))


async def one_rule(desk: Desk, call: Call, user: User, kind: RuleKind) -> None:
    """Say how it stands, then what can be done, until the user goes back."""
    menu = STANDARD if kind is RuleKind.STANDARD else OTHER
    said = state(desk, user, kind, await _rule(desk, user, kind))
    while (do := await choose(call, menu, *said, style=desk.style)) not in (Do.BACK, None):
        rule = await _rule(desk, user, kind)
        match do:
            case Do.SWITCH:
                said = await _kept(desk, user, kind, **switched(rule))
            case Do.NUMBER:
                said = await _number(desk, call, user, kind)
            case Do.HOW:
                said = await _kept(desk, user, kind, supervised=not rule.supervised)
            case Do.SCREENING:
                said = await _screening(desk, call, user, kind)
            case Do.BUSY:
                following = after(rule.on_busy)
                await _kept(desk, user, kind, on_busy=following, **SUPERVISED)
                said = (BUSY[following],)
            case Do.END:
                said = await _ended(desk, call, user, kind)
            case Do.GREETING:
                said = await _kept(desk, user, kind, active=True, enabled=not rule.enabled)


def switched(rule: Transfer) -> dict[str, object]:
    """The standard rule lets callers through or not; another one holds or not."""
    if isinstance(rule, OtherTransfer):
        return {"active": not rule.active, "until": None}
    return {"enabled": not rule.enabled}


def after(on_busy: OnBusy) -> OnBusy:
    """The next one, and round again."""
    order = tuple(BUSY)
    return order[(order.index(on_busy) + 1) % len(order)]


def state(desk: Desk, user: User, kind: RuleKind, rule: Transfer) -> tuple[Sound, ...]:
    """ "Your alternate transfer rule is on, until Monday … Calls go to 1002. They come back …"."""
    if not isinstance(rule, OtherTransfer):
        return ("transfer_of_calls", *(("is_on", *_where(desk, user, rule)) if rule.enabled else ("is_off",)))
    name = f"{kind.value}_transfer"
    if not rule.active:
        return (name, "is_off")
    until = ("until", *desk.words.moment(rule.until, desk.now())) if rule.until else ()
    where = _where(desk, user, rule) if rule.enabled else ("calls_go_to_greeting",)
    return (name, "is_on", *until, *where)


def _where(desk: Desk, user: User, rule: Transfer) -> tuple[Sound, ...]:
    number = desk.words.digits(rule.number or user.extension)
    return ("calls_go_to", *number, "transfer_is_supervised" if rule.supervised else "transfer_is_released")


async def _number(desk: Desk, call: Call, user: User, kind: RuleKind) -> tuple[Sound, ...]:
    """Checked here and once more when a call is put through. No number: the own telephone."""
    pressed = await call.digits("enter_transfer_number", most=MOST)
    if pressed == "*":
        return ("nothing_changed",)
    if pressed and not await number_allowed(desk, user, pressed):
        return ("number_not_allowed",)
    return await _kept(desk, user, kind, number=pressed, enabled=True, **_on(kind))


async def _ended(desk: Desk, call: Call, user: User, kind: RuleKind) -> tuple[Sound, ...]:
    """On until the end of a day; without one, on until it is switched off."""
    pressed = await call.digits("enter_last_day", most=4)
    if pressed == "*":
        return ("nothing_changed",)
    until = end_of_day(pressed, desk.now()) if pressed else None
    if pressed and until is None:
        return ("no_such_day",)
    return await _kept(desk, user, kind, until=until, **_on(kind))


def _on(kind: RuleKind) -> dict[str, object]:
    """Nobody gives a rule a number or an end in order not to have it."""
    return {} if kind is RuleKind.STANDARD else {"active": True}


async def _screening(desk: Desk, call: Call, user: User, kind: RuleKind) -> tuple[Sound, ...]:
    """What the user hears of a call and is asked before it is joined, until he goes back."""
    said = screened(await _rule(desk, user, kind))
    while (field := await choose(call, SCREENING, *said, style=desk.style)) not in (BACK, None):
        on = not getattr(await _rule(desk, user, kind), str(field))
        await _kept(desk, user, kind, **{str(field): on, **(SUPERVISED if on else {})})
        said = (SCREENED[str(field)], "is_on" if on else "is_off")
    return state(desk, user, kind, await _rule(desk, user, kind))


def screened(rule: Transfer) -> tuple[Sound, ...]:
    """What is on and off."""
    return tuple(
        part
        for field, name in SCREENED.items()
        for part in (name, "is_on" if getattr(rule, field) else "is_off")
    )


async def number_allowed(desk: Desk, user: User, number: str, *, dial_out: bool = False) -> bool:
    """By the user's class of service. A table that has been taken away allows nothing."""
    cos = await cos_of(desk, user)
    name = cos.dial_out_table if dial_out else cos.transfer_table
    table = await desk.policies.get(RestrictionTable, name)
    is_allowed = table is not None and allowed(table, number)
    if not is_allowed:
        log.warning("number refused", mailbox=user.extension, number=number, table=name)
    return is_allowed


async def _rule(desk: Desk, user: User, kind: RuleKind) -> Transfer:
    return current(rules_of(await desk.policies.options(user.id))[kind], desk.now())


async def _kept(desk: Desk, user: User, kind: RuleKind, **changes: object) -> tuple[Sound, ...]:
    options = await desk.policies.options(user.id)
    rule = current(rules_of(options)[kind], desk.now()).model_copy(update=changes)
    changed = options.model_copy(update={FIELDS[kind]: rule})
    await reach(desk.policies.set_options(user.id, changed))
    log.info("transfer changed", mailbox=user.extension, rule=kind.value, **rule.model_dump(mode="json"))
    return state(desk, user, kind, rule)
