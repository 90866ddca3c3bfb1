"""Where a caller is put through to, and what a final status says."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from sip.call import HungUp, Transferred
from sip.endpoint import Engine
from sip.errors import EngineError
from sip.line import Line
from sip.transfer import Out, connect, outcome, refer, way_out

INVITE = "INVITE sip:5000@192.0.2.1 SIP/2.0\r\nFrom: <sip:4930555@pbx.example>;tag=1\r\n{}\r\n\r\n"


async def dial(*_: object) -> None:
    """Nobody is called."""


def way(contact: str, trunk: str = "pbx") -> Out:
    return way_out(INVITE.format(contact), trunk, "vm.example", dial)


@pytest.mark.parametrize(
    ("contact", "target", "leg"),
    [
        ("Contact: <sip:asterisk@192.0.2.5:5062>", "sip:1002@192.0.2.5:5062", ""),
        ("m: <sip:192.0.2.5>", "sip:1002@192.0.2.5", ""),
        ("Contact: <sip:x@[2001:db8::5]:5062;ob>", "sip:1002@[2001:db8::5]:5062", ""),
        (
            "Contact: <sip:x@192.0.2.5;transport=tcp;alias=192.0.2.5~40000~2>",
            "sip:1002@192.0.2.5",
            ";transport=tcp;alias=192.0.2.5~40000~2",
        ),
        ("Contact: damaged", "sip:1002@pbx.example", ""),
    ],
)
def test_a_trunks_numbers_are_where_its_call_came_from(contact: str, target: str, leg: str) -> None:
    out = way(contact)
    assert out.trunk
    assert (out.target("1002"), out.leg("1002")) == (target, target + leg)
    assert (out.phones().trunk, out.phones().leg("1002")) == (False, "sip:1002@vm.example")


def test_a_phone_has_no_numbers_of_its_own() -> None:
    out = way("Contact: <sip:1001@192.0.2.77>", trunk="")
    assert (out.trunk, out.target("1002")) == (False, "sip:1002@vm.example")


def test_junk_is_called_at_home() -> None:
    assert way_out("junk", "pbx", "vm.example", dial).target("1002") == "sip:1002@vm.example"


def test_a_number_cannot_change_the_rest_of_the_uri() -> None:
    assert way("Contact: <sip:192.0.2.5>").target("10#2;x@y?z") == "sip:10%232%3Bx%40y%3Fz@192.0.2.5"


@pytest.mark.parametrize(
    ("code", "said"),
    [(200, "done"), (202, "done"), (486, "busy"), (600, "busy"), (408, "no answer"), (480, "no answer"),
     (487, "no answer"), (403, "refused"), (404, "refused"), (503, "refused"), (603, "refused")],
)  # fmt: skip
def test_what_a_final_status_says_to_a_caller(code: int, said: str) -> None:
    assert outcome(code) is Transferred(said)


class Obeys:
    """An engine that does what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def command(self, method: Any, _number: int, *_: Any) -> None:
        self.told.append(method.__name__)


@pytest.mark.parametrize(
    ("code", "said", "told"), [(0, "refused", ["refer"]), (200, "done", ["refer", "end"])]
)
async def test_who_hears_nothing_of_a_transfer_keeps_the_caller(
    code: int, said: str, told: list[str]
) -> None:
    engine = Obeys()
    call = Line(cast(Engine, engine), 1)

    async def ring(ready: Callable[[], Any], _seconds: float) -> Any:
        call.heard("referred", code)
        return ready()

    assert await refer(call, "sip:1002@192.0.2.5", ring) is Transferred(said)
    assert engine.told == told


async def at_once(_ready: Callable[[], Any], _seconds: float) -> None:
    """Waits for nothing: as if all the time were over."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def says(error: Exception | None) -> Callable[[], Any]:
    async def asks() -> bool:
        if error:
            raise error
        return await asyncio.Future()

    return asks


@pytest.mark.parametrize("error", [None, HungUp(), EngineError("no sound")])
async def test_who_answers_and_does_not_say_yes_is_let_go(error: Exception | None) -> None:
    """Silent for a minute, gone, or not to be spoken to."""
    engine = Obeys()
    call, leg = Line(cast(Engine, engine), 1), Line(cast(Engine, engine), 2)
    leg.heard("media", True)
    leg.heard("confirmed", None)
    done = await connect(call, leg, Out("vm.example", dial=dial), "sip:1002@x", "", at_once, 5.0, says(error))
    assert done is Transferred.DECLINED
    assert engine.told == ["end"], "the leg's; nobody was joined"
    assert len(asyncio.all_tasks()) == 1, "nobody is asked any more"


async def test_a_caller_who_goes_meanwhile_ends_the_question_too() -> None:
    engine = Obeys()
    call, leg = Line(cast(Engine, engine), 1), Line(cast(Engine, engine), 2)

    async def ring(_ready: Callable[[], Any], _seconds: float) -> None:
        if leg.talks:
            await at_once(_ready, _seconds)
            raise HungUp
        leg.heard("media", True)
        leg.heard("confirmed", None)

    with pytest.raises(HungUp):
        await connect(call, leg, Out("vm.example", dial=dial), "sip:1002@x", "", ring, 5.0, says(None))
    assert engine.told == ["end"] and len(asyncio.all_tasks()) == 1
