"""Call handlers, and a caller's way from place to place."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from sip import wav
from sip.call import Sound, Transferred
from sip.invite import Invite, Redirection
from store.model import setting_id
from tests.fakes.call import START, Barges, ScriptedCall, Speaks, Step, at_every_moment
from tests.fakes.desk import ANNA, BEN, PILOT, PIN, House, house
from voicemail.policy.base import Policy
from voicemail.policy.model import (
    Action,
    CallHandler,
    Go,
    GreetingSwitch,
    Members,
    RoutingRule,
    Source,
    Table,
    Undeliverable,
)
from voicemail.policy.transfers import OnBusy, Transfer

TO_PILOT = Invite("call-1", PILOT, "+4930555")
TO_SALES = replace(TO_PILOT, dialled="5100")
WELCOME = ("opening_welcome", "dial_extension")
OPENING = (
    *(*WELCOME, "to_find_by_name_press", "n_4", "for_the_operator_press", "n_0"),
    *("for_the_operator_press", "pound", "to_sign_in_press", "star"),
)
BEN_GREETS = ("default_greeting_before", "n_1", "n_0", "n_0", "n_2", "default_greeting_after")
LEAVES = Speaks(5.0, "hang-up")
SALES = setting_id("handler", "sales")
WAITING = ["hold_music", "still_holding", "hold_music"]
BEN_KEY = {"1": Action(go=Go.USER, target="1002")}


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def put(home: House, name: str, policy: Policy, owner: UUID | None = None) -> None:
    await home.desk().policies.put(name, policy, owner)


async def sales(home: House, **fields: object) -> None:
    """A handler at 5100."""
    await put(home, "sales", CallHandler.model_validate({"extension": "5100", **fields}))


async def talk(home: House, invite: Invite, *script: Step, ends: Transferred | None = None) -> ScriptedCall:
    call = home.call(*script, invite=invite)
    call.transferred = ends or call.transferred
    await home.pilot().handle(call)
    assert call.ended
    return call


async def test_the_opening_greeting_says_what_its_keys_do_and_silence_leads_to_the_operator(
    home: House,
) -> None:
    call = await talk(home, TO_PILOT, "", "")
    assert call.heard == [*OPENING, *OPENING, "nobody_here_now", "goodbye"]


async def test_the_operators_telephone_rings_when_there_is_one(home: House) -> None:
    await put(home, "operator", CallHandler(transfer=Transfer(enabled=True, number="1999")))
    for script in (("", ""), (Barges("0"), ""), (Barges("#"),)):
        call = await talk(home, TO_PILOT, *script)
        assert call.transfers == [("transfer", "1999")]
    forwarded = replace(TO_PILOT, redirections=(Redirection("1001"),))
    assert (await talk(home, forwarded, Barges("0"))).transfers == [("transfer", "1999")]


async def test_an_operator_whose_messages_somebody_gets_takes_them(home: House) -> None:
    await put(home, "operator", CallHandler(messages_to=("1002",)))
    call = await talk(home, TO_PILOT, Barges("0"), "", 5.0, "#")
    assert call.heard[1:4] == ["nobody_here_now", "record_at_tone", "tone"]
    assert call.heard[-2:] == ["message_sent", "goodbye"]


@pytest.mark.parametrize("more", ["002", "002#"])
async def test_an_extension_dialled_in_the_greeting_is_reached(home: House, more: str) -> None:
    call = await talk(home, TO_PILOT, Barges("1"), more.rstrip("#"), LEAVES)
    assert call.heard == [OPENING[0], *BEN_GREETS, "tone"]


async def test_digits_can_be_put_before_what_is_dialled(home: House) -> None:
    await sales(home, prepend_digits="10")
    call = await talk(home, TO_SALES, Barges("0"), "2", LEAVES)
    assert call.heard[-1 - len(BEN_GREETS) :] == [*BEN_GREETS, "tone"]


async def test_a_handlers_extension_can_be_dialled_too(home: House) -> None:
    await sales(home, keys=BEN_KEY)
    call = await talk(home, TO_PILOT, Barges("5"), "100", Barges("1"), "", LEAVES)
    assert call.heard == [OPENING[0], "opening_welcome", *BEN_GREETS, "tone"]


async def test_a_key_that_begins_an_extension_waits_unless_it_is_locked(home: House) -> None:
    await sales(home, keys=BEN_KEY)
    assert (await talk(home, TO_SALES, Barges("1"), "001", LEAVES)).heard[5] == "n_1"
    await sales(home, keys=BEN_KEY, locked_keys="1")
    assert (await talk(home, TO_SALES, Barges("1"), LEAVES)).heard[1:] == [*BEN_GREETS, "tone"]
    await sales(home, keys=BEN_KEY, extensions_may_be_dialled=False)
    assert (await talk(home, TO_SALES, Barges("1"), LEAVES)).heard[1:] == [*BEN_GREETS, "tone"]


@pytest.mark.parametrize(("key", "seconds"), [("1", 4.0), ("2", 0.5)])
async def test_a_key_may_wait_for_more_digits_as_long_as_it_needs(
    home: House, key: str, seconds: float
) -> None:
    keys = BEN_KEY | {"2": BEN_KEY["1"]}
    await sales(home, keys=keys, wait_for_digits=0.5, wait_for_digits_after={"1": 4.0, "3": 9.0})
    call, pressed = home.call(Barges(key), "", LEAVES, invite=TO_SALES), home.clock.now()
    ben: list[float] = []

    def note(sound: Sound) -> None:
        if sound == BEN_GREETS[0]:
            ben.append((home.clock.now() - pressed).total_seconds())

    call.on_sound = note
    await home.pilot().handle(call)
    assert ben == [Barges(key).after + seconds]


async def test_a_key_that_waits_begins_an_extension_and_one_that_does_not_is_locked(home: House) -> None:
    await sales(home, keys=BEN_KEY, wait_for_digits_after={"1": 4.0})
    assert (await talk(home, TO_SALES, Barges("1"), "001", LEAVES)).heard[5] == "n_1"
    await sales(home, keys=BEN_KEY, wait_for_digits_after={"1": 0.0})
    assert (await talk(home, TO_SALES, Barges("1"), LEAVES)).heard[1:] == [*BEN_GREETS, "tone"]
    await sales(home, wait_for_digits_after={"1": 0.0})
    call = await talk(home, TO_SALES, Barges("1"), Barges("2", "opening_welcome"), "001", LEAVES)
    assert call.heard[:4] == ["opening_welcome", "invalid_key", "opening_welcome", "not_a_mailbox"]


async def test_a_number_that_nobody_has_is_told_and_the_greeting_repeated(home: House) -> None:
    call = await talk(home, TO_PILOT, Barges("9"), "999", Barges("*", "dial_extension"), "1001", PIN)
    assert call.heard[:5] == ["opening_welcome", "not_a_mailbox", *WELCOME, "welcome"]
    call = await talk(home, TO_PILOT, *(Barges("9"), "999") * 40)
    assert len(call.script) == 60
    assert call.heard[-1] == "goodbye"


async def test_star_while_an_extension_is_dialled_begins_anew(home: House) -> None:
    call = await talk(home, TO_PILOT, Barges("1"), "*", Barges("1"), "002", LEAVES)
    assert call.heard == [OPENING[0], OPENING[0], *BEN_GREETS, "tone"]


async def test_star_signs_in(home: House) -> None:
    call = await talk(home, TO_PILOT, Barges("*"), "1001", PIN, "*")
    assert call.heard[1:4] == ["welcome", "enter_id", "enter_pin"]


async def test_a_bad_key_plays_the_handlers_own_error_greeting(home: House) -> None:
    await sales(home, extensions_may_be_dialled=False)
    call = await talk(home, TO_SALES, Barges("9"), Barges("9", "opening_welcome"), "")
    assert call.heard[:3] == ["opening_welcome", "invalid_key", "opening_welcome"]
    await put(home, "error", GreetingSwitch(enabled=True), SALES)
    await home.store.users.set_greeting(SALES, wav.file_ulaw(b"\x21" * wav.RATE), "error")
    call = await talk(home, TO_SALES, Barges("9"), LEAVES)
    assert call.lengths == {1: 1.0}


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        (GreetingSwitch(enabled=True, source=Source.SYSTEM), ["invalid_key"]),
        (GreetingSwitch(enabled=True, source=Source.NONE), []),
        (GreetingSwitch(enabled=False, source=Source.NONE), ["invalid_key"]),
        (GreetingSwitch(enabled=True, until=START), ["invalid_key"]),
    ],
)
async def test_a_recorded_error_greeting_is_not_played_where_something_else_holds(
    home: House, switch: GreetingSwitch, said: list[Sound]
) -> None:
    await sales(home, extensions_may_be_dialled=False)
    await put(home, "error", switch, SALES)
    await home.store.users.set_greeting(SALES, wav.file_ulaw(b"\x21" * wav.RATE), "error")
    call = await talk(home, TO_SALES, Barges("9"), LEAVES)
    assert call.heard[: 2 + len(said)] == ["opening_welcome", *said, "opening_welcome"]


async def test_handlers_have_greetings_by_schedule(home: House) -> None:
    await sales(home, messages_to=("1001",), schedule="weekdays")
    await put(home, "closed", GreetingSwitch(enabled=True, after=Action(go=Go.HANG_UP)), SALES)
    for kind, seconds in (("standard", 2), ("closed", 3)):
        await home.store.users.set_greeting(SALES, wav.file_ulaw(b"\x21" * seconds * wav.RATE), kind)
    call = await talk(home, TO_SALES, LEAVES)
    assert (call.lengths, call.heard[1:]) == ({0: 2.0}, ["tone"])
    home.clock.time = START.replace(hour=23)
    call = await talk(home, TO_SALES, "")
    assert (call.lengths, call.heard[1:]) == ({0: 3.0}, [])


async def test_nothing_can_be_left_where_nobody_would_get_it(home: House) -> None:
    for to in ((), ("undeliverable",), ("list:sales",), ("operator",)):
        await sales(home, messages_to=to)
        call = await talk(home, TO_SALES, LEAVES)
        assert call.heard[-1] == "goodbye"
        assert (call.recorded, home.left_in_spool()) == (0, 0)


async def test_messages_go_to_whoever_the_handler_names(home: House) -> None:
    await put(home, "default", Undeliverable(members=("1002",)))
    await put(home, "operator", Members(members=("1001",)))
    await sales(home, messages_to=("undeliverable", "list:gone", "operator", "1001", "1002"))
    call = home.call(5.0, "#", invite=TO_SALES)
    notes = []
    call.on_sound = lambda sound: notes.extend(home.spool.left_behind()) if sound == "tone" else None
    await home.pilot().handle(call)
    assert [note.addressees for note in notes] == [("1002", "list:operator", "1001")]
    for user in (ANNA, BEN):
        (message,) = await home.messages(user)
        assert message.caller == "+4930555"


@pytest.mark.parametrize(
    ("rule", "ends", "transfers", "heard"),
    [
        (Transfer(enabled=True, number="200"), Transferred.DONE, [("transfer", "200")], ["please_hold"]),
        (
            Transfer(enabled=True, number="200", supervised=True), Transferred.BUSY,
            [("connect", "200")], ["please_hold", "line_is_busy", "opening_welcome"],
        ),
        (
            Transfer(enabled=True, number="900"), Transferred.DONE,
            [], ["cannot_put_through", "opening_welcome"],
        ),
        (Transfer(number="200"), Transferred.DONE, [], ["opening_welcome"]),
    ],
)  # fmt: skip
async def test_a_handlers_telephone_is_tried_before_its_greeting(
    home: House, rule: Transfer, ends: Transferred, transfers: list[tuple[str, str]], heard: list[str]
) -> None:
    await sales(home, transfer=rule)
    call = await talk(home, TO_SALES, ends=ends)
    assert call.transfers == transfers
    assert call.heard[: len(heard)] == heard


@pytest.mark.parametrize(
    ("script", "tries", "heard"),
    [
        (("2",), 1, ["hold_menu", "opening_welcome"]),
        (
            ("1", "2"),
            2,
            ["hold_menu", *WAITING, "please_hold", "line_is_busy", "hold_menu", "opening_welcome"],
        ),
        (("1", Barges("2", "still_holding")), 1, ["hold_menu", *WAITING[:2], "opening_welcome"]),
        (("7", "", "", ""), 1, ["hold_menu", "invalid_key", *["hold_menu", "still_there"] * 2, "hold_menu"]),
        (("1",) * 20, 15, ["hold_menu", *WAITING, "please_hold"]),
    ],
)
async def test_who_finds_a_line_busy_may_wait_or_leave_a_message(
    home: House, script: tuple[Step, ...], tries: int, heard: list[str]
) -> None:
    await sales(home, transfer=Transfer(enabled=True, number="200", supervised=True, on_busy=OnBusy.ASK))
    call = await talk(home, TO_SALES, *script, ends=Transferred.BUSY)
    assert call.transfers == [("connect", "200")] * tries
    assert call.heard[: 2 + len(heard)] == ["please_hold", "line_is_busy", *heard]


@pytest.mark.parametrize(
    ("script", "tries", "heard"),
    [
        ((Barges("2", "holding_menu"),), 1, ["opening_welcome"]),
        ((Barges("1", "holding_menu"), Barges("2", "still_holding")), 1, [*WAITING[:2], "opening_welcome"]),
        ((Barges("7", "holding_menu"),), 15, [*WAITING, "please_hold", "line_is_busy", "holding_menu"]),
        ((), 15, [*WAITING, "please_hold", "line_is_busy", "holding_menu", *WAITING]),
    ],
)
async def test_who_is_put_on_hold_waits_unless_he_says_otherwise(
    home: House, script: tuple[Step, ...], tries: int, heard: list[str]
) -> None:
    await sales(home, transfer=Transfer(enabled=True, number="200", supervised=True, on_busy=OnBusy.HOLD))
    call = await talk(home, TO_SALES, *script, ends=Transferred.BUSY)
    assert call.transfers == [("connect", "200")] * tries
    assert call.heard[: 3 + len(heard)] == ["please_hold", "line_is_busy", "holding_menu", *heard]
    assert call.heard.count("opening_welcome") == 1


async def test_a_line_that_becomes_free_takes_who_waits(home: House) -> None:
    await sales(home, transfer=Transfer(enabled=True, number="200", supervised=True, on_busy=OnBusy.HOLD))
    call = home.call(invite=TO_SALES)
    call.transferred = Transferred.BUSY

    def free(sound: Sound) -> None:
        if sound == "still_holding":
            call.transferred = Transferred.DONE

    call.on_sound = free
    await home.pilot().handle(call)
    assert call.transfers == [("connect", "200")] * 2 and call.gone


@pytest.mark.parametrize("on_busy", [OnBusy.ASK, OnBusy.HOLD])
async def test_nobody_waits_where_the_callers_side_puts_through(home: House, on_busy: OnBusy) -> None:
    await sales(home, transfer=Transfer(enabled=True, number="200", on_busy=on_busy))
    call = await talk(home, TO_SALES, ends=Transferred.BUSY)
    assert call.heard[:3] == ["please_hold", "line_is_busy", "opening_welcome"]


async def test_a_caller_may_hang_up_anywhere_while_waiting(home: House) -> None:
    await sales(home, transfer=Transfer(enabled=True, number="200", supervised=True, on_busy=OnBusy.HOLD))

    async def check(call: ScriptedCall) -> None:
        call.transferred = Transferred.BUSY
        await home.pilot().handle(call)
        assert call.ended

    script = (Barges("1", "holding_menu"), Barges("2", "still_holding"))
    await at_every_moment(lambda at: home.call(*script, leaves_at=at, invite=TO_SALES), check)


async def test_a_handlers_language_holds_for_the_rest_of_the_call(home: House) -> None:
    await home.store.users.change(replace(ANNA, language="xx"))
    await sales(home, language="de", keys={"1": Action(go=Go.USER, target="1001")}, locked_keys="1")
    assert (await talk(home, TO_SALES, Barges("1"), LEAVES)).language == "de"


async def test_a_handler_may_say_nothing_and_send_callers_on(home: House) -> None:
    silent = GreetingSwitch(enabled=True, source=Source.NONE, after=Action(go=Go.DIRECTORY))
    await sales(home)
    await put(home, "standard", silent, SALES)
    assert (await talk(home, TO_SALES, "")).heard == ["directory_spell"]


async def test_handlers_that_lead_to_each_other_end_the_call(home: House) -> None:
    for name, other in (("sales", "service"), ("service", "sales")):
        await put(home, name, CallHandler(extension="5100" if name == "sales" else ""))
        after = Action(go=Go.HANDLER, target=other)
        await put(
            home,
            "standard",
            GreetingSwitch(enabled=True, after=after, ignore_keys=True),
            setting_id("handler", name),
        )
    call = await talk(home, TO_SALES)
    assert call.heard == ["opening_welcome", "dial_extension"] * 20 + ["goodbye"]


async def test_a_greeting_that_starts_over_by_itself_ends_after_a_while(home: House) -> None:
    await sales(home)
    again = GreetingSwitch(enabled=True, ignore_keys=True, after=Action(go=Go.RESTART_GREETING))
    await put(home, "standard", again, SALES)
    assert (await talk(home, TO_SALES)).heard == ["opening_welcome", "dial_extension"] * 10


@pytest.mark.parametrize("ends", [Transferred.DONE, Transferred.BUSY])
async def test_a_rule_may_put_a_call_through_at_once(home: House, ends: Transferred) -> None:
    action = Action(go=Go.TRANSFER, target="200")
    await put(home, "a", RoutingRule(table=Table.DIRECT, order=1, dialled=("5200",), action=action))
    call = await talk(home, replace(TO_PILOT, dialled="5200"), ends=ends)
    assert call.transfers == [("transfer", "200")]
    assert call.heard[1:] == ([] if ends is Transferred.DONE else ["line_is_busy", "goodbye"])


async def test_a_rule_that_leads_to_a_handler_which_is_gone_leads_to_the_opening_greeting(
    home: House,
) -> None:
    action = Action(go=Go.HANDLER, target="gone")
    await put(home, "a", RoutingRule(table=Table.DIRECT, order=1, action=action))
    assert (await talk(home, TO_PILOT, "")).heard[:2] == list(WELCOME)


async def test_hanging_up_anywhere_at_the_opening_greeting_breaks_nothing(home: House) -> None:
    await put(home, "operator", CallHandler(messages_to=("1001",)))

    async def run(call: ScriptedCall) -> None:
        with capture_logs() as lines:
            await home.pilot().handle(call)
        assert call.ended
        assert not [line for line in lines if line["log_level"] in ("error", "critical")]

    moments = await at_every_moment(
        lambda at: home.call(
            Barges("9"), "99", Barges("5"), "", Barges("0"), "", 5.0, "#", invite=TO_PILOT, leaves_at=at
        ),
        run,
    )
    assert moments > 20
