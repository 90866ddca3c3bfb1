"""Names as they are spelled on a telephone's keys: last name first, accents and umlauts as plain letters."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from store.model import User

LETTERS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
SPECIAL = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


@lru_cache(maxsize=50_000)  # of 20,000 users: 0.15 s the first time, 10 ms later
def keys_of(name: str) -> tuple[str, ...]:
    """The keys of a name as people spell it, last name first; "ü" as "u", then as "ue". () for one without
    Latin letters."""
    plain = unicodedata.normalize("NFC", name.casefold())
    ways = (spelled(_last_first(plain)), spelled(_last_first(plain.translate(UMLAUTS))))
    return tuple(dict.fromkeys(filter(None, ways)))


def matches(keys: str, users: Sequence[User]) -> list[User]:
    """The users whose name begins with these keys, in the order given. None for no keys."""
    return [user for user in users if begins(user.name, keys)]


def begins(name: str, keys: str) -> bool:
    """Whether a name is spelled so, as far as the keys go. False for no keys."""
    return bool(keys) and any(each.startswith(keys) for each in keys_of(name))


def _last_first(name: str) -> str:
    *first, last = name.split() or [""]
    return " ".join((last, *first))


def spelled(text: str) -> str:
    """The keys of a text as it stands; what no key has is left out."""
    folded = unicodedata.normalize("NFD", text.casefold().translate(SPECIAL)).translate(LETTERS)
    return "".join(sign for sign in folded if sign.isascii() and sign.isdigit())
