"""Key maps as somebody might make them."""

import random

from voicemail.policy.key_map import WAYS_OUT, KeyMap, Keys

SEQUENCES = (*"123456789*#", *(first + second for first in "149#" for second in "0123456789*#"))


def any_map(dice: random.Random) -> KeyMap:
    """Keys and sequences at random, each once in its menu; some rows have two, some that may have none."""
    parts = {}
    for menu, part in KeyMap().parts().items():
        left = list(SEQUENCES)
        dice.shuffle(left)
        rows: dict[str, Keys] = {}
        for row in part.rows():
            most = dice.choice([1, 1, 1, 2] if row in WAYS_OUT else [0, 1, 1, 1, 2])
            rows[row] = tuple(left.pop() for _ in range(most))
        parts[menu] = type(part)(**rows)
    return KeyMap(**parts)  # type: ignore[arg-type]
