"""What a call does that never becomes one."""

from typing import Any, cast

import pytest

from sip import pjcall
from sip.endpoint import Engine
from sip.errors import EngineError
from sip.invite import Invite
from sip.pjcall import PjCall


class Obeys:
    """An engine that does what it is told, and to which nobody answers."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def command(self, method: Any, number: int, *arguments: Any) -> None:
        self.told.append(method.__name__)


def call_of(engine: Obeys) -> PjCall:
    return PjCall(cast(Engine, engine), 1, Invite("id", "5000", "4930555"), lambda *_: None)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pjcall, "ANSWER_PATIENCE", 0.01)


async def test_a_call_begins_when_it_is_acknowledged_and_audio_flows():
    call = call_of(engine := Obeys())
    call.heard("media", True)
    call.heard("confirmed", None)
    await call.answer()
    assert engine.told == ["reply"]


@pytest.mark.parametrize(
    "event, value, why", [("media", True, "never acknowledged"), ("confirmed", None, "no audio flows")]
)
async def test_a_call_that_lacks_one_of_both_does_not_begin(event: str, value: Any, why: str):
    call = call_of(Obeys())
    call.heard(event, value)
    with pytest.raises(EngineError, match=why):
        await call.answer()
