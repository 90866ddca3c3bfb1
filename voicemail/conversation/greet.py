"""A greeting, and what the caller wants of it: a key, an extension dialled, or to listen to its end."""

from sip.call import Call, Sound
from voicemail.conversation.host import ALL_KEYS, Host
from voicemail.policy.model import Action, Go

ROUNDS = 10
"""How often a greeting is played to one caller at most: machines press keys, too."""
LONGEST = 20
"""Digits of an extension."""
ERROR, RESTART = Action(go=Go.ERROR_GREETING), Action(go=Go.RESTART_GREETING)
HANG_UP = Action(go=Go.HANG_UP)


async def greet(call: Call, host: Host, *first: Sound) -> Action | str:
    """Say `first`, then the greeting, until the caller has pressed something that leads on, or has heard
    it as often as the host wants. What to do next, or the extension that was dialled."""
    said, left = (*first, *host.words), host.switch.reprompts
    for _ in range(ROUNDS):
        key = await listen(call, host, said, last=not left)
        if not key and left:
            left, said = left - 1, host.words
            continue
        wish = await wanted(call, host, key) if key else host.switch.after
        if isinstance(wish, str):
            return wish
        match wish.go:
            case Go.SKIP_GREETING:
                return _after(host)
            case Go.RESTART_GREETING | Go.IGNORE:
                said = host.words
            case Go.ERROR_GREETING:
                said = (*host.error, *host.words)
            case _:
                return wish
    return HANG_UP


async def listen(call: Call, host: Host, said: tuple[Sound, ...], last: bool) -> str:
    """The key that ended the greeting; "" when none did. Nobody waits for a key before the tone."""
    keys = offered(host)
    key = await call.play(*said, until=keys)
    if key or (last and (not keys or host.switch.after.go is Go.TAKE_MESSAGE)):
        return key
    if keys:
        return await call.ask(keys=keys, wait=host.switch.reprompt_seconds)
    await call.play(*["silence_1s"] * round(host.switch.reprompt_seconds))
    return ""


def offered(host: Host) -> str:
    """The keys that end the greeting. Others are as if never pressed."""
    if host.switch.ignore_keys:
        return ""

    def acts(key: str) -> bool:
        dials = host.dialling is not None and key.isdigit()
        return dials or host.keys.get(key, host.other).go is not Go.IGNORE

    return "".join(filter(acts, ALL_KEYS))


async def wanted(call: Call, host: Host, key: str) -> Action | str:
    """What a key does, or the extension that it begins."""
    dialling = host.dialling
    if dialling and key.isdigit() and key not in dialling.locked:
        more = await call.digits(most=LONGEST - 1, wait=dialling.wait_after(key))
        if more == "*":
            return RESTART
        if more or key not in host.keys:
            return dialling.prepend + key + more
    return host.keys.get(key, host.other)


def _after(host: Host) -> Action:
    """Where the end of the greeting leads: what skipping it must not repeat."""
    after = host.switch.after
    again = after.go in (Go.SKIP_GREETING, Go.RESTART_GREETING, Go.IGNORE, Go.ERROR_GREETING)
    return Action(go=Go.TAKE_MESSAGE) if again else after
