import pytest

from voicemail.policy.people import why_no_lamp


@pytest.mark.parametrize("entry", ["pbx", "pbx:2001", "pbx:+4930", "pbx:*77", "pbx:desk-1"])
def test_a_trunk_or_a_number_on_it_is_a_lamp(entry: str) -> None:
    assert why_no_lamp(entry, {"pbx"}) == ""


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("desk", "no trunk is named 'desk'"),
        ("desk:1", "no trunk is named 'desk'"),
        ("", "no trunk is named ''"),
        ("pbx:", "'' in 'pbx:' is no number of a lamp"),
        ("pbx:1@evil", "'1@evil' in 'pbx:1@evil' is no number of a lamp"),
        ("pbx:1\r\nX: 2", "is no number of a lamp"),
        ("pbx:" + "1" * 65, "is no number of a lamp"),
    ],
)
def test_what_cannot_be_a_lamp_is_told(entry: str, why: str) -> None:
    assert why in why_no_lamp(entry, {"pbx"})
