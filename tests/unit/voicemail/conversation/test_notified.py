"""A call of ours to a user: what is heard before the PIN, and who gets beyond it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from sip.call import HungUp, Talk, Transferred
from sip.errors import EngineError
from store.model import Folder, Setting
from tests.fakes.call import FILE, ScriptedCall, Step, at_every_moment
from tests.fakes.desk import ANNA, BEN, PIN, House, house
from voicemail.call_orders import Ended, NoWorker, Order, Report, ask
from voicemail.calling import Caller, taking_orders
from voicemail.conversation.notified import notified
from voicemail.policy.model import Restriction, RestrictionTable

BEFORE = ["notified", "enter_pin"]
OPEN = RestrictionTable(rows=(Restriction(pattern="0171*", allow=True),))


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def called(home: House, *script: Step, leaves_at: int = 0) -> tuple[ScriptedCall, list[str]]:
    call, reached = home.call(*script, leaves_at=leaves_at), list[str]()
    with suppress(HungUp):
        await notified(home.desk(), call, ANNA, lambda: reached.append("yes"))
    return call, reached


async def test_with_the_pin_the_user_hears_messages_as_at_any_other_telephone(home: House) -> None:
    await home.leave()
    call, reached = await called(home, PIN, "1", "3")
    assert call.heard[:2] == BEFORE and reached == ["yes"]
    assert any(isinstance(sound, Path) for sound in call.heard)
    assert [each.folder for each in await home.messages()] == [Folder.DELETED]


@pytest.mark.parametrize("script", [("", "", ""), ("*",), ("111111", "222222", ""), ("", PIN[:-1], "#")])
async def test_without_it_nothing_is_said_of_any_message(home: House, script: tuple[Step, ...]) -> None:
    await home.leave(caller_name="Eve")
    call, reached = await called(home, *script)
    allowed = {*BEFORE, "pin_wrong", "try_again", "goodbye", "sign_in_locked"}
    assert set(call.heard) <= allowed and not reached
    assert [each.folder for each in await home.messages()] == [Folder.NEW]


async def test_somebody_else_with_a_mailbox_cannot_sign_in_on_this_call(home: House) -> None:
    call, reached = await called(home, "*")
    assert call.heard == [*BEFORE, "goodbye"] and not reached
    assert "enter_id" not in call.heard and BEN.extension not in call.heard


async def test_wrong_pins_count_and_lock_as_everywhere(home: House) -> None:
    await called(home, "111111", "222222", "333333")
    call, reached = await called(home, PIN)
    assert call.heard[-2:] == ["sign_in_locked", "goodbye"] and not reached


async def test_whoever_hangs_up_at_any_moment_was_reached_only_after_the_pin(home: House) -> None:
    await home.leave()

    def caller(leaves_at: int) -> ScriptedCall:
        return home.call(PIN, "*", leaves_at=leaves_at)

    async def run(call: ScriptedCall) -> None:
        reached: list[str] = []
        with suppress(HungUp):
            await notified(home.desk(), call, ANNA, lambda: reached.append("yes"))
        assert bool(reached) == (PIN not in call.script)
        assert FILE not in call.heard

    assert await at_every_moment(caller, run) > 4


# ---- orders


class Line:
    """Dials as the test says."""

    def __init__(self, home: House, done: Transferred = Transferred.DONE, *script: Step) -> None:
        self.home, self.done, self.script = home, done, script
        self.dialled: list[tuple[str, bool]] = []
        self.full = False
        self.held: asyncio.Event | None = None

    async def __call__(self, target: str, seconds: float, talk: Talk, *, trunk: bool) -> Transferred:
        if self.full:
            raise EngineError("no port to spare")
        self.dialled.append((target, trunk))
        if self.held:
            await self.held.wait()
        if self.done is Transferred.DONE:
            await talk(self.home.call(*self.script))
        return self.done


async def ordered(home: House, line: Line, number: str = "0171 555", uri: str = "sip:{number}@pbx") -> Report:
    caller, told = Caller(home.store, home.pilot().desk, uri, "vm"), list[Report]()
    caller.may_dial(line)
    await caller.call(Order(ANNA.id, number, uuid4()), told.append)
    (report,) = told
    return report


async def allow(home: House) -> None:
    body = OPEN.model_dump_json()
    await home.store.settings.put(Setting(RestrictionTable.KIND, "default_dial_out", body))


async def test_a_number_that_the_table_refuses_is_never_dialled(home: House) -> None:
    line = Line(home)
    assert (await ordered(home, line)).ended is Ended.NOT_ALLOWED and not line.dialled
    await allow(home)
    for number in ("0900 5", "", "*21#", "0171;isub=*", "sip:0171@evil"):
        report = await ordered(home, line, number)
        assert report.ended is Ended.NOT_ALLOWED or line.dialled.pop()[0] == "sip:0171@pbx"
    assert not line.dialled


@pytest.mark.parametrize(
    ("done", "script", "ended"),
    [
        (Transferred.DONE, (PIN, "*"), Ended.REACHED),
        (Transferred.DONE, ("", "", ""), Ended.NO_PIN),
        (Transferred.DONE, (), Ended.NO_PIN),
        (Transferred.BUSY, (), Ended.BUSY),
        (Transferred.NO_ANSWER, (), Ended.NO_ANSWER),
        (Transferred.REFUSED, (), Ended.REFUSED),
    ],
)
async def test_how_a_call_went_is_told(
    home: House, done: Transferred, script: tuple[Step, ...], ended: Ended
) -> None:
    await allow(home)
    line = Line(home, done, *script)
    assert (await ordered(home, line)).ended is ended
    assert line.dialled == [("sip:0171555@pbx", True)]


async def test_without_a_trunk_a_registered_phone_is_called(home: House) -> None:
    await allow(home)
    line = Line(home, Transferred.BUSY)
    await ordered(home, line, uri="")
    assert line.dialled == [("sip:0171555@vm", False)]


async def test_a_worker_that_is_full_or_has_no_database_says_so(home: House) -> None:
    await allow(home)
    line = Line(home)
    line.full = True
    assert (await ordered(home, line)).ended is Ended.NO_PORT
    home.store.state.away = True
    assert (await ordered(home, line)).ended is Ended.NO_PORT
    assert not line.dialled


async def test_an_order_goes_through_the_socket_and_who_goes_away_ends_the_call(
    home: House, tmp_path: Path
) -> None:
    await allow(home)
    line, path = Line(home, Transferred.BUSY), tmp_path / "0.sock"
    caller = Caller(home.store, home.pilot().desk, "sip:{number}@pbx", "vm")
    caller.may_dial(line)
    order = Order(ANNA.id, "0171555", uuid4())
    with pytest.raises(NoWorker):
        await ask(path, order, 1.0)
    async with taking_orders(path, caller.call):
        assert path.stat().st_mode & 0o077 == 0
        assert (await ask(path, order, 1.0)).ended is Ended.BUSY
        line.held = asyncio.Event()
        with pytest.raises(NoWorker):
            await ask(path, order, 0.05)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(line.dialled) == 2
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"nonsense\n")
        assert await reader.read() == b""
        writer.close()
