from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from store.model import Envelope, MessageKind, Part
from store.notes import envelope_of, noted

FULL = Envelope(
    kind=MessageKind.NON_DELIVERY,
    sender=uuid4(),
    recipients=("1002", "list:sales"),
    private=True,
    secure=True,
    receipt=True,
    deliver_at=datetime(2026, 3, 4, 15, tzinfo=UTC),
    about=uuid4(),
    why="full",
    parts=(Part(2.5), Part(3.0, uuid4(), "+4930555", datetime(2026, 3, 1, tzinfo=UTC))),
)


@pytest.mark.parametrize("envelope", [Envelope(), FULL, replace(Envelope(), private=True)])
def test_an_envelope_is_read_as_it_was_written(envelope: Envelope) -> None:
    assert envelope_of(noted(envelope)) == envelope


def test_the_default_takes_no_room_and_what_a_newer_release_says_is_ignored() -> None:
    assert noted(Envelope()) == ""
    assert envelope_of('{"private": true, "coloured": "red"}') == Envelope(private=True)


@pytest.mark.parametrize("text", ["[]", "5", '{"parts": [1]}', "{"])
def test_anything_else_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        envelope_of(text)
