"""The runner with the memory store, real handlers, a clock moved by hand, and a world that can fail."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiosmtplib
import pytest
from structlog.testing import capture_logs

from sip.mwi import Summary, parse
from store.errors import Unavailable
from store.ids import uuid7
from store.model import Counts, Mark, NewMessage, Setting, User, Work
from tests.fakes.primary import PostBox, SipWorld, eventually, quiet
from tests.fakes.primary_process import ANNA, BEN, MAIL, OTHER, OWN, PBX, PEER, Primary
from voicemail.config import Mail
from voicemail.policy.house import ALTERNATE
from voicemail.primary.places import Lamp
from voicemail.primary.postman import Postman


@pytest.fixture
async def primary() -> Primary:
    made = Primary()
    await made.store.users.add(ANNA)
    await made.store.users.add(BEN)
    return made


async def test_a_deposit_lights_the_lamp_on_trunk_and_edge_and_is_mailed(primary: Primary) -> None:
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.left == 0)
    assert primary.lamp("sip:mwi-1001@192.0.2.5") == (1, 0)
    assert primary.lamp(f"sip:1001@{OWN}") == (1, 0)
    assert len(primary.post.mails) == 1
    assert primary.store.state.done.values() and set(primary.store.state.done.values()) == {"sent"}


async def test_hearing_and_deleting_put_the_lamp_out(primary: Primary) -> None:
    async with primary.on_duty():
        message = await primary.deposit()
        await primary.store.messages.mark(message, Mark.READ)
        await eventually(lambda: primary.left == 0)
        assert primary.lamp("sip:mwi-1001@192.0.2.5") == (0, 1)
        await primary.store.messages.mark(message, Mark.DELETE)
        await eventually(lambda: primary.left == 0)
        assert primary.lamp("sip:mwi-1001@192.0.2.5") == (0, 0)


async def test_without_a_lease_nothing_is_done_at_all(primary: Primary) -> None:
    async with primary.running():
        await primary.deposit()
        await quiet()
        primary.clock.advance(3600)
        await quiet()
    assert not primary.world.requests and not primary.post.mails and primary.left == 2
    assert primary.store.state.epoch == 0


async def test_a_frozen_process_that_wakes_does_nothing_until_it_is_renewed(primary: Primary) -> None:
    async with primary.on_duty():
        primary.clock.elapsed += 60.0  # frozen: no time passes for its own timers
        await primary.deposit()
        await quiet()
        assert not primary.world.requests
        primary.runner.renew(1, primary.clock.monotonic() - 59.0)  # what lay in the pipe
        await quiet()
        assert not primary.world.requests
        primary.renew()
        await eventually(lambda: primary.left == 0)


async def test_the_lease_is_asked_immediately_before_the_act(primary: Primary) -> None:
    async with primary.on_duty():
        counts = primary.store.messages.counts

        async def slow(mailbox: UUID) -> object:
            primary.clock.elapsed += 10.0  # the lease runs out while the store is read
            return await counts(mailbox)

        primary.store.messages.counts = slow  # type: ignore[method-assign,assignment]
        await primary.deposit(BEN)
        await quiet()
    assert not primary.world.requests and primary.left == 1


async def test_every_lamp_is_sent_again_on_a_new_epoch(primary: Primary) -> None:
    async with primary.on_duty():
        primary.renew(2)
        await primary.later(1, epoch=2)
        assert len(primary.world.to("192.0.2.5")) == 2 and len(primary.world.to(OWN)) == 2
        assert primary.store.state.epoch == 2


async def test_lamps_are_sent_again_hourly_and_publications_before_they_expire(primary: Primary) -> None:
    async with primary.on_duty():
        await primary.later(3)
        primary.world.forget()
        for _ in range(60):
            await primary.later(60)
        assert [r.method for r in primary.world.to(OWN)].count("PUBLISH") in (2, 4)
        await primary.later(5)
        assert len(primary.world.to("192.0.2.5")) == 2


async def test_a_publication_replaces_its_predecessor(primary: Primary) -> None:
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.left == 0)
        assert len(primary.world.etags) == 2, "one for each mailbox"
        assert "SIP-If-Match" in dict(primary.world.to(f"1001@{OWN}")[-1].headers)


async def test_an_edge_that_forgot_one_publication_is_told_every_lamp_once(primary: Primary) -> None:
    async with primary.on_duty():
        await primary.later(5)
        primary.world.forget()
        primary.world.etags.clear()  # the edge lost its state
        primary.world.lamps.clear()
        await primary.deposit()
        await primary.later(2)
        assert (primary.lamp(f"sip:1001@{OWN}"), primary.lamp(f"sip:1002@{OWN}")) == ((1, 0), (0, 0))
        matches = [dict(r.headers).get("SIP-If-Match") for r in primary.world.to(f"1001@{OWN}")]
        assert matches[0] is not None and matches[1] is None, "begun anew"
        assert len(matches) == 3 and len(primary.world.to(f"1002@{OWN}")) == 1


async def test_an_edge_that_comes_back_is_told_every_lamp(primary: Primary) -> None:
    await primary.deposit()
    async with primary.on_duty():
        await eventually(lambda: primary.left == 0)
        primary.world.forget()
        primary.notifier.peer_edge = PEER
        primary.runner.wake()
        await primary.later(1)
        assert {r.target for r in primary.world.requests} == {f"sip:1001@{PEER}", f"sip:1002@{PEER}"}
        assert primary.lamp(f"sip:1001@{PEER}") == (1, 0)


async def test_lamps_are_sent_once_more_when_the_peer_cannot_repeat_old_ones_any_longer(
    primary: Primary,
) -> None:
    async with primary.on_duty():
        await primary.later(3)
        primary.notifier.peer_edge = PEER  # it was cut off, and was Primary, too
        primary.runner.wake()
        await quiet()
        primary.world.lamps["sip:mwi-1001@192.0.2.5"] = Summary(7, 0)  # its last word on the way
        await primary.later(2)
        assert primary.lamp("sip:mwi-1001@192.0.2.5") == (7, 0)
        await primary.later(1)
        assert primary.lamp("sip:mwi-1001@192.0.2.5") == (0, 0)


async def test_a_trunk_that_was_silent_is_tried_at_once_when_this_node_takes_over_again(
    primary: Primary,
) -> None:
    async with primary.on_duty():
        primary.world.codes["192.0.2.5"] = 408
        await primary.deposit()
        await primary.later(60)
        primary.world.codes.clear()
        await quiet()
        assert primary.lamp("sip:mwi-1001@192.0.2.5") == (0, 0), "it is left in peace for a while"
        primary.renew(epoch=3)
        await eventually(lambda: primary.lamp("sip:mwi-1001@192.0.2.5") == (1, 0))


async def test_an_edge_that_is_gone_holds_nothing_up(primary: Primary) -> None:
    primary.notifier.peer_edge = PEER
    async with primary.on_duty():
        primary.world.hanging.add(PEER)
        await primary.deposit()
        await eventually(lambda: primary.left == 1)  # the lamp still waits for the peer's edge
        primary.notifier.peer_edge = ""
        primary.runner.wake()
        await eventually(lambda: primary.left == 0)


async def test_a_destination_that_hangs_delays_no_other() -> None:
    primary = Primary(trunks=(PBX, OTHER))
    users = [User(UUID(int=n), str(2000 + n)) for n in range(1, 41)]
    for user in users:
        await primary.store.users.add(user)
    async with primary.on_duty():
        primary.world.hanging.add("192.0.2.6")
        for user in users:
            await primary.deposit(user)
        await eventually(
            lambda: all(primary.lamp(f"sip:mwi-{u.extension}@192.0.2.5") == (1, 0) for u in users)
        )
        assert all(primary.lamp(f"sip:{u.extension}@{OWN}") == (1, 0) for u in users)
        assert len(primary.world.to("192.0.2.6")) == 8, "no more than the lane takes"


async def test_a_silent_trunk_is_tried_again_and_gets_all_lamps_when_it_is_back(primary: Primary) -> None:
    async with primary.on_duty():
        primary.world.codes["192.0.2.5"] = 408
        await primary.deposit()
        await eventually(lambda: primary.left == 1 and primary.lamp(f"sip:1001@{OWN}") == (1, 0))
        tried = len(primary.world.to("192.0.2.5"))
        await primary.later(120)
        assert tried < len(primary.world.to("192.0.2.5")) < 12
        primary.world.codes.clear()
        primary.world.lamps.clear()
        await primary.later(61)
        assert primary.lamp("sip:mwi-1001@192.0.2.5") == (1, 0)
        assert primary.lamp("sip:mwi-1002@192.0.2.5") == (0, 0), "a PBX forgets its lamps"
        await primary.later(3600)
        assert primary.left == 0


async def test_a_lamp_is_never_told_what_was_not_read_from_the_store(primary: Primary) -> None:
    async with primary.on_duty():
        primary.store.state.away = True
        primary.store.state.tell("outbox", "user_account")
        primary.runner.resync()
        await primary.later(20)
        assert not primary.world.requests
        primary.store.state.away = False
        await primary.deposit()
        await primary.later(5)
        await primary.until_done()
        assert primary.lamp(f"sip:1001@{OWN}") == (1, 0)
        assert len(primary.world.to("1002@")) == 2, "the resync that was asked for came too"


async def test_a_store_that_goes_away_between_send_and_record_makes_no_second_mail(primary: Primary) -> None:
    primary.post.held = asyncio.Event()
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.post.inside == 1)
        primary.store.state.away = True
        primary.post.held.set()
        await primary.later(10)
        primary.store.state.away = False
        await primary.until_done()
        assert len(primary.post.mails) == 1


async def test_what_was_under_way_when_the_duty_began_anew_is_recorded_and_ends_no_duty(
    primary: Primary,
) -> None:
    primary.post.held = asyncio.Event()
    async with primary.on_duty(epoch=1):
        await primary.deposit()
        await eventually(lambda: primary.post.inside == 1)
        primary.renew(epoch=3)  # the store refuses epoch 1 from now on
        await quiet()
        primary.post.held.set()
        await eventually(lambda: primary.left == 0)
        assert len(primary.post.mails) == 1
        await primary.deposit()
        await eventually(lambda: primary.lamp("sip:mwi-1001@192.0.2.5") == (2, 0))


async def test_mails_that_fail_are_repeated_with_the_same_message_id(primary: Primary) -> None:
    primary.post.failure = ConnectionRefusedError("nobody there")
    async with primary.on_duty():
        await primary.deposit()
        await primary.later(60)
        assert primary.left == 1
        primary.post.failure = None
        await primary.until_done()
        (item,) = (i for i in primary.store.state.outbox.values() if i.kind is Work.MAIL)
        assert primary.post.ids == [f"<{item.id}@vm.example.com>"]


async def test_a_mail_refused_for_good_is_done_and_says_so(primary: Primary) -> None:
    primary.post.failure = aiosmtplib.SMTPDataError(554, "no")
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.left == 0)
    assert any(r.startswith("refused: SMTPDataError") for r in primary.store.state.done.values())


async def test_work_that_fails_for_five_days_is_given_up_and_no_sooner(primary: Primary) -> None:
    primary.post.failure = aiosmtplib.SMTPDataError(451, "later")
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.left == 1)
        for hours in range(24 * 5 + 2):
            assert primary.left == 1 or hours >= 24 * 5 - 1
            primary.clock.advance(3600)
            primary.renew()
            await eventually(lambda: primary.runner.lease.valid(primary.clock.monotonic()))
            for _ in range(30):
                await quiet(5)
        await eventually(lambda: primary.left == 0)
    assert any(r.startswith("given up") for r in primary.store.state.done.values())


async def test_without_a_mail_host_mail_items_are_done() -> None:
    primary = Primary(mail=Mail())
    await primary.store.users.add(ANNA)
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.left == 0)
    assert "no mail host" in primary.store.state.done.values() and not primary.post.mails


async def test_five_hundred_items_are_all_done_once(primary: Primary) -> None:
    users = [User(UUID(int=n), str(n), mail=f"{n}@example.com", attach=False) for n in range(3000, 3025)]
    for user in users:
        await primary.store.users.add(user)
    for number in range(250):
        await primary.deposit(users[number % 25])
    assert primary.left == 500
    async with primary.running():
        primary.renew()
        await primary.until_done()
    assert primary.left == 0
    assert len(primary.post.ids) == len(set(primary.post.ids)) == 250
    assert all(primary.lamp(f"sip:mwi-{user.extension}@192.0.2.5") == (10, 0) for user in users)
    assert len(primary.world.to("192.0.2.5")) < 100, "items of one mailbox go together"


async def test_a_takeover_in_mid_work_repeats_at_most_the_one_in_hand_with_the_same_id() -> None:
    first = Primary()
    await first.store.users.add(ANNA)
    second = Primary(first.store, first.clock, SipWorld(), PostBox(), own=PEER)
    for _ in range(100):
        await first.deposit()
    async with first.running(), second.running():
        first.renew(1)
        await eventually(lambda: len(first.post.mails) >= 30)
        first.post.held = asyncio.Event()
        await eventually(lambda: first.post.stuck == 1)
        in_hand = {first.post.ids[-1]}
        second.renew(2)  # the first is cut off, not dead: it finishes what it has in hand
        await quiet()
        first.post.held.set()
        for _ in range(60):
            first.renew(1)
            second.renew(2)
            first.clock.advance(1.0)
            await quiet(20)
        await eventually(lambda: first.left == 0)
    sent = first.post.ids + second.post.ids
    repeated = {i for i in sent if sent.count(i) > 1}
    assert len(set(sent)) == 100
    assert repeated <= in_hand and len(sent) <= 101
    assert not first.runner.lease.valid(first.clock.monotonic()), "the fenced one stopped"


async def test_fenced_stops_at_once_and_for_this_epoch_for_ever(primary: Primary) -> None:
    async with primary.on_duty():
        primary.post.held = asyncio.Event()
        await primary.deposit()
        await eventually(lambda: primary.post.inside == 1 and primary.left == 1)
        primary.world.forget()
        await primary.store.outbox.fence(5)
        await primary.deposit()
        await quiet()
        assert not primary.world.requests and not primary.runner.lease.valid(primary.clock.monotonic())
        await primary.later(10)
        assert not primary.world.requests and primary.store.state.epoch == 5
        primary.post.held = None
        await primary.until_done(epoch=6)


async def test_a_removed_user_leaves_no_lamp_behind(primary: Primary) -> None:
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.left == 0)
        await primary.store.users.remove(ANNA.id)
        await primary.later(4)
        assert primary.lamp("sip:mwi-1001@192.0.2.5") == (0, 0)
        assert primary.lamp(f"sip:1001@{OWN}") == (0, 0)


async def test_an_extension_given_to_another_shows_the_new_owners_messages(primary: Primary) -> None:
    async with primary.on_duty():
        await primary.deposit(ANNA)
        await primary.store.users.change(replace(ANNA, extension="1009"))
        await primary.store.users.change(replace(BEN, extension="1001"))
        await primary.later(4)
        assert primary.lamp("sip:mwi-1009@192.0.2.5") == (1, 0)
        assert primary.lamp("sip:mwi-1001@192.0.2.5") == (0, 0)
        assert primary.lamp("sip:mwi-1002@192.0.2.5") == (0, 0)


async def test_a_new_user_has_a_lamp_from_the_start(primary: Primary) -> None:
    async with primary.on_duty():
        await primary.store.users.add(User(UUID(int=7), "1007"))
        await primary.later(4)
        assert primary.lamp(f"sip:1007@{OWN}") == (0, 0)


async def test_a_resync_of_many_mailboxes_is_paced_and_lets_new_work_pass() -> None:
    primary = Primary(trunks=())
    for number in range(2000):
        await primary.store.users.add(User(UUID(int=number + 1), str(10_000 + number)))
    async with primary.running():
        for _ in range(10):  # a second
            primary.renew()
            primary.clock.advance(0.1)
            await quiet(1000)
        assert 300 <= len(primary.world.requests) <= 700
        message = NewMessage(uuid7(), UUID(int=1999), "1", "", datetime.now(UTC), 1.0)
        await primary.store.messages.deposit(message, b"")
        await eventually(lambda: primary.lamp(f"sip:11998@{OWN}") == (1, 0))
    assert primary.world.most_flying <= 8


async def test_an_unexpected_failure_of_one_item_stops_nothing_else(primary: Primary) -> None:
    primary.post.failure = ZeroDivisionError("a bug")
    async with primary.on_duty():
        await primary.deposit()
        await quiet()
        await primary.deposit(BEN)
        await eventually(lambda: primary.lamp(f"sip:1002@{OWN}") == (1, 0))
        primary.post.failure = None
        await primary.until_done()


# ---- the races


class Gate:
    """Put in front of a method: its calls wait, before or after the work, while the gate is shut."""

    def __init__(self, method: Callable[..., Awaitable[Any]], *, after: bool = False) -> None:
        self._method, self._after, self._open = method, after, asyncio.Event()
        self._open.set()
        self.waiting = 0

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        if not self._after:
            await self._wait()
        result = await self._method(*arguments, **named)
        if self._after:
            await self._wait()
        return result

    async def _wait(self) -> None:
        self.waiting += 1
        await self._open.wait()
        self.waiting -= 1


async def test_an_item_recorded_while_the_store_answers_what_is_due_is_not_done_again(
    primary: Primary,
) -> None:
    due = Gate(primary.store.outbox.due, after=True)
    primary.store.outbox.due = due  # type: ignore[method-assign]
    primary.post.held = asyncio.Event()
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.post.stuck == 1)
        due.shut()
        primary.store.state.tell("outbox")
        await eventually(lambda: due.waiting == 1)  # the answer holds the mail, which is not done yet
        primary.post.held.set()
        await eventually(lambda: primary.left == 0)
        await quiet()
        due.open()
        await quiet()
        await primary.later(5)
    assert len(primary.post.mails) == 1


async def test_no_mail_goes_out_before_the_one_before_is_recorded(primary: Primary) -> None:
    done = Gate(primary.store.outbox.done)
    primary.store.outbox.done = done  # type: ignore[method-assign]
    async with primary.on_duty():
        done.shut()
        for _ in range(20):
            await primary.deposit()
        await eventually(lambda: len(primary.post.mails) == 1)
        await primary.later(5)
        assert len(primary.post.mails) == 1
        done.open()
        await primary.until_done()
    assert len(primary.post.mails) == 20


async def test_no_mail_goes_out_before_the_peer_knows_of_the_one_before_but_lamps_do(
    primary: Primary,
) -> None:
    primary.store.state.peer = asyncio.Event()
    async with primary.on_duty():
        for _ in range(3):
            await primary.deposit()
        await eventually(lambda: primary.left == 2)  # three lamps and the first mail
        await primary.later(5)
        assert len(primary.post.mails) == 1 and primary.lamp("sip:mwi-1001@192.0.2.5") == (3, 0)
        primary.store.state.peer.set()
        await primary.until_done()
    assert len(primary.post.mails) == 3


async def test_what_is_dropped_while_it_waits_for_its_turn_is_not_sent(primary: Primary) -> None:
    primary.post.held = asyncio.Event()
    async with primary.on_duty():
        for _ in range(3):
            await primary.deposit()
        await eventually(lambda: primary.post.stuck == 1)
        mails = [each for each in primary.store.state.outbox.values() if each.kind is Work.MAIL]
        assert await primary.store.outbox.drop(mails[1].id, "dropped by hand")
        primary.post.held.set()
        await primary.until_done()
    assert len(primary.post.mails) == 2 and primary.store.state.done[mails[1].id] == "dropped by hand"


async def test_fenced_breaks_off_what_is_in_flight(primary: Primary) -> None:
    primary.post.held = asyncio.Event()
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.post.stuck == 1)
        await primary.store.outbox.fence(5)
        await primary.deposit()
        await quiet()
        primary.post.held.set()
        await quiet()
    assert primary.post.taken == 0


async def test_a_lease_that_lapsed_amid_a_resync_begins_it_again_when_renewed() -> None:
    primary = Primary(trunks=())
    users = [User(UUID(int=n + 1), str(4000 + n)) for n in range(300)]
    for user in users:
        await primary.store.users.add(user)
    async with primary.running():
        primary.renew()
        await eventually(lambda: len(primary.world.requests) >= 10)
        primary.clock.advance(5.0)  # no renewal
        await quiet()
        assert len(primary.world.lamps) < 300
        await primary.later(60)
        assert len(primary.world.lamps) == 300


# ---- more than one lamp, and lamps that are not taken


async def test_all_lamps_of_a_user_follow_his_mailbox(primary: Primary) -> None:
    await primary.store.users.change(replace(ANNA, lamps=("pbx", "pbx:2001")))
    await primary.store.settings.put(Setting(ALTERNATE, "4001", json.dumps({"user": str(ANNA.id)})))
    await primary.store.settings.put(Setting(ALTERNATE, "4002", "damaged"))
    own = json.dumps({"user": str(ANNA.id), "own": True})
    await primary.store.settings.put(Setting(ALTERNATE, "4003", own))
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.left == 0)
        for uri in ("sip:mwi-1001@192.0.2.5", "sip:mwi-2001@192.0.2.5", f"sip:1001@{OWN}", f"sip:4001@{OWN}"):
            assert primary.lamp(uri) == (1, 0), uri
        assert primary.lamp("sip:mwi-4001@192.0.2.5") is None
        assert primary.lamp(f"sip:4003@{OWN}") is None, "a number that he gave himself shows no lamp"
        await primary.store.settings.remove(ALTERNATE, "4001")
        await primary.later(3)
        assert primary.lamp(f"sip:4001@{OWN}") == (0, 0), "a number that is nobody's any longer goes off"
        assert primary.lamp(f"sip:1001@{OWN}") == (1, 0)


async def test_a_lamp_the_pbx_does_not_know_is_left_in_peace_and_others_are_not_delayed(
    primary: Primary,
) -> None:
    primary.world.codes["mwi-1001@"] = 404
    async with primary.on_duty():
        for _ in range(20):
            await primary.deposit()
            await primary.later(5)
        assert len(primary.world.to("mwi-1001@192.0.2.5")) < 8, "not once for each message"
        await primary.deposit(BEN)
        await eventually(lambda: primary.lamp("sip:mwi-1002@192.0.2.5") == (1, 0))
        primary.world.codes.clear()
        await primary.later(170)
        assert primary.lamp("sip:mwi-1001@192.0.2.5") == (20, 0)
        assert primary.left == 0


async def test_lamps_never_show_what_was_not_read_though_the_store_fails_again_and_again(
    primary: Primary,
) -> None:
    """Each lamp that is sent must show a state that was read, in the order in which the states came."""
    store, read = primary.store, []
    failing(store.outbox, "due", 3)
    failing(store.outbox, "done", 2)
    failing(store.users, "all", 2)
    counts = store.messages.counts

    async def noted(mailbox: UUID) -> Counts:
        found = await counts(mailbox)
        read.append((found.new, found.old))
        return found

    store.messages.counts = noted  # type: ignore[method-assign]
    failing(store.messages, "counts", 2)
    async with primary.on_duty():
        for _ in range(20):
            await primary.deposit()
            primary.runner.resync()
            await primary.later(4)
        await primary.until_done()
        shown = [(s.new, s.old) for s in (parse(r.body) for r in primary.world.to("mwi-1001@192.0.2.5"))]
        assert len(shown) > 10 and shown == sorted(shown) and shown[-1] == (20, 0)
        assert set(shown) <= set(read)


def failing(part: object, name: str, each: int) -> None:
    """Every so many-th call fails, as if the connection broke."""
    works, calls = getattr(part, name), itertools.count(1)

    async def sometimes(*arguments: Any, **named: Any) -> Any:
        if next(calls) % each == 0:
            raise Unavailable("the connection broke")
        return await works(*arguments, **named)

    setattr(part, name, sometimes)


# ---- a backlog


async def test_many_rows_of_a_dead_destination_do_not_starve_others() -> None:
    primary = Primary(trunks=(PBX, OTHER), mail=MAIL.model_copy(update={"host": ""}))
    dead = [User(UUID(int=n), str(10_000 + n), lamps=("other",)) for n in range(101, 701)]
    for user in (*dead, ANNA):
        await primary.store.users.add(user)
    for user in dead:
        await primary.deposit(user)
    primary.world.hanging.add("192.0.2.6")
    async with primary.on_duty():
        await primary.deposit(ANNA)
        await eventually(lambda: primary.lamp("sip:mwi-1001@192.0.2.5") == (1, 0))


async def test_more_mails_than_there_is_room_for_all_go_out_without_being_tried_in_vain() -> None:
    primary = Primary()
    await primary.store.users.add(ANNA)
    name, settings = next(iter(Postman(primary.store, MAIL, primary.post, UTC).lanes().items()))
    for _ in range(30):
        await primary.deposit()
    async with primary.running():
        primary.runner._agenda.open_lane(name, limit=settings.limit, room=4, lamps=False)
        primary.renew()
        await primary.until_done()
    assert len(primary.post.mails) == 30 and not primary.store.state.postponed


async def test_scheduled_work_that_is_old_when_it_comes_due_is_not_given_up_at_once(primary: Primary) -> None:
    primary.post.failure = aiosmtplib.SMTPDataError(451, "later")
    await primary.deposit()
    primary.clock.elapsed += 30 * 86400.0
    async with primary.on_duty():
        await primary.later(60)
        assert primary.left == 1
        primary.post.failure = None
        await primary.until_done()
        assert len(primary.post.mails) == 1


async def test_work_that_was_postponed_is_done_when_somebody_is_in_a_hurry(primary: Primary) -> None:
    primary.post.failure = ConnectionRefusedError("nobody there")
    async with primary.on_duty():
        await primary.deposit()
        await primary.later(600)
        assert primary.left == 1
        primary.post.failure = None
        await primary.store.outbox.hurry([w.item.id for w in await primary.store.outbox.listed()])
        primary.runner.hurry()
        await eventually(lambda: primary.left == 0)


async def test_whoever_asks_for_one_destination_or_one_lamp_gets_it_alone(primary: Primary) -> None:
    async with primary.on_duty():
        await primary.later(5)
        primary.world.forget()
        primary.runner.send_again("trunk pbx")
        await primary.later(1)
        assert {r.target for r in primary.world.requests} == {
            "sip:mwi-1001@192.0.2.5", "sip:mwi-1002@192.0.2.5",
        }  # fmt: skip
        primary.world.forget()
        primary.runner.send_again("trunk pbx", [Lamp(BEN.id, "1002")])
        await primary.later(1)
        assert [r.target for r in primary.world.requests] == ["sip:mwi-1002@192.0.2.5"]


async def test_silence_and_refusals_are_logged_once_each_way(primary: Primary) -> None:
    with capture_logs() as lines:
        async with primary.on_duty():
            await primary.later(5)
            primary.world.codes["mwi-1001@"] = 404
            await primary.deposit()
            await primary.later(40)
            primary.world.codes.clear()
            await primary.later(60)
            primary.world.codes["192.0.2.5"] = 408
            await primary.deposit(BEN)
            await primary.later(60)
    told = [line for line in lines if line.get("lane") == "trunk pbx" and line["event"] in EVENTS]
    assert [line["event"] for line in told] == list(EVENTS)
    assert (told[0]["lamp"], told[0]["why"]) == ("1001", "answered 404")


EVENTS = ("lamp not taken", "lamp taken again", "destination does not answer")
"""In the order in which they must come."""


async def test_what_has_just_been_postponed_is_tried_at_once_when_somebody_is_in_a_hurry(
    primary: Primary,
) -> None:
    primary.world.codes["mwi-1001@"] = 404
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.left == 1 and primary.store.state.postponed)
        primary.world.codes.clear()
        for postponed in primary.store.state.postponed.values():
            postponed.until = None  # without a wake, so that there is one fetch only
        primary.runner.hurry()
        await eventually(lambda: primary.left == 0)
