"""Numbers, times and counts in the listener's language: a module for each, named by its code.

Word order and plurals are code, everything that is said is data (voicemail/prompts/<language>)."""

from datetime import datetime
from typing import Protocol

from voicemail.words import de, en

Names = tuple[str, ...]
"""Names of prompts, ready for `call.play(*names)`."""


class Words(Protocol):
    """What a language's module offers; `en` describes each."""

    def digits(self, text: str) -> Names: ...
    def phone_number(self, text: str) -> Names: ...
    def number(self, value: int) -> Names: ...
    def count(self, noun: str, value: int) -> Names: ...
    def duration(self, seconds: float) -> Names: ...
    def moment(self, when: datetime, now: datetime) -> Names: ...


LANGUAGES: dict[str, Words] = {"en": en, "de": de}
DEFAULT = "en"


def of(language: str) -> Words:
    """The default's for a language that is not there."""
    return LANGUAGES.get(language, LANGUAGES[DEFAULT])
