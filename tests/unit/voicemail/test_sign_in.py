from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from sip.call import HungUp
from store.errors import Unavailable
from store.model import User
from tests.fakes.call import ScriptedCall, at_every_moment
from tests.fakes.desk import ANNA, PIN, House, house
from voicemail.conversation import sign_in as signing
from voicemail.conversation.aside import Aside
from voicemail.conversation.desk import Desk


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def sign_in(desk: Desk, call: ScriptedCall, known: User | None, certain: bool = False) -> User | None:
    """Whoever is in, with all that was done beside it."""
    async with Aside() as aside:
        entry = await signing.sign_in(desk, call, aside, known, certain)
        return entry.user if entry else None


async def test_a_known_caller_is_asked_for_the_pin_only(home: House) -> None:
    call = home.call(PIN)
    assert await sign_in(home.desk(), call, ANNA) == ANNA
    assert call.heard == ["welcome", "enter_pin"]


async def test_anybody_else_gives_id_and_pin(home: House) -> None:
    call = home.call("1001", PIN)
    assert await sign_in(home.desk(), call, None) == ANNA
    assert call.heard == ["welcome", "enter_id", "enter_pin"]


async def test_star_at_the_pin_asks_for_another_id(home: House) -> None:
    call = home.call("*", "1002", PIN)
    user = await sign_in(home.desk(), call, ANNA)
    assert user and user.extension == "1002"


async def test_after_another_id_was_asked_the_first_is_not_assumed_again(home: House) -> None:
    call = home.call("*", "1002", "*", "1002", PIN)
    user = await sign_in(home.desk(), call, ANNA)
    assert user and user.extension == "1002"


async def test_star_at_the_id_leaves(home: House) -> None:
    call = home.call("*")
    assert await sign_in(home.desk(), call, None) is None
    assert call.heard[-1] == "goodbye"


async def test_a_wrong_pin_may_be_corrected(home: House) -> None:
    call = home.call("111222", PIN)
    assert await sign_in(home.desk(), call, ANNA) == ANNA
    assert call.heard[2:] == ["pin_wrong", "try_again", "enter_pin"]


async def test_three_wrong_pins_end_the_call(home: House) -> None:
    call = home.call("111222", "111223", "111224")
    assert await sign_in(home.desk(), call, ANNA) is None
    assert call.heard[-2:] == ["too_many_tries", "goodbye"]


@pytest.mark.parametrize("known", [ANNA, None])
async def test_silence_ends_the_call_without_counting_an_attempt(home: House, known: User | None) -> None:
    call = home.call("", "", "")
    assert await sign_in(home.desk(), call, known) is None
    assert call.heard[-2:] == ["too_many_tries", "goodbye"]
    for _ in range(3):  # all three attempts are left
        assert (await home.store.sign_ins.begin(ANNA.id, home.desk().policy, home.clock.now())).allowed


async def test_the_right_pin_after_three_failures_is_not_let_in_until_the_lock_ends(home: House) -> None:
    await sign_in(home.desk(), home.call("111222", "111223", "111224"), ANNA)
    call = home.call(PIN)
    assert await sign_in(home.desk(), call, ANNA) is None
    assert call.heard[-2:] == ["sign_in_locked", "goodbye"]
    home.clock.pass_(timedelta(minutes=61).total_seconds())
    assert await sign_in(home.desk(), home.call(PIN), ANNA) == ANNA


async def test_success_forgets_earlier_failures(home: House) -> None:
    for _ in range(4):
        assert await sign_in(home.desk(), home.call("111222", PIN), ANNA) == ANNA


async def test_an_unknown_id_sounds_like_a_wrong_pin_up_to_the_lock(home: House) -> None:
    heard = []
    for extension in ("1001", "7777"):
        wrong = home.call(extension, "111222", extension, "111223", extension, "111224")
        assert await sign_in(home.desk(), wrong, None) is None
        locked = home.call(extension, "111222")
        assert await sign_in(home.desk(), locked, None) is None
        heard.append((wrong.heard, locked.heard))
    assert heard[0] == heard[1]
    assert heard[0][1][-2:] == ["sign_in_locked", "goodbye"]


async def test_a_user_without_a_pin_cannot_be_entered(home: House) -> None:
    await home.store.users.add(User(id=uuid4(), extension="1003"))
    call = home.call("1003", "0", "1003", "000000", "1003", "#")
    assert await sign_in(home.desk(), call, None) is None


async def test_what_cannot_be_counted_is_not_compared(home: House) -> None:
    home.store.state.away = True
    with pytest.raises(Unavailable):
        await sign_in(home.desk(), home.call(PIN), ANNA)


async def test_hanging_up_anywhere_just_ends_it(home: House) -> None:
    async def run(call: ScriptedCall) -> None:
        await home.store.sign_ins.unlock(ANNA.id)
        with suppress(HungUp):
            await sign_in(home.desk(), call, ANNA)

    assert (
        await at_every_moment(lambda at: home.call("*", "1001", "111222", "1001", PIN, leaves_at=at), run) > 9
    )


async def test_nobody_elsewhere_locks_a_user_out_of_his_own_telephone(home: House) -> None:
    await sign_in(home.desk(), home.call("1001", "111222", "1001", "111223", "1001", "111224"), None)
    assert (await sign_in(home.desk(), home.call("1001", PIN), None)) is None, "locked everywhere else"
    assert await sign_in(home.desk(), home.call(PIN), ANNA) is None, "also where only the number is his"
    assert await sign_in(home.desk(), home.call(PIN), ANNA, certain=True) == ANNA


async def test_wrong_pins_at_the_own_telephone_lock_it(home: House) -> None:
    await sign_in(home.desk(), home.call("111222", "111223", "111224"), ANNA, certain=True)
    assert await sign_in(home.desk(), home.call(PIN), ANNA, certain=True) is None
    assert await sign_in(home.desk(), home.call("1001", PIN), None) == ANNA


async def test_another_id_at_a_proven_telephone_counts_as_anywhere(home: House) -> None:
    await sign_in(
        home.desk(), home.call("*", "1002", "111222", "1002", "111223", "1002", "111224"), ANNA, certain=True
    )
    assert await sign_in(home.desk(), home.call("1002", PIN), None) is None
