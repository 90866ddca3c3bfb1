"""The keys of one caller: pressed early, waited for, or ignored. Pure.

Some telephones and gateways tell each press twice, in the audio stream (RFC 4733) and by SIP INFO. The second
telling of a press is dropped; keys that come one way only, or change ways during a call, all count."""

from collections import deque

KEYS = "0123456789*#ABCD"
MOST_EARLY = 64
"""Keys kept for later; a flood beyond that is dropped."""
ECHO = 3.0
"""Seconds within which the same key, told another way, is the same press."""


class Keys:
    """One stream of keys, oldest first."""

    def __init__(self) -> None:
        self._early: deque[str] = deque()
        self._told: deque[tuple[str, str, float]] = deque(maxlen=MOST_EARLY)
        """Presses that another way may still tell: key, way, when."""

    def press(self, key: str, way: str = "", now: float = 0.0) -> None:
        """A key arrived, told in a way, at a moment in seconds. What is no key, or too much, is dropped."""
        if len(key) != 1 or key not in KEYS or self._is_echo(key, way, now):
            return
        self._told.append((key, way, now))
        if len(self._early) < MOST_EARLY:
            self._early.append(key)

    def _is_echo(self, key: str, way: str, now: float) -> bool:
        """Whether this press was told before, another way. Each telling is good for one echo."""
        for told in self._told:
            if told[0] == key and told[1] != way and now - told[2] <= ECHO:
                self._told.remove(told)
                return True
        return False

    def __bool__(self) -> bool:
        return bool(self._early)

    def take(self) -> str:
        """The oldest key; "" when there is none."""
        return self._early.popleft() if self._early else ""

    def first_of(self, wanted: str) -> str:
        """The oldest key out of `wanted`, which drops those before it; "" when there is none. With
        nothing wanted, all keys stay for the next question."""
        while wanted and self._early:
            key = self._early.popleft()
            if key in wanted:
                return key
        return ""

    def clear(self) -> None:
        self._early.clear()
