"""Telephone numbers as people and devices write them, and restriction tables over them (functions.md
section 8). What is checked is what is dialled: `dialable` makes it of what was typed, once.
"""

import re
import unicodedata
from functools import cache
from urllib.parse import unquote

from voicemail.policy.model import RestrictionTable

_SCHEME = re.compile(r"(?:tel|sips?|callto):", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{0,2}\+?[0-9]+")
_ABROAD = re.compile(r"(?:00|011)([0-9]{7,})")
"""No number of E.164 is shorter; shorter ones are extensions that happen to begin so."""
_SEPARATORS = frozenset("-./()[],;~|pPwW")
"""Pauses and waits too: the digits behind them would be dialled, so they count."""
LONGEST = 64


def dialable(number: str) -> str:
    """The digits to dial, with the `+` that was written, after 0 to 2 digits of a prefix; "" for what is no
    number. `*` and `#` are none: codes of the exchange cannot be dialled from here."""
    text = _unescaped(number[: 8 * LONGEST]).strip()
    if scheme := _SCHEME.match(text):
        text = re.split(r"[;@?]", text[scheme.end() :])[0]
    if text.startswith("+"):
        text = text.replace("(0)", "")
    digits = "".join(_digit(sign) for sign in text)
    return digits if len(digits) <= LONGEST and _NUMBER.fullmatch(digits) else ""


def normalised(number: str) -> str:
    """`dialable`, with 00 and 011 before a number abroad as `+`: one spelling of each number."""
    digits = dialable(number)
    abroad = _ABROAD.fullmatch(digits)
    return f"+{abroad[1]}" if abroad else digits


def spellings(number: str) -> tuple[str, ...]:
    """As it is written, and with the `+` that 00 or 011 stand for: where the second is another one."""
    plain = normalised(number)
    return (number, plain) if plain.startswith("+") and plain != number else (number,)


def matches(pattern: str, number: str) -> bool:
    """`*` is any digits (and a leading `+`), `?` one digit, anything else itself."""
    return _compiled(pattern).fullmatch(number) is not None


def allowed(table: RestrictionTable, number: str) -> bool:
    """Whether a number may be dialled: the first row that matches decides, without one it may not.

    However a number is spelled, it is the same: a row that refuses counts for the number as typed and
    normalised, a row that allows only normalised ("0*" does not open 0049…, "+49*" and "0049*" do).
    """
    typed, plain = dialable(number), normalised(number)
    if not plain:
        return False
    for row in table.rows:
        forms = (plain,) if row.allow else (typed, plain)
        if any(matches(pattern, form) for pattern in _spellings(row.pattern) for form in forms):
            return row.allow
    return False


def _spellings(pattern: str) -> tuple[str, ...]:
    """A pattern of a number abroad also holds for its `+`."""
    for prefix in ("00", "011"):
        if pattern.startswith(prefix) and len(pattern) > len(prefix):
            return (pattern, "+" + pattern[len(prefix) :])
    return (pattern,)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    signs = {"*": "[+0-9]*", "?": "[0-9]"}
    return re.compile("".join(signs.get(sign) or re.escape(sign) for sign in re.sub(r"\*+", "*", pattern)))


def _unescaped(text: str) -> str:
    """Without %-escapes, escaped ones too, and every sign in its plain form (full-width digits, …)."""
    for _ in range(4):
        if (plain := unquote(text)) == text:
            break
        text = plain
    return unicodedata.normalize("NFKC", text)


def _digit(sign: str) -> str:
    """ "0" to "9" or "+"; "" for what only separates; the sign itself for anything else."""
    if (value := unicodedata.decimal(sign, None)) is not None:
        return str(value)
    separates = sign in _SEPARATORS or unicodedata.category(sign) in ("Zs", "Zl", "Zp", "Pd", "Cf", "Cc")
    return "" if separates else sign
