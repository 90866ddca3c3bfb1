import pytest

from voicemail import pins


@pytest.mark.parametrize(
    ("pin", "why"),
    [
        ("", "digits"),
        ("12ab56", "digits"),
        ("１２９３５７", "digits"),
        ("83921", "at least 6"),
        ("777777", "different"),
        ("717171", "different"),
        ("123456", "follow"),
        ("890123", "follow"),
        ("654321", "follow"),
        ("100092", "three times"),
        ("951001", "extension"),
        ("910019", "extension"),
        ("839202", "previous"),
        ("839201", "previous"),
    ],
)
def test_a_weak_pin_is_refused_with_its_reason(pin: str, why: str) -> None:
    assert why in pins.why_refused(pin, "1001", shortest=6, previous="839201")


@pytest.mark.parametrize("pin", ["839204", "290118", "8392015577"])
def test_a_decent_pin_is_taken(pin: str) -> None:
    assert pins.why_refused(pin, "1001", shortest=6, previous="839201") == ""


def test_one_short_extension_refuses_pins_that_contain_it() -> None:
    assert pins.why_refused("839204", "39", shortest=6)


def test_a_reversed_extension_is_found() -> None:
    assert "extension" in pins.why_refused("943219", "1234", shortest=6)


def test_made_up_pins_differ_and_pass_the_policy() -> None:
    made = {pins.made_up("1001", 6) for _ in range(50)}
    assert len(made) > 45
    assert all(pins.why_refused(pin, "1001", shortest=6) == "" for pin in made)


async def test_only_the_right_pin_compares_equal() -> None:
    kept = pins.hashed("839204")
    assert "839204" not in kept
    assert await pins.compare(kept, "839204")
    assert not await pins.compare(kept, "839205")


@pytest.mark.parametrize("kept", ["", "rubbish", "$argon2id$v=19$m=8192,t=3,p=1$AAAA$"])
async def test_no_hash_or_a_damaged_one_lets_nobody_in(kept: str) -> None:
    assert not await pins.compare(kept, "")
    assert not await pins.compare(kept, "839204")


async def test_a_worker_is_warm_after_its_first_user_was_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    pins._nobodys.cache_clear()
    made: list[str] = []
    monkeypatch.setattr(pins, "hashed", lambda pin: made.append(pin) or "")
    for _ in range(2):
        await pins.warm()
    assert len(made) == 1
    pins._nobodys.cache_clear()
