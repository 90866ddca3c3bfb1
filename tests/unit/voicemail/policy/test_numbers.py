"""Numbers as people write them, and what restriction tables let through."""

import pytest

from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.model import Restriction, RestrictionTable
from voicemail.policy.numbers import allowed, dialable, matches, normalised


def table(*rows: str) -> RestrictionTable:
    """ "+1*" allows, "-1*" refuses."""
    return RestrictionTable(rows=tuple(Restriction(pattern=row[1:], allow=row[0] == "y") for row in rows))


@pytest.mark.parametrize(
    ("written", "dialled", "plain"),
    [
        ("4001", "4001", "4001"),
        ("+49 711 12345-67", "+497111234567", "+497111234567"),
        ("+49 (0)711 1234567", "+497111234567", "+497111234567"),
        ("0049 711 1234567", "00497111234567", "+497111234567"),
        ("011-44-20-7946-0123", "011442079460123", "+442079460123"),
        ("0112", "0112", "0112"),  # an extension
        ("tel:+1-201-555-0123;phone-context=x", "+12015550123", "+12015550123"),
        ("sip:4001;x=1@pbx.example:5060?a=b", "4001", "4001"),
        ("SIPS:%2B49%37%311@x", "+49711", "+49711"),
        ("%252B4971", "+4971", "+4971"),  # escaped twice
        ("1,,900", "1900", "1900"),  # what is behind a pause would be dialled
        ("1p9w00", "1900", "1900"),
        ("٠٠٤٩٧١١١٢٣٤", "00497111234", "+497111234"),
        ("＋４９７１１", "+49711", "+49711"),
        ("4\u200b00\u202e1", "4001", "4001"),
        ("9+4971112", "9+4971112", "9+4971112"),
        ("", "", ""),
        ("alice", "", ""),
        ("*72", "", ""),
        ("40#01", "", ""),
        ("40+01+", "", ""),
        ("+", "", ""),
        ("1" * 65, "", ""),
        ("tel:", "", ""),
    ],
)
def test_a_number_is_one_however_it_is_written(written: str, dialled: str, plain: str) -> None:
    assert (dialable(written), normalised(written)) == (dialled, plain)


@pytest.mark.parametrize(
    ("pattern", "number", "does"),
    [
        ("*", "", True),
        ("*", "+49", True),
        ("9*", "9", True),
        ("9*", "19", False),
        ("40??", "4001", True),
        ("40??", "401", False),
        ("+*", "+49", True),
        ("+*", "49", False),
        ("4.01", "4001", False),
        ("**1**", "0" * 60 + "2", False),
    ],
)
def test_a_pattern_is_digits_with_stars_and_question_marks(pattern: str, number: str, does: bool) -> None:
    assert matches(pattern, number) is does


@pytest.mark.parametrize(
    ("rows", "number", "may"),
    [
        (("y4*", "n*"), "4001", True),
        (("y4*", "n*"), "5001", False),
        (("y4*",), "5001", False),  # what matches no row is refused
        ((), "4001", False),
        (("n4001", "y*"), "4001", False),
        (("y*", "n4001"), "4001", True),
        (("y*",), "*72", False),
        # a number abroad is the same however it is spelled
        (("n+*", "y*"), "00497111234", False),
        (("n+*", "y*"), "tel:%2B497111234", False),
        (("n00*", "y*"), "+497111234", False),
        (("n011*", "y*"), "+497111234", False),
        (("n0049*", "y*"), "+497111234", False),
        (("y0*", "n*"), "00497111234", False),
        (("y0*", "n*"), "07111234", True),
        (("y+49*", "n*"), "00497111234", True),
        (("y0049*", "n*"), "+497111234", True),
        (("y+49*", "n*"), "0033123456", False),
    ],
)
def test_the_first_row_that_matches_decides(rows: tuple[str, ...], number: str, may: bool) -> None:
    assert allowed(table(*rows), number) is may


def test_the_supplied_tables_put_calls_through_inside_only_and_dial_out_nowhere() -> None:
    tables = BUILT_IN[RestrictionTable]
    transfer = tables["default_transfer"]
    assert [number for number in ("4001", "5", "9005") if allowed(transfer, number)] == ["4001", "5", "9005"]
    outside = (
        "+497111234",
        "00497111234",
        "9+49711",
        "912015550123",
        "9011442079460123",
        "900",
        "9 0119876543",
    )
    assert [number for number in outside if allowed(transfer, number)] == []
    for name in ("default_dial_out", "default_system_transfer"):
        assert not allowed(tables[name], "4001")
