"""To whom: numbers, names spelled by keypad, system lists, private lists; heard again, and taken back."""

from collections.abc import Mapping, Sequence
from enum import Enum, auto

from sip.call import Call, Sound
from store.model import User, setting_id
from voicemail.conversation.addressee import NAME as NAME
from voicemail.conversation.addressee import Addressee as Addressee
from voicemail.conversation.addressee import class_of as class_of
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.directory import among
from voicemail.conversation.elsewhere import contacts_named, elsewhere_by_number, spoken_elsewhere
from voicemail.conversation.menu import HELP, ROUNDS, Mapped, Menu, choose
from voicemail.policy.key_map import AddressKeys
from voicemail.policy.model import Members, MenuStyle, PrivateList
from voicemail.recipients import LIST

MOST_DIGITS = 20
MOST_LETTERS = 30
OFFERED = 8
"""Names that are read out; with more, more letters are asked for."""
SECOND_POUND = 1.5
"""Seconds within which a second pound follows the first one."""


class Do(Enum):
    """What can be done with the addressees there are."""

    ADD = auto()
    HEAR = auto()
    REMOVE = auto()
    GO_ON = auto()
    CANCEL = auto()


MORE = Mapped(
    AddressKeys(),
    help=("address_menu",),
    brief=("address_brief",),
    rows=(
        (Do.ADD, "add", "to_add_press"),
        (Do.HEAR, "hear", "to_hear_recipients_press"),
        (Do.REMOVE, "remove", "to_remove_press"),
        (Do.GO_ON, "go_on", "to_go_on_press"),
        (Do.CANCEL, "cancel", "to_cancel_press"),
    ),
)
REMOVE = Menu(help=("address_remove_menu",), keys={"1": Do.REMOVE, "#": Do.GO_ON, "*": Do.CANCEL}, wait=3.0)


async def address(desk: Desk, call: Call, user: User) -> tuple[Addressee, ...]:
    """Ask until the user goes on; () when he goes back, or says nothing. Raises HungUp, Unavailable."""
    first = await find(desk, call, user)
    if not first:
        return ()
    return await change(desk, call, user, (first,), *first.sounds, "address_added")


async def change(
    desk: Desk, call: Call, user: User, to: tuple[Addressee, ...], *said: Sound
) -> tuple[Addressee, ...]:
    """Add and remove until the user goes on, which needs somebody; () when he cancels or is silent."""
    menu = MORE.menu(desk.keys.address, desk.words)
    while (do := await choose(call, menu, *said, style=desk.style)) not in (Do.CANCEL, None):
        match do:
            case Do.GO_ON if to:
                return to
            case Do.GO_ON:
                said = ("address_nobody_yet",)
            case Do.ADD:
                more = await find(desk, call, user)
                to = with_one(to, more) if more else to
                said = (*more.sounds, "address_added") if more else ()
            case Do.HEAR:
                said = aloud(to)
            case Do.REMOVE:
                to = await _remove(call, to)
                said = () if to else ("address_nobody_yet",)
    return ()


def with_one(to: tuple[Addressee, ...], more: Addressee) -> tuple[Addressee, ...]:
    """Nobody twice."""
    return to if more.keys in [each.keys for each in to] else (*to, more)


def aloud(to: Sequence[Addressee]) -> tuple[Sound, ...]:
    """All of them."""
    return tuple(sound for each in to for sound in each.sounds) or ("address_nobody_yet",)


def keys_of_all(to: Sequence[Addressee]) -> tuple[str, ...]:
    """As delivery wants them, each once."""
    return tuple(dict.fromkeys(key for each in to for key in each.keys))


async def _remove(call: Call, to: tuple[Addressee, ...]) -> tuple[Addressee, ...]:
    """Offer them one by one."""
    for each in to:
        match await choose(call, REMOVE, *each.sounds):
            case Do.REMOVE:
                await call.play(*each.sounds, "member_removed")
                to = tuple(other for other in to if other != each)
            case Do.GO_ON:
                continue
            case _:
                break
    return to


async def find(desk: Desk, call: Call, user: User) -> Addressee | None:
    """One of them, by number or name; `##` changes between both. None when the user goes back."""
    by_name, said = False, tuple[Sound, ...]()
    silent = wrong = 0
    while silent < ROUNDS and wrong < 2 * ROUNDS:
        key = await call.ask(*said, *_question(by_name, desk.style), keys="0123456789*#")
        if key == "*":
            return None
        if key == "#":
            toggles = await call.ask(keys="#", wait=SECOND_POUND) == "#"
            by_name, said = by_name is not toggles, ()
            silent += 1
            continue
        if key in ("", "?"):
            silent, said = silent + 1, ("still_there",)
            continue
        rest = await call.digits(most=MOST_LETTERS if by_name else MOST_DIGITS)
        if rest == "*":
            return None
        if key == HELP and not rest:
            said, silent = _question(by_name, MenuStyle.FULL), silent + 1
            continue
        silent, wrong = 0, wrong + 1
        found = await (_by_name if by_name else _by_number)(desk, call, user, key + rest)
        if isinstance(found, Addressee):
            return found
        said = found
    return None


def _question(by_name: bool, style: MenuStyle) -> tuple[Sound, ...]:
    question = "address_name" if by_name else "address_number"
    return (question if style is MenuStyle.FULL else f"{question}_brief",)


# ---- by number


async def _by_number(desk: Desk, call: Call, user: User, number: str) -> Addressee | tuple[Sound, ...]:
    """A user, a system list, a private list: the first that has it. Else what to say."""
    if found := await reach(desk.store.users.by_extension(number)):
        return Addressee((found.extension,), await spoken(desk, found))
    for name, each in (await desk.policies.numbered(Members, number)).items():
        allowed = (await class_of(desk, user)).may_send_to_lists
        return await _of_list(desk, name, each) if allowed else ("not_allowed",)
    private = await desk.policies.of(PrivateList, user.id)
    mine = private.get(str(int(number))) if len(number) <= 2 else None
    if mine is None:
        return await elsewhere_by_number(desk, user, number)
    if not mine.members:
        return ("list_is_empty",)
    audio = await reach(desk.store.users.greeting(user.id, f"list {int(number)}"))
    numbered: tuple[Sound, ...] = ("private_list", *desk.words.number(int(number)))
    return Addressee(mine.members, (await desk.sounds.file(audio),) if audio else numbered)


async def spoken(desk: Desk, user: User) -> tuple[Sound, ...]:
    """By recorded name, else digit by digit."""
    audio = await reach(desk.store.users.greeting(user.id, NAME))
    return (await desk.sounds.file(audio),) if audio else desk.words.digits(user.extension)


async def _lists(desk: Desk, user: User, keys: str) -> Mapping[str, Members]:
    """The system's lists whose names begin so, if the user may send to them."""
    cos = await class_of(desk, user)
    return await desk.policies.spelled(Members, keys) if cos.may_send_to_lists else {}


async def _of_list(desk: Desk, name: str, members: Members) -> Addressee:
    audio = await reach(desk.store.users.greeting(setting_id(Members.KIND, name), NAME))
    digits = desk.words.digits(members.extension)
    sounds: tuple[Sound, ...] = (await desk.sounds.file(audio),) if audio else digits
    return Addressee((LIST + name,), sounds or ("distribution_list",))


# ---- by name


async def _by_name(desk: Desk, call: Call, user: User, keys: str) -> Addressee | tuple[Sound, ...]:
    """The one that the user means, among those whose names begin so. Else what to say."""
    people = await among(desk, keys, await reach(desk.store.users.all()))
    lists = await _lists(desk, user, keys)
    found: list[User | str] = [*people, *lists]
    away = await contacts_named(desk, user, keys)
    if not found and not away:
        return ("directory_nobody",)
    if len(found) + len(away) > OFFERED:
        return ("directory_spell_more",)
    offered = [await _named(desk, each, lists) for each in found]
    offered += [Addressee((each,), await spoken_elsewhere(desk, each)) for each in away]
    return await _one_of(desk, call, offered)


async def _named(desk: Desk, found: User | str, lists: Mapping[str, Members]) -> Addressee:
    if isinstance(found, str):
        return await _of_list(desk, found, lists[found])
    return Addressee((found.extension,), await spoken(desk, found))


async def _one_of(desk: Desk, call: Call, offered: Sequence[Addressee]) -> Addressee | tuple[Sound, ...]:
    if len(offered) == 1:
        return offered[0]
    said: tuple[Sound, ...] = ()
    for place, each in enumerate(offered, 1):
        said += ("directory_for", *each.sounds, "directory_press", *desk.words.number(place))
    rows = {str(place): each for place, each in enumerate(offered, 1)}
    back: dict[str, Addressee | None] = {**rows, "*": None}
    chosen = await choose(call, Menu(help=said, keys=back))
    return chosen or ()
