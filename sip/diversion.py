"""For whom a forwarded call was, and why it came here. Pure.

Three dialects: the request-URI's `target` and `cause` (RFC 4458), History-Info (RFC 7044, and RFC 4244 which
had no `mp`), Diversion (RFC 5806). The first that says anything decides, in this order or in a trunk's own.
"""

import re
from collections.abc import Sequence

from sip.errors import BadMessage
from sip.invite import Reason, Redirection, Source
from sip.parse import Message, NameAddr, clean, name_addrs, parse_uri

CAUSES = {
    404: Reason.UNKNOWN,
    486: Reason.BUSY,
    408: Reason.NO_REPLY,
    302: Reason.UNCONDITIONAL,
    487: Reason.DEFLECTION,
    480: Reason.DEFLECTION,
    503: Reason.UNAVAILABLE,
}
"""RFC 4458 section 2; any other cause counts as unconditional."""

CALL_CAUSES = {17: Reason.BUSY, 18: Reason.NO_REPLY, 19: Reason.NO_REPLY, 20: Reason.UNAVAILABLE}
"""Q.850, as in `Reason: Q.850;cause=17`."""

WORDS = {
    Reason.BUSY: "userbusy busy cfb callforwardbusy forwardonbusy",
    Reason.NO_REPLY: "noanswer noreply cfna cfnr cfnry callforwardnoanswer forwardonnoanswer timeout",
    Reason.UNCONDITIONAL: "unconditional cfu cfi always immediate callforwardalways timeofday "
    "donotdisturb dnd followme away callforwardunconditional sendtovm",
    Reason.DEFLECTION: "deflection deflect deflected deflectionduringalerting immediatedeflection",
    Reason.UNAVAILABLE: "unavailable outofservice notavailable notreachable unreachable cfnrc offline "
    "notregistered userunavailable",
}
"""RFC 5806 section 5 and what PBXs make of it, without case, blanks and punctuation."""
REASONS = {word: reason for reason, words in WORDS.items() for word in words.split()}
INDEX = re.compile(r"\d+(\.\d+)*$")
PROTOCOL = re.compile(r"\s*([\w.]+)\s*;.*?\bcause\s*=\s*(\d{1,4})", re.IGNORECASE | re.DOTALL)


def reason_of(word: str) -> Reason:
    """What a Diversion header's reason means, in every spelling; a number is a cause of RFC 4458."""
    key = re.sub(r"[^a-z0-9]", "", word.lower())
    if key.isascii() and key.isdigit():
        return cause_of(key)
    return REASONS.get(key, Reason.UNKNOWN)


def cause_of(text: str) -> Reason:
    """What a `cause` parameter means; UNKNOWN without one."""
    if not re.fullmatch(r"[0-9]{1,6}", text):
        return Reason.UNKNOWN
    return CAUSES.get(int(text), Reason.UNCONDITIONAL)


def told(message: Message) -> tuple[tuple[Source, tuple[Redirection, ...]], ...]:
    """What each source says, those that say nothing left out; each in the order in which the call travelled:
    the party called originally comes first."""
    said = (
        (Source.TARGET, by_target(message)),
        (Source.HISTORY, by_history(message)),
        (Source.DIVERSION, by_diversion(message)),
    )
    return tuple(each for each in said if each[1])


def by_target(message: Message) -> tuple[Redirection, ...]:
    """`sip:voicemail@example.com;target=bob%40example.com;cause=486`."""
    try:
        parameters = parse_uri(message.uri).parameters
    except BadMessage:
        return ()
    target = parameters.get("target", "")
    try:
        number = parse_uri(target).user
    except BadMessage:
        number = clean(target.partition("@")[0])
    return (Redirection(number, cause_of(parameters.get("cause", ""))),) if number else ()


def by_diversion(message: Message) -> tuple[Redirection, ...]:
    """The topmost header is the last one that diverted, the bottom one the first."""
    found = [
        Redirection(entry.uri.user, reason_of(entry.parameters.get("reason", "")), entry.name)
        for entry in name_addrs(message, "diversion")
        if entry.uri.user
    ]
    return tuple(reversed(found))


Index = tuple[int, ...]


def by_history(message: Message) -> tuple[Redirection, ...]:
    """With `mp` parameters: each names the entry whose party was replaced. Without: every party that
    is not the one dialled here, unless the next entry only moved it (`rc`, `np`)."""
    entries = history(message)
    if any("mp" in entry.parameters for _, entry in entries):
        return _mapped(entries)
    return _passed(entries, _own_number(message))


def history(message: Message) -> list[tuple[Index, NameAddr]]:
    """The entries that can be read, by index; those without an index come in the order they stand."""
    found: list[tuple[Index, NameAddr]] = []
    for entry in name_addrs(message, "history-info"):
        text = entry.parameters.get("index", "")
        index = tuple(map(_bounded, text.split("."))) if INDEX.match(text) else ()
        found.append((index or (found[-1][0] if found else ()), entry))
    return sorted(found, key=lambda pair: pair[0])


def _bounded(digits: str) -> int:
    return int(digits[:9])


def _mapped(entries: Sequence[tuple[Index, NameAddr]]) -> tuple[Redirection, ...]:
    by_index = {".".join(map(str, index)): entry for index, entry in entries}
    found = []
    for _, entry in entries:
        origin = by_index.get(entry.parameters.get("mp", ""))
        if origin and origin.uri.user:
            found.append(Redirection(origin.uri.user, _history_reason(origin, entry), origin.name))
    return tuple(found)


def _passed(entries: Sequence[tuple[Index, NameAddr]], dialled: str) -> tuple[Redirection, ...]:
    found: dict[str, Redirection] = {}
    for position, (_, entry) in enumerate(entries):
        following = entries[position + 1][1] if position + 1 < len(entries) else None
        moved = following is not None and not following.parameters.keys().isdisjoint(("rc", "np"))
        number = entry.uri.user
        known = number in found and found[number].reason is not Reason.UNKNOWN
        if number and number != dialled and not moved and not known:
            found[number] = Redirection(number, _history_reason(entry, following), entry.name)
    return tuple(found.values())


def _history_reason(origin: NameAddr, successor: NameAddr | None) -> Reason:
    """The Reason header inside the entry, or the cause in the URI of what followed it."""
    if match := PROTOCOL.match(origin.uri.headers.get("reason", "")):
        if match[1].upper() == "Q.850":
            return CALL_CAUSES.get(int(match[2]), Reason.UNKNOWN)
        return cause_of(match[2])
    own = origin.uri.parameters.get("cause", "")
    return cause_of(successor.uri.parameters.get("cause", own) if successor else own)


def _own_number(message: Message) -> str:
    try:
        return parse_uri(message.uri).user
    except BadMessage:
        return ""
