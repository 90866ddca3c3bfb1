"""What the Primary's process says of lamps and of the outbox."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.primary import eventually, quiet
from tests.fakes.primary_process import ANNA, BEN, OTHER, OWN, PBX, Primary
from voicemail.errors import VoicemailError
from voicemail.primary.answers import Answers


async def made(*lamps: str) -> tuple[Primary, Answers]:
    primary = Primary(trunks=(PBX, OTHER))
    await primary.store.users.add(replace(ANNA, lamps=lamps))
    await primary.store.users.add(BEN)
    return primary, Answers(
        primary.store, primary.runner._agenda, primary.runner, primary.notifier, primary.clock
    )


async def ask(answers: Answers, command: str, **more: Any) -> dict[str, Any]:
    return await answers.answer({"command": command, **more})


async def test_only_whoever_is_on_duty_answers() -> None:
    primary, answers = await made()
    async with primary.running():
        with pytest.raises(VoicemailError, match="does not do the Primary's work"):
            await ask(answers, "mwi-status")
        primary.renew()
        await quiet()
        assert await ask(answers, "mwi-status")
        with pytest.raises(VoicemailError, match="there is no command"):
            await ask(answers, "mwi-forget")


@pytest.mark.parametrize(
    ("what", "count", "targets"),
    [
        ("", 7, 7),
        ("pbx", 3, {"sip:mwi-1001@192.0.2.5", "sip:mwi-2001@192.0.2.5", "sip:mwi-1002@192.0.2.5"}),
        ("phones", 2, {f"sip:1001@{OWN}", f"sip:1002@{OWN}"}),
        (f"edge {OWN}", 2, {f"sip:1001@{OWN}", f"sip:1002@{OWN}"}),
        ("1002", 3, {"sip:mwi-1002@192.0.2.5", "sip:1002@192.0.2.6", f"sip:1002@{OWN}"}),
    ],
)
async def test_lamps_are_sent_again_as_asked(what: str, count: int, targets: object) -> None:
    primary, answers = await made("pbx", "pbx:2001", "other")
    async with primary.on_duty():
        await primary.later(5)
        primary.world.forget()
        said = (await ask(answers, "mwi-resync", what=what))["said"]
        assert said == f"{count} lamps are sent again, 500 a second at most"
        await primary.later(1)
        sent = [r.target for r in primary.world.requests]
        assert len(sent) == count and (targets == count or set(sent) == targets)


async def test_what_is_neither_trunk_nor_user_is_told_with_the_trunks_there_are() -> None:
    primary, answers = await made()
    async with primary.on_duty():
        with pytest.raises(VoicemailError, match=r"'77' is no trunk with lamps \(pbx, other\)"):
            await ask(answers, "mwi-resync", what="77")


async def test_a_lamp_that_is_not_taken_is_shown_with_its_last_answer_and_tried_when_asked() -> None:
    primary, answers = await made()
    primary.world.codes["mwi-1001@"] = 404
    async with primary.on_duty():
        begun = primary.clock.now()
        await primary.deposit()
        await primary.later(100)
        said = await ask(answers, "mwi-status")
        (lamp,) = said["lamps"]
        assert (lamp["destination"], lamp["lamp"], lamp["user"]) == ("trunk pbx", "1001", "1001")
        assert lamp["why"] == "answered 404" and lamp["tries"] > 3 and said["not_taken"] == 1
        assert abs(datetime.fromisoformat(lamp["since"]) - begun) < timedelta(seconds=10)
        assert datetime.fromisoformat(lamp["next_try"]) > primary.clock.now()
        pbx = next(row for row in said["destinations"] if row["destination"] == "trunk pbx")
        assert (pbx["state"], pbx["lamps"], pbx["not_taken"], pbx["why"]) == ("answers", 2, 1, None)
        primary.world.codes.clear()
        await ask(answers, "mwi-resync", what="pbx")
        await eventually(lambda: primary.lamp("sip:mwi-1001@192.0.2.5") == (1, 0))
        assert not (await ask(answers, "mwi-status"))["lamps"]


async def test_a_silent_destination_is_shown_with_since_when_and_the_next_try() -> None:
    primary, answers = await made()
    async with primary.on_duty():
        primary.world.codes["192.0.2.5"] = 408
        await primary.later(5)
        await primary.deposit()
        await primary.later(30)
        rows = (await ask(answers, "mwi-status"))["destinations"]
        pbx = next(row for row in rows if row["destination"] == "trunk pbx")
        assert pbx["state"] == "does not answer" and pbx["why"] == "no answer (408)" and pbx["tries"] >= 2
        assert pbx["since"] < pbx["next_try"]
        assert "trunk pbx did not answer" in (await ask(answers, "mwi-resync"))["said"]


async def test_the_outbox_shows_what_was_tried_in_vain_and_all_that_is_left() -> None:
    primary, answers = await made()
    primary.post.failure = ConnectionRefusedError("nobody there")
    async with primary.on_duty():
        await primary.deposit()
        await primary.later(20)
        said = await ask(answers, "outbox-list")
        (mail,) = said["work"]
        assert mail["kind"] == "mail" and mail["mailbox"] == str(ANNA.id) and mail["tries"] >= 1
        assert "nobody there" in mail["why"] and mail["next_try"] and said["waiting"] == 1
        (host,) = said["destinations"]
        assert host["state"] == "does not answer" and "nobody there" in host["why"]
        assert not (await ask(answers, "outbox-list", kind="lamp"))["work"]
        primary.post.failure = None
        assert (await ask(answers, "outbox-retry", id=mail["id"]))["said"] == "1 is tried again now"
        await eventually(lambda: primary.left == 0)
        assert (await ask(answers, "outbox-list", all=True))["work"] == []
        with pytest.raises(VoicemailError, match="nothing in the outbox has the id"):
            await ask(answers, "outbox-retry", id=str(UUID(int=1)))


async def test_what_is_dropped_is_left_no_longer() -> None:
    primary, answers = await made()
    primary.post.failure = ConnectionRefusedError("nobody there")
    async with primary.on_duty():
        await primary.deposit()
        await eventually(lambda: primary.left == 1)
        (mail,) = (await ask(answers, "outbox-list", all=True))["work"]
        assert [(await ask(answers, "outbox-drop", id=mail["id"]))["dropped"] for _ in range(2)] == [
            True, False
        ]  # fmt: skip
        assert primary.left == 0 and not (await ask(answers, "outbox-drop", id="123"))["dropped"]


async def test_a_thousand_rows_at_most_are_shown_and_the_rest_is_counted() -> None:
    primary, answers = await made()
    async with primary.on_duty():
        primary.world.hanging.add("192.0.2.5")
        for _ in range(505):
            await primary.deposit(BEN)
        said = await ask(answers, "outbox-list", all=True, kind="lamp")
        assert len(said["work"]) + said["left_out"] == said["waiting"] == 505


async def test_a_store_that_is_away_is_said_so() -> None:
    primary, answers = await made()
    async with primary.on_duty():
        primary.store.state.away = True
        with pytest.raises(VoicemailError, match="the store does not answer"):
            await ask(answers, "outbox-list")
