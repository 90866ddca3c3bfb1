"""What policies refer to: whether it is there, before one is set; and who needs it, before one is removed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from zoneinfo import available_timezones

from voicemail.policy import key_map
from voicemail.policy.base import Policy
from voicemail.policy.devices import Device, device_mistakes
from voicemail.policy.dialling import dialling_mistakes
from voicemail.policy.elsewhere import domain_of, host_and_port, is_domain, location_of
from voicemail.policy.house import House
from voicemail.policy.interview import Interview
from voicemail.policy.keeping import Aging
from voicemail.policy.key_map import KeyMap
from voicemail.policy.limits import why_too_many
from voicemail.policy.locations import Contact, Location
from voicemail.policy.model import (
    Action,
    CallHandler,
    ClassOfService,
    Go,
    GreetingSwitch,
    Holidays,
    Members,
    PinRules,
    Quota,
    RestrictionTable,
    RoutingRule,
    Schedule,
    Undeliverable,
    UserOptions,
)
from voicemail.policy.routing import why_no_condition
from voicemail.policy.transferred import HANDLERS_TABLE, no_numbers, refused

DEEPEST = 20
"""Lists within lists."""
LIST = "list:"
SINKS = ("undeliverable", "operator")
"""What a handler's messages may go to besides extensions and lists."""
NOUNS: Mapping[type[Policy], str] = {
    Schedule: "schedule",
    Holidays: "holidays",
    CallHandler: "handler",
    Interview: "interview",
    RoutingRule: "rule",
    RestrictionTable: "restriction",
    PinRules: "pin-rules",
    ClassOfService: "cos",
    Members: "list",
    Undeliverable: "undeliverable",
    Aging: "aging",
    Location: "location",
    Contact: "contact",
    KeyMap: "key-map",
}
"""As the commands are named."""
CODECS = ("g726", "pcmu", "wav")
"""Those of voicemail.vpim.model.Codec."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`key` of a policy names `name`: of this kind of policy, or a user's extension (None)."""

    key: str
    kind: type[Policy] | None
    name: str
    must: bool = True
    """Else it is only told that nobody has it."""


def references(policy: Policy) -> Iterator[Reference]:
    """All that a policy names."""
    match policy:
        case Schedule():
            yield from _named("holidays", Holidays, policy.holidays)
        case CallHandler() | Interview():
            yield from _of_answering(policy)
        case RoutingRule():
            yield from _named("schedule", Schedule, policy.schedule)
            yield from _actions({"action": policy.action})
        case ClassOfService():
            yield Reference("pin_rules", PinRules, policy.pin_rules)
            yield Reference("transfer_table", RestrictionTable, policy.transfer_table)
            yield Reference("dial_out_table", RestrictionTable, policy.dial_out_table)
            yield Reference("alternate_table", RestrictionTable, policy.alternate_table)
        case UserOptions():
            yield Reference("cos", ClassOfService, policy.cos)
            yield Reference("key_map", KeyMap, policy.key_map)
            yield from _named("schedule", Schedule, policy.schedule)
            yield from _actions({**(policy.keys or {}), "after_message": policy.after_message})
        case GreetingSwitch():
            yield from _actions({"after": policy.after})
        case Members() | Undeliverable():
            yield from _members("members", policy.members)
        case Contact():
            yield Reference("location", Location, policy.location)
        case Device():
            yield from _named("schedule", Schedule, policy.schedule)


def _of_answering(policy: CallHandler | Interview) -> Iterator[Reference]:
    keys = policy.keys if isinstance(policy, CallHandler) else {}
    if isinstance(policy, CallHandler):
        yield from _named("schedule", Schedule, policy.schedule)
        yield from (Reference("owners", None, each) for each in policy.owners)
    yield from _actions(keys | {"after_message": policy.after_message})
    yield from _members("messages_to", policy.messages_to)


def mistakes(house: House, name: str, policy: Policy) -> list[str]:
    """Why a policy cannot be set under this name, each in words; none when it can."""
    if full := why_too_many(house, name, policy):
        return [full]
    house = house.plus(name, policy)
    gone = [each for each in references(policy) if each.must and not _is_there(house, each)]
    return [f"{each.key}: {_missing(each)}" for each in gone] + list(_own_mistakes(house, name, policy))


def doubts(house: House, policy: Policy) -> list[str]:
    """What is not there, but may come: members that nobody has; and what may not be meant."""
    gone = [each for each in references(policy) if not each.must and not _is_there(house, each)]
    unmeant = key_map.doubts(policy) if isinstance(policy, KeyMap) else ()
    return [*(f"{each.key}: {_missing(each)}" for each in gone), *unmeant]


def needed_by(house: House, kind: type[Policy] | None, name: str) -> list[str]:
    """What names a policy, or an extension: "handler 'sales' (schedule)", "user 4001 (cos)"."""
    found: list[str] = []
    for each in NOUNS:
        for other, policy in house.all(each).items():
            found += [f"{NOUNS[each]} {other!r} ({ref.key})" for ref in _hits(policy, kind, name)]
    extensions = {user.id: extension for extension, user in house.users.items()}
    for owner, options in house.options.items():
        found += [f"user {extensions.get(owner)} ({ref.key})" for ref in _hits(options, kind, name)]
    for owner, devices in house.devices.items():
        for device in devices.values():
            found += [f"a device of {extensions.get(owner)} ({r.key})" for r in _hits(device, kind, name)]
    return found


def _hits(policy: Policy, kind: type[Policy] | None, name: str) -> list[Reference]:
    return [each for each in references(policy) if each.kind is kind and each.name == name]


def _named(key: str, kind: type[Policy], name: str) -> Iterator[Reference]:
    if name:
        yield Reference(key, kind, name)


def _actions(actions: Mapping[str, Action]) -> Iterator[Reference]:
    for key, action in actions.items():
        label = f"keys.{key}" if len(key) == 1 else key
        if action.go is Go.HANDLER:
            yield Reference(label, CallHandler, action.target)
        if action.go is Go.INTERVIEW:
            yield Reference(label, Interview, action.target)
        if action.go is Go.USER:
            yield Reference(label, None, action.target)


def _members(key: str, members: tuple[str, ...]) -> Iterator[Reference]:
    for each in members:
        if each.startswith(LIST):
            yield Reference(key, Members, each.removeprefix(LIST))
        elif "@" in each:
            yield Reference(key, Contact, each, must=False)
        elif each not in SINKS:
            yield Reference(key, None, each, must=False)


def _is_there(house: House, reference: Reference) -> bool:
    if reference.kind is None:
        return house.owner_of(reference.name) is not None
    if reference.kind is Contact:  # an address needs none, only a system that it is on
        return location_of(reference.name, house.all(Location)) is not None
    return reference.name in house.all(reference.kind)


def _missing(reference: Reference) -> str:
    if reference.kind is None:
        return f"no user has extension {reference.name}"
    if reference.kind is Contact:
        return f"no location has the domain of {reference.name}"
    return f"there is no {NOUNS[reference.kind]} named {reference.name!r}"


def _own_mistakes(house: House, name: str, policy: Policy) -> Iterator[str]:
    """What is wrong with a policy besides its references."""
    match policy:
        case CallHandler() | Interview():
            yield from _answering_mistakes(house, name, policy)
        case Members():
            yield from _extension_mistakes(house, Members, name, policy.extension)
            yield from _loops(house, name, policy)
        case RoutingRule():
            yield from _condition_mistakes(policy)
        case ClassOfService():
            yield from _quota_mistakes(policy.quota)
        case UserOptions():
            yield from _zone_mistakes(policy.time_zone)
            yield from no_numbers(policy)
        case Location() | Contact() | Device():
            yield from _mistakes_outside(house, name, policy)
        case KeyMap():
            yield from key_map.mistakes(policy)
        case Schedule():
            if any(not block.weekdays for block in policy.blocks):
                yield "blocks: one has no day"


def _answering_mistakes(house: House, name: str, policy: CallHandler | Interview) -> Iterator[str]:
    yield from _extension_mistakes(house, type(policy), name, policy.extension)
    if policy.dispatch and not any(each.startswith((LIST, *SINKS)) for each in policy.messages_to):
        yield "dispatch: messages_to names no list"
    if isinstance(policy, CallHandler):
        yield from _handler_mistakes(house, policy)


def _handler_mistakes(house: House, handler: CallHandler) -> Iterator[str]:
    yield from dialling_mistakes(handler)
    yield from no_numbers(handler)
    yield from refused(house.all(RestrictionTable), HANDLERS_TABLE, handler)


def _mistakes_outside(house: House, name: str, policy: Location | Contact | Device) -> Iterator[str]:
    match policy:
        case Location():
            yield from _location_mistakes(house, name, policy)
        case Contact():
            yield from _contact_mistakes(house, name, policy)
        case Device():
            yield from device_mistakes(policy)


def taken(house: House, number: str) -> str:
    """What a number leads to, in words; "" when it is free."""
    if user := house.owner_of(number):
        return f"{number} is the number of {user.name or 'user ' + user.extension}"
    for kind, name in _leading_to(house, number):
        return f"{number} leads to {NOUNS[kind]} {name!r}"
    return _elsewhere(house, number)


def _elsewhere(house: House, number: str) -> str:
    for name, each in house.all(Location).items():
        if each.dial_id and number.startswith(each.dial_id):
            return f"{number} begins with the dial_id of location {name!r}"
    return ""


def _leading_to(house: House, number: str) -> list[tuple[type[Policy], str]]:
    handlers = [(CallHandler, n) for n, each in house.all(CallHandler).items() if each.extension == number]
    lists = [(Members, n) for n, each in house.all(Members).items() if each.extension == number]
    contacts = [(Contact, n) for n, each in house.all(Contact).items() if each.extension == number]
    asking = [(Interview, n) for n, each in house.all(Interview).items() if each.extension == number]
    return [*handlers, *asking, *lists, *contacts]


def _extension_mistakes(house: House, kind: type[Policy], name: str, number: str) -> Iterator[str]:
    if not number:
        return
    if not (number.isascii() and number.isdigit()):
        yield f"extension: {number!r} is none (digits only)"
    if user := house.owner_of(number):
        yield f"extension: {number} is the number of {user.name or 'user ' + user.extension}"
    for other in _leading_to(house, number):
        if other != (kind, name):
            yield f"extension: {number} leads to {NOUNS[other[0]]} {other[1]!r}"
    if why := _elsewhere(house, number):
        yield f"extension: {why}"


def _location_mistakes(house: House, name: str, location: Location) -> Iterator[str]:
    if not is_domain(location.domain):
        yield f"domain: {location.domain!r} is none"
    if location.codec not in CODECS:
        yield f"codec: {location.codec!r} is not known; known: {', '.join(CODECS)}"
    if location.dial_id and not _is_number(location.dial_id):
        yield f"dial_id: {location.dial_id!r} is none (digits only)"
    yield from (
        f"prefixes: {each!r} is none (digits only)" for each in location.prefixes if not _is_number(each)
    )
    yield from _unreadable("host", host_and_port, (location.host,) if location.host else ())
    yield from _unreadable("networks", ip_network, location.networks)
    others = {other: each for other, each in house.all(Location).items() if other != name}
    for other, there in others.items():
        if there.domain.casefold() == location.domain.casefold():
            yield f"domain: location {other!r} has it already"
        if location.dial_id and there.dial_id == location.dial_id:
            yield f"dial_id: location {other!r} has it already"
    hidden = [each for each in _numbers(house) if location.dial_id and each.startswith(location.dial_id)]
    yield from (f"dial_id: {number} begins so, and is a number here" for number in hidden)


def _unreadable(key: str, read: Callable[[str], object], values: Sequence[str]) -> Iterator[str]:
    for each in values:
        try:
            read(each)
        except ValueError as error:
            yield f"{key}: {each!r}: {error}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _numbers(house: House) -> Iterator[str]:
    """All that lead somewhere here, or to a contact."""
    yield from house.users
    yield from house.alternates
    yield from (each.extension for each in house.all(CallHandler).values() if each.extension)
    yield from (each.extension for each in house.all(Interview).values() if each.extension)
    yield from (each.extension for each in house.all(Members).values() if each.extension)
    yield from (each.extension for each in house.all(Contact).values() if each.extension)


def _contact_mistakes(house: House, name: str, contact: Contact) -> Iterator[str]:
    yield from _extension_mistakes(house, Contact, name, contact.extension)
    location = house.all(Location).get(contact.location)
    if location and domain_of(name) != location.domain.casefold():
        yield f"{name} is not of the domain of location {contact.location!r}, {location.domain}"


def _condition_mistakes(rule: RoutingRule) -> Iterator[str]:
    for key in ("calling", "dialled", "forwarding", "trunk"):
        for condition in getattr(rule, key):
            if why := why_no_condition(condition):
                yield f"{key}: {condition!r}: {why}"


def _quota_mistakes(quota: Quota) -> Iterator[str]:
    if any(limit < 0 for limit in (quota.warn, quota.no_send, quota.no_receive)):
        yield "quota: less than nothing"
    limits = [each for each in (quota.warn, quota.no_send, quota.no_receive) if each]
    if limits != sorted(limits):
        yield "quota: warn, no_send and no_receive do not rise"


def _zone_mistakes(zone: str) -> Iterator[str]:
    if zone and zone not in available_timezones():
        yield f"time_zone: {zone!r} is none (such as Europe/Berlin)"


def _loops(house: House, name: str, policy: Members) -> Iterator[str]:
    lists = dict(house.all(Members)) | {name: policy}
    if depth(lists, name) > DEEPEST:
        yield f"members: lists within lists are deeper than {DEEPEST}, or come back to themselves"


def depth(lists: Mapping[str, Members], name: str) -> int:
    """How many lists lie within one another from this one on, at most `DEEPEST` + 1."""
    level, deep = {name}, 0
    while level and deep <= DEEPEST:
        level = {
            each.removeprefix(LIST)
            for one in level
            for each in (lists[one].members if one in lists else ())
            if each.startswith(LIST)
        }
        deep += 1
    return deep
