"""The keys of one caller: pressed early, waited for, or ignored. Pure."""

from collections import deque

KEYS = "0123456789*#ABCD"
MOST_EARLY = 64
"""Keys kept for later; a flood beyond that is dropped."""


class Keys:
    """One stream of keys, oldest first."""

    def __init__(self) -> None:
        self._early: deque[str] = deque()

    def press(self, key: str) -> None:
        """A key arrived. What is no key, or too much, is dropped."""
        if len(key) == 1 and key in KEYS and len(self._early) < MOST_EARLY:
            self._early.append(key)

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
