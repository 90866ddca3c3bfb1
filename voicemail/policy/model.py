"""The policies, as values. Each is one setting in the store: its kind, its name, and this as JSON.

Everything has a default, so that a cluster without any setting works as functions.md says. A newer release
may have written more than this one knows: unknown fields are ignored, never an error.
"""

from datetime import date, datetime, time
from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field, computed_field

from voicemail.names import spelled
from voicemail.policy.base import DAY, MEGABYTE, Policy
from voicemail.policy.key_map import STANDARD
from voicemail.policy.listening import Order, Says, Sort
from voicemail.policy.transfers import OtherTransfer, Transfer

# ------------------------------------------------------------------------------- where a call can go


class Go(StrEnum):
    """What rules, caller keys and the ends of greetings and messages can do (functions.md section 2.2)."""

    IGNORE = "ignore"
    HANG_UP = "hang-up"
    HANDLER = "handler"
    """Go to the call handler `target`; its transfer rule first if `transfer`."""
    USER = "user"
    """Go to the user with extension `target`: greeting, or its transfer rule first if `transfer`."""
    INTERVIEW = "interview"
    """Ask the questions of the interview `target`."""
    DIRECTORY = "directory"
    SIGN_IN = "sign-in"
    ERROR_GREETING = "error-greeting"
    TAKE_MESSAGE = "take-message"
    SKIP_GREETING = "skip-greeting"
    RESTART_GREETING = "restart-greeting"
    TRANSFER = "transfer"
    """To the number `target`, after the restriction table for transfers."""
    SYSTEM_TRANSFER = "system-transfer"
    """To a number that the caller dials, after the table `default_system_transfer`."""
    USER_SYSTEM_TRANSFER = "user-system-transfer"
    """The same for somebody who signs in first, after the outside table of his class of service."""
    GREETINGS_ADMINISTRATION = "greetings-administration"
    """Greetings of handlers, for their owners."""
    BROADCAST_ADMINISTRATION = "broadcast-administration"
    """Recording a message for everybody, for those who may."""
    ATTEMPT_SIGN_IN = "attempt-sign-in"
    ATTEMPT_FORWARD = "attempt-forward"
    NEXT_RULE = "next-rule"


class Action(Policy):
    """What to do, and where to."""

    go: Go
    target: str = ""
    transfer: bool = False


# ------------------------------------------------------------------------------------------ schedules


class Block(Policy):
    """On these weekdays (0 is Monday) from `start` until before `end`; `end` 00:00 is the day's end."""

    weekdays: tuple[int, ...]
    start: time = time(0)
    end: time = time(0)


class Schedule(Policy):
    """When somebody is there. Without blocks it is never active."""

    KIND: ClassVar[str] = "schedule"
    blocks: tuple[Block, ...] = ()
    holidays: str = ""
    """Name of a list of holidays, on which the schedule is not active."""


class Holidays(Policy):
    """Days off: first and last day of each."""

    KIND: ClassVar[str] = "holidays"
    days: tuple[tuple[date, date], ...] = ()


# ------------------------------------------------------------------------------------------ greetings


class GreetingKind(StrEnum):
    """In order of precedence; STANDARD is always on; ERROR plays on a bad key."""

    ALTERNATE = "alternate"
    BUSY = "busy"
    INTERNAL = "internal"
    HOLIDAY = "holiday"
    CLOSED = "closed"
    STANDARD = "standard"
    ERROR = "error"


class Source(StrEnum):
    """What is played for a greeting."""

    SYSTEM = "system"
    """The system's words, with the owner's recorded name where there is one."""
    RECORDING = "recording"
    NONE = "none"


class GreetingSwitch(Policy):
    """One greeting of a user (owner) or a handler. The recording lies in the store's greetings, under the
    same kind, owned by the user's id or the handler's (`store.model.setting_id("handler", name)`)."""

    KIND: ClassVar[str] = "greeting"
    enabled: bool = False
    until: datetime | None = None
    """Switched off from then on."""
    source: Source = Source.RECORDING
    """RECORDING without a recording is SYSTEM."""
    ignore_keys: bool = False
    reprompts: int = Field(0, ge=0, le=10)
    reprompt_seconds: float = Field(3.0, ge=0.5, le=30)
    """How long a silent caller has after it to press a key."""
    languages: tuple[str, ...] = ()
    """In which there is another recording of it (of the kind `in_language`); in others the plain one is
    played."""
    record_prompt: bool = False
    """Say "record your message after the tone" after it."""
    after: Action = Action(go=Go.TAKE_MESSAGE)


def in_language(kind: str, language: str) -> str:
    """Of the recording of a greeting in one of its `languages`: its kind."""
    return f"{kind} {language}"


# ------------------------------------------------------------------------------- handlers and routing


CALLER_KEYS: dict[str, Action] = {
    "#": Action(go=Go.SKIP_GREETING),
    "*": Action(go=Go.SIGN_IN),
    "0": Action(go=Go.HANDLER, target="operator", transfer=True),
}
"""What keys do during a user's greeting, by default."""


Wait = Annotated[float, Field(ge=0, le=10)]


class CallHandler(Policy):
    """Answers calls: opening greeting, operator, goodbye, and those that administrators make."""

    KIND: ClassVar[str] = "handler"
    extension: str = ""
    """A number that leads here when dialled; "" for none."""
    display_name: str = ""
    language: str = ""
    schedule: str = "weekdays"
    keys: dict[str, Action] = {}
    wait_for_digits: Wait = 1.5
    """Seconds a key that begins an extension waits for more digits."""
    wait_for_digits_after: dict[str, Wait] = {}
    """Those of single keys, for all that begins with them; 0: it acts at once, as a locked one."""
    extensions_may_be_dialled: bool = True
    locked_keys: str = ""
    """Keys that act at once, without waiting for more digits."""
    prepend_digits: str = ""
    """Put before the digits that callers dial: "3" where 4001 is dialled for 34001."""
    transfer: Transfer = Transfer()
    closed_transfer: OtherTransfer = OtherTransfer()
    alternate_transfer: OtherTransfer = OtherTransfer()
    messages_to: tuple[str, ...] = ()
    """Extensions or "list:<name>"; () takes none."""
    dispatch: bool = False
    """Its messages are for whoever of those accepts them first."""
    owners: tuple[str, ...] = ()
    """Extensions of users who may change its greetings by telephone."""
    after_message: Action = Action(go=Go.HANDLER, target="goodbye")
    caller_may_edit: bool = True
    longest_message: float = Field(300.0, gt=0)


class Table(StrEnum):
    """The two ordered tables of routing rules."""

    DIRECT = "direct"
    FORWARDED = "forwarded"


class RoutingRule(Policy):
    """The first active rule of a table whose every filled condition holds decides. A condition is a list
    of patterns (`*` any digits, `?` one digit; of trunks any letters), "" (or none) holds always."""

    KIND: ClassVar[str] = "rule"
    table: Table
    order: int = 100
    active: bool = True
    calling: tuple[str, ...] = ()
    dialled: tuple[str, ...] = ()
    forwarding: tuple[str, ...] = ()
    trunk: tuple[str, ...] = ()
    schedule: str = ""
    action: Action


# --------------------------------------------------------------------------------------- restrictions


class Restriction(Policy):
    """One row: `*` is zero or more digits, `?` exactly one."""

    pattern: str
    allow: bool


class RestrictionTable(Policy):
    """The first row that matches decides. What matches none is refused."""

    KIND: ClassVar[str] = "restriction"
    rows: tuple[Restriction, ...] = Field((), max_length=50)


# ---------------------------------------------------------------------------------------------- users


class Quota(Policy):
    """Bytes of audio; 0 for no limit."""

    warn: int = 12 * MEGABYTE
    no_send: int = 13 * MEGABYTE
    no_receive: int = 14 * MEGABYTE


class PinRules(Policy):
    """What a new PIN has to be like, and how long it lasts. Wrong ones: [pin] of the configuration."""

    KIND: ClassVar[str] = "pin_rules"
    shortest: int = Field(6, ge=3, le=24)
    history: int = Field(5, ge=0, le=24)
    least_minutes: int = Field(DAY, ge=0)
    most_days: int = Field(180, ge=0)
    """0: never expires."""
    warn_days: int = Field(15, ge=0)
    least_changed: int = Field(1, ge=0, le=2)
    """In how many digits a new PIN differs from the present one at least. Only its hash is known, so that
    more of them would take too long to compare."""


class ClassOfService(Policy):
    """What a class of users may do. Seconds unless said otherwise."""

    KIND: ClassVar[str] = "cos"
    pin_rules: str = "default"
    longest_message: float = Field(300.0, gt=0)
    longest_from_outside: float = Field(300.0, gt=0)
    longest_greeting: float = Field(90.0, gt=0)
    longest_name: float = Field(30.0, gt=0)
    quota: Quota = Quota()
    keep_deleted: bool = True
    """Deleted messages can be heard and restored until they are purged."""
    may_send_to_lists: bool = True
    may_send_elsewhere: bool = True
    """To other voice-mail systems."""
    may_broadcast: bool = False
    may_call_sender: bool = True
    may_record_name: bool = True
    may_change_listing: bool = True
    private_lists: int = Field(25, ge=0, le=99)
    callers_may_edit: bool = True
    callers_may_mark_urgent: bool = True
    callers_may_mark_private: bool = True
    identified_messages: bool = True
    """Messages from users' own phones are from users: they can be answered."""
    skip_pin: bool = False
    """On the user's own phone, when the edge has proved that it is."""
    transfer_table: str = "default_transfer"
    dial_out_table: str = "default_dial_out"
    alternate_table: str = "default_alternate_extensions"
    """Which numbers users may give themselves."""
    own_extensions: int = Field(10, ge=0, le=10)
    """How many of them."""


class MenuStyle(StrEnum):
    FULL = "full"
    BRIEF = "brief"


class Unsent(StrEnum):
    """What becomes of a message whose author hangs up before sending it."""

    SEND = "send"
    DISCARD = "discard"


class AfterMail(StrEnum):
    """What becomes of a message whose recording a mail host has accepted for its owner."""

    KEEP = "keep"
    HEARD = "heard"
    DELETED = "deleted"


class UserOptions(Policy):
    """What is kept for one user besides store.model.User; owner is the user, name "options"."""

    KIND: ClassVar[str] = "user_options"
    cos: str = "default"
    enrolled: bool = False
    listed: bool = True
    """In the directory, for callers who spell names."""
    menu_style: MenuStyle = MenuStyle.FULL
    key_map: str = STANDARD
    schedule: str = "weekdays"
    time_zone: str = ""
    """"" is the node's."""
    pin_changed: datetime | None = None
    must_change_pin: bool = False
    old_pins: tuple[str, ...] = Field((), repr=False)
    """Hashes, latest first."""
    speed: float = Field(1.0, ge=0.5, le=2.0)
    volume: int = Field(0, ge=-12, le=12)
    """dB."""
    resume_message: UUID | None = None
    """Where the user was cut off."""
    resume_at: float = 0.0
    says_before: tuple[Says, ...] = (Says.PLACE, Says.SENDER, Says.TIME)
    """Of each message before it is played."""
    says_after: tuple[Says, ...] = ()
    type_order: tuple[Sort, ...] = (Sort.VOICE, Sort.REPORTS)
    """What is heard first; urgent ones are the first of their type."""
    type_menu: bool = False
    """Ask which type is to be heard, where there are several."""
    new_order: Order = Order.OLDEST
    saved_order: Order = Order.OLDEST
    """Of deleted ones, too."""
    rejects: tuple[Sort, ...] = ()
    """Messages that are not taken for him. (Relayed ones: Device of kind "relay".)"""
    unsent: Unsent = Unsent.SEND
    record_first: bool = False
    """Messages are recorded before they are addressed."""
    send_receipts: bool = True
    transfer: Transfer = Transfer()
    closed_transfer: OtherTransfer = OtherTransfer()
    alternate_transfer: OtherTransfer = OtherTransfer()
    keys: dict[str, Action] | None = None
    """What keys do during the greeting; None: CALLER_KEYS."""
    after_message: Action = Action(go=Go.HANDLER, target="goodbye")
    after_mail: AfterMail = AfterMail.KEEP
    """Only of mails that carry the recording."""


class Members(Policy):
    """A distribution list: extensions, and "list:<name>" for system lists within."""

    KIND: ClassVar[str] = "list"
    display_name: str = ""
    extension: str = ""
    """By which users address it; "" for by name only."""
    members: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def keys(self) -> tuple[str, ...]:
        """How its name is spelled on a telephone's keys; the store looks for it by these."""
        return tuple(filter(None, (spelled(self.display_name),)))


class PrivateList(Members):
    """Owned by a user; its name is its number, "1" to "99". Its spoken name is the user's greeting
    "list <number>"."""

    KIND: ClassVar[str] = "private_list"


class Undeliverable(Policy):
    """Who gets messages that nobody else can: one setting, "default"."""

    KIND: ClassVar[str] = "undeliverable"
    members: tuple[str, ...] = ()
