"""PINs: how they are kept, compared, made up and refused.

A PIN has some 20 bits, so no hash protects it from somebody who holds the database: one core tries a million
in an hour at 8 MiB, in a quarter of one at 2 MiB. The lockout is what guards it on the telephone. Argon2id is
therefore set for peaks of sign-ins: 2 MiB and one pass cost 0.8 ms of one core, 8 MiB 3.2 ms, three passes
of that 12 ms, the library's default 187 ms and 64 MiB. With 8 MiB fifty who sign in at the same moment waited
for the voice for up to 440 ms, with 2 MiB for 260 (tests/bench/keys.py). A worker compares one PIN at a time;
to let fewer workers do so at once saves nothing. Older hashes say themselves how they were made, and hold.
"""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from uuid import UUID, uuid5

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from store.model import User

_HASHER = PasswordHasher(time_cost=1, memory_cost=2 * 1024, parallelism=1)


@cache
def _thread() -> ThreadPoolExecutor:
    """Made at first use: a thread must not exist before the zygote forks."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="pin")


def own(user: User) -> UUID:
    """Under which a user's attempts at his own telephone are counted."""
    return uuid5(user.id, "own telephone")


def hashed(pin: str) -> str:
    """An Argon2id hash with a salt of its own, to be kept as `User.pin_hash`."""
    return _HASHER.hash(pin)


@cache
def _nobodys() -> str:
    """Compared when there is no hash, so that "no such user" takes as long as "wrong PIN"."""
    return hashed(secrets.token_hex(16))


def is_right(pin_hash: str, pin: str) -> bool:
    """Compare. Takes some 1 ms; False also without a hash or with a damaged one."""
    try:
        return _HASHER.verify(pin_hash or _nobodys(), pin) and bool(pin_hash)
    except (VerificationError, InvalidHashError):
        return False


async def warm() -> None:
    """Have the thread, its memory and nobody's hash there before a worker's first PIN is compared: that
    takes longer than any other otherwise, and twice as long where nobody has the ID."""
    if not _nobodys.cache_info().currsize:
        await asyncio.get_running_loop().run_in_executor(_thread(), _nobodys)


async def compare(pin_hash: str, pin: str) -> bool:
    """`is_right` in a thread, one at a time: other calls of this worker go on meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(_thread(), is_right, pin_hash, pin)


def made_up(extension: str, length: int) -> str:
    """A random PIN of `length` (at least 4) digits that the policy does not refuse."""
    while True:
        pin = "".join(secrets.choice("0123456789") for _ in range(length))
        if not why_refused(pin, extension, shortest=length):
            return pin


def why_refused(pin: str, extension: str, *, shortest: int, previous: str = "") -> str:
    """Why a PIN may not be used, in words; "" when it may (functions.md section 8, PIN policy)."""
    reasons = (
        (not (pin.isascii() and pin.isdigit()), "a PIN is made of digits"),
        (len(pin) < shortest, f"a PIN has at least {shortest} digits"),
        (len(set(pin)) < 3, "it has fewer than three different digits"),
        (_is_sequence(pin), "its digits follow one another"),
        (any(digit * 3 in pin for digit in "0123456789"), "a digit comes three times in a row"),
        (_holds(pin, extension), "it contains the extension, forwards or backwards"),
        (_is_next_to(pin, previous), "it is next to the previous PIN"),
    )
    return next((reason for refused, reason in reasons if refused), "")


def _is_sequence(pin: str) -> bool:
    steps = {(ord(b) - ord(a)) % 10 for a, b in zip(pin, pin[1:], strict=False)}
    return steps in ({1}, {9})


def _holds(pin: str, extension: str) -> bool:
    return bool(extension) and (extension in pin or extension[::-1] in pin)


def _is_next_to(pin: str, previous: str) -> bool:
    both = pin.isdigit() and previous.isdigit() and len(pin) == len(previous)
    return both and abs(int(pin) - int(previous)) <= 1
