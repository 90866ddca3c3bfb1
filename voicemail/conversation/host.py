"""Who answers a call: a user's mailbox or a call handler, as values that are ready to be played.

`mailbox.py` and `handler.py` make a `Host`, `greet.py` and `leave_message.py` talk for it, and
`switchboard.py` goes where that leads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sip.call import Sound
from sip.invite import Reason
from store.model import User
from voicemail.policy.interview import Interview
from voicemail.policy.model import Action, CallHandler, Go, GreetingSwitch, RestrictionTable
from voicemail.policy.transfers import Transfer

ALL_KEYS = "0123456789*#"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as far as is known."""

    hint: User | None = None
    """Whose number it is, as the INVITE says: good for asking for a PIN, and nothing else."""
    identified: User | None = None
    """Who it certainly is: registered by digest, or asserted by a trunk that is believed."""
    internal: bool = False
    """A user's extension, certain or on a trunk: hears greetings for colleagues."""


# ---------------------------------------------------------------------------------------- where to


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A user, or only a number while the store is away and nobody here remembers whose it is."""

    extension: str
    user: User | None = None
    reason: Reason = Reason.UNKNOWN
    """Why the call comes here."""
    transfer: bool = False
    """Put it through to the user first, if the user has that."""


@dataclass(frozen=True, slots=True)
class Reception:
    """A call handler, by name."""

    name: str
    transfer: bool = False


@dataclass(frozen=True, slots=True)
class Inquiry:
    """An interview, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """The user's side of the telephone interface."""


@dataclass(frozen=True, slots=True)
class Directory:
    """Finding somebody by name."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A number outside."""

    number: str


@dataclass(frozen=True, slots=True)
class Over:
    """The end, after these words."""

    said: tuple[Sound, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """Something for callers who know a number, or for users who sign in: see services.py."""

    go: Go


Place = Service | Mailbox | Reception | Inquiry | SignIn | Directory | Elsewhere | Over


def place_with(
    number: str, handlers: Mapping[str, CallHandler], interviews: Mapping[str, Interview]
) -> Place | None:
    """The handler or interview that is dialled by a number; None when none is."""
    if name := next((name for name, each in handlers.items() if each.extension == number), ""):
        return Reception(name, transfer=True)
    asked = next((name for name, each in interviews.items() if each.extension == number), "")
    return Inquiry(asked) if asked else None


# ---------------------------------------------------------------------------------------- who answers


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a host's messages go, and what their authors may do with them."""

    extension: str
    mailbox_id: UUID | None = None
    addressees: tuple[str, ...] = ()
    """Extensions and "list:<name>" of a handler's messages; () for the mailbox itself."""
    dispatch: bool = False
    """For whoever of the addressees accepts it first."""
    full: bool = False
    longest: float = 300.0
    """Seconds."""
    may_edit: bool = True
    may_mark_urgent: bool = True
    may_mark_private: bool = True


@dataclass(frozen=True, slots=True)
class Dialling:
    """Extensions may be dialled during the greeting; a key of `locked` acts at once."""

    wait: float = 1.5
    locked: str = ""
    prepend: str = ""
    """Digits that are put before those dialled."""
    after: Mapping[str, float] = field(default_factory=dict)
    """How long single keys wait instead."""

    def wait_after(self, key: str) -> float:
        """Seconds for more digits when this one was the first."""
        return self.after.get(key, self.wait)


@dataclass(frozen=True, slots=True)
class Host:
    """Whoever answers."""

    words: tuple[Sound, ...]
    """The greeting that holds now."""
    switch: GreetingSwitch
    keys: Mapping[str, Action]
    other: Action
    """What any other key does."""
    error: tuple[Sound, ...] = ("invalid_key",)
    """Said of a wrong key, before the greeting is repeated."""
    dialling: Dialling | None = None
    box: Letterbox | None = None
    """None: takes no messages."""
    before_tone: tuple[Sound, ...] = ()
    after_message: Action = field(kw_only=True)
    transfer: Transfer = Transfer()
    """The rule that holds now."""
    number: str = ""
    """Where a transfer goes that names no number."""
    table: RestrictionTable = RestrictionTable()
    """What may be dialled on behalf of this host."""
    language: str = ""
