from pathlib import Path

import pytest

from voicemail import pins
from voicemail.access.door import (
    MOST_KEYS,
    WRONG_PASSWORDS,
    Accounts,
    Crowd,
    Rate,
    admitted,
    source_of,
    within,
)
from voicemail.intake.letter import Trust
from voicemail.policy.locations import Location

BERLIN = Location(domain="Berlin.example.org", networks=("192.0.2.0/28", "2001:db8::/64"))


@pytest.mark.parametrize(
    "source, user, sender, trust, answer",
    [
        ("10.0.0.9", "", "x@anywhere.example", Trust.NETWORK, ""),
        ("192.0.2.3", "", "2722@berlin.example.org", Trust.LOCATION, ""),
        ("2001:db8::5", "", "2722@BERLIN.example.org", Trust.LOCATION, ""),
        ("192.0.2.3", "", "", Trust.LOCATION, ""),
        ("192.0.2.3", "", "anna@example.com", None, "550 5.7.1"),
        ("192.0.2.3", "", "2722@notberlin.example.org", None, "550 5.7.1"),
        ("192.0.2.99", "", "2722@berlin.example.org", None, "550 5.7.1"),
        ("192.0.2.99", "", "a@anywhere.example", None, "530 5.7.0"),
        ("10.0.0.9", "", "2722@berlin.example.org", None, "550 5.7.1"),
        ("192.0.2.99", "1001", "2722@berlin.example.org", Trust.USER, ""),
        ("192.0.2.99", "1001", "anna@example.com", Trust.USER, ""),
        ("", "", "a@b.example", None, "530 5.7.0"),
    ],
)
def test_who_may_send(source: str, user: str, sender: str, trust: Trust | None, answer: str) -> None:
    found = admitted(("10.0.0.0/8", "nonsense"), (BERLIN,), source, user, sender, may_auth=True)
    assert found.trust is trust and found.answer.startswith(answer)


def test_without_accounts_strangers_are_not_asked_to_sign_in() -> None:
    assert admitted((), (), "192.0.2.9", "", "a@b.example", may_auth=False).answer.startswith("550 5.7.1")


def test_sources_are_addresses_whatever_way_they_came() -> None:
    assert source_of(("::ffff:192.0.2.1", 5, 0, 0)) == "192.0.2.1"
    assert source_of(("fe80::1%eth0", 5, 0, 2)) == "fe80::1"
    assert source_of(None) == source_of(("socket", 1)) == ""
    assert not within("", ("0.0.0.0/0",))


def test_a_rate_lets_so_many_in_and_more_when_time_has_passed() -> None:
    rate = Rate(2, 60.0)
    for now in (0.0, 10.0):
        assert not rate.full("a", now)
        rate.note("a", now)
    assert rate.full("a", 59.9) and not rate.full("b", 59.9)
    assert not rate.full("a", 60.0)


def test_a_rate_forgets_the_oldest_key_rather_than_grow() -> None:
    rate = Rate(1, 60.0)
    for n in range(MOST_KEYS + 1):
        rate.note(str(n), 0.0)
    assert not rate.full("0", 1.0) and rate.full("1", 1.0)


def test_a_crowd_is_bounded_in_all_and_by_source() -> None:
    crowd = Crowd(3, 2)
    assert [crowd.enter(each)[:3] for each in ("a", "a", "a", "b", "c")] == ["", "", "421", "", "421"]
    crowd.leave("a")
    assert crowd.enter("c") == ""
    for each in ("a", "b", "c"):
        crowd.leave(each)
    assert crowd.open == {}


async def test_accounts_follow_their_file_and_lock_a_guessing_source(tmp_path: Path) -> None:
    path = tmp_path / "users"
    accounts = Accounts(str(path))
    assert accounts.any and not await accounts.right("1001", "secret", "a", 0.0)
    path.write_text(f"# comment:x\nAnna@Example.com:{pins.hashed('secret')}\nbroken\nlost:nohash\n")
    assert await accounts.right("anna@example.com", "secret", "a", 0.0)
    assert not await accounts.right("lost", "nohash", "a", 0.0)
    assert not await accounts.right("anna@example.com", "x" * 300, "a", 0.0)
    for _ in range(WRONG_PASSWORDS - 3):
        assert not accounts.locked("a", 1.0)
        await accounts.right("nobody", "x" * 300, "a", 1.0)
    assert accounts.locked("a", 2.0) and not accounts.locked("b", 2.0) and not accounts.locked("a", 700.0)
    assert not Accounts("").any
