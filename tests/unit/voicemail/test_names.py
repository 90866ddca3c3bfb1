from uuid import uuid4

import pytest

from store.model import User
from voicemail.names import keys_of, matches


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("Anna Berg", ("23742662",)),
        ("anna maria  BERG", ("2374" + "2662" + "62742",)),
        ("Cher", ("2437",)),
        ("Jürgen Müller", ("685537" + "587436", "6835537" + "5837436")),
        ("Zoë O'Brien-Łuk", ("6274" + "36585" + "963",)),
        ("Weiß", ("93477",)),
        ("李雷", ()),
        ("", ()),
    ],
)
def test_a_name_is_spelled_last_name_first_without_accents(name: str, keys: tuple[str, ...]) -> None:
    assert keys_of(name) == keys


def test_names_are_found_by_how_they_begin_and_umlauts_in_both_spellings() -> None:
    anna, ben, cees = (
        User(id=uuid4(), extension=str(number), name=name)
        for number, name in enumerate(["Anna Müller", "Ben Muller", "Cees"])
    )
    assert matches("6855", (anna, ben, cees)) == [anna, ben]
    assert matches("68355372", (anna, ben, cees)) == [anna]
    assert matches("", (anna, ben, cees)) == []
