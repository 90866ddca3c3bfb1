from dataclasses import replace
from uuid import UUID

from store.model import User
from voicemail.config import Trunk
from voicemail.primary.places import Destinations, Directory, Lamp, changed

PBX = Trunk(name="pbx", addresses=("192.0.2.5",), lamp_uri="sip:mwi-{extension}@192.0.2.5")
OTHER = Trunk(name="other", addresses=("192.0.2.6",), lamp_uri="sip:{extension}@192.0.2.6")
EDGE = "edge 192.0.2.11:5060"
WHERE = Destinations({"trunk pbx": PBX, "trunk other": OTHER}, {EDGE: "192.0.2.11:5060"})
ANNA = User(UUID(int=1), "1001", name="Anna")
BEN = User(UUID(int=2), "1002", name="Ben", lamps=("other",))


def places(directory: Directory, user: User) -> set[tuple[str, str]]:
    found = list(directory.places(user, WHERE))
    assert all(lamp.mailbox == user.id for _, lamp in found) and len(found) == len(set(found))
    return {(lane, lamp.number) for lane, lamp in found}


def test_a_lamp_is_on_every_edge_and_on_the_trunks_the_user_names_or_on_all() -> None:
    directory = Directory([ANNA, BEN])
    assert places(directory, ANNA) == {("trunk pbx", "1001"), ("trunk other", "1001"), (EDGE, "1001")}
    assert places(directory, BEN) == {("trunk other", "1002"), (EDGE, "1002")}


def test_a_user_may_name_several_lamps_on_one_trunk() -> None:
    user = replace(ANNA, lamps=("pbx", "pbx:2001", "pbx:2002", "other:77", "gone:5"))
    assert places(Directory([user]), user) == {
        ("trunk pbx", "1001"), ("trunk pbx", "2001"), ("trunk pbx", "2002"), ("trunk other", "77"),
        (EDGE, "1001"),
    }  # fmt: skip


def test_phones_see_further_numbers_too_and_trunks_do_not() -> None:
    directory = Directory([ANNA, BEN], {"4001": ANNA.id, "4002": ANNA.id})
    assert places(directory, ANNA) >= {(EDGE, "1001"), (EDGE, "4001"), (EDGE, "4002")}
    assert ("trunk pbx", "4001") not in places(directory, ANNA)
    assert directory.having("4001") == ANNA and directory.having("1002") == BEN
    assert directory.having("9") is None


def test_a_number_of_two_shows_whose_extension_it_is() -> None:
    eve = User(UUID(int=3), "1003", lamps=("pbx:1001", "other:1002", "pbx:55"))
    dan = User(UUID(int=4), "1004", lamps=("pbx:55",))
    directory = Directory([eve, ANNA, BEN, dan])
    assert places(directory, eve) == {("trunk pbx", "55"), (EDGE, "1003")}, "who comes first has 55"
    assert directory.owner("trunk pbx", "1001", WHERE) == ANNA.id
    assert places(directory, dan) == {(EDGE, "1004")}
    named = Directory([replace(eve, lamps=("pbx:1002",)), BEN])
    assert named.owner("trunk pbx", "1002", WHERE) == eve.id, "Ben has no lamp there"


def test_all_lamps_of_a_destination_are_those_of_its_users() -> None:
    directory = Directory([ANNA, BEN, replace(ANNA, id=UUID(int=9))], {"4001": BEN.id})
    for lane in WHERE:
        everywhere = {place for user in directory.users.values() for place in directory.places(user, WHERE)}
        owned = {lamp for where, lamp in everywhere if where == lane}
        assert sorted(directory.lamps(lane, WHERE), key=str) == sorted(owned, key=str)
    numbers = [lamp.number for lamp in directory.lamps(EDGE, WHERE)]
    assert sorted(numbers) == ["1001", "1002", "4001"], "of two with one extension one is shown"


def test_nobodys_lamp_has_no_owner() -> None:
    assert Directory([BEN]).owner("trunk pbx", "1002", WHERE) is None
    assert Directory([BEN]).owner("trunk other", "1009", WHERE) is None
    assert Directory([BEN]).owner("trunk gone", "1002", WHERE) is None


# ---- changes


def moved(before: Directory, after: Directory) -> set[tuple[str, Lamp]]:
    return set(changed(before, after, WHERE))


def test_users_who_stay_as_they_were_need_nothing() -> None:
    renamed = replace(ANNA, name="Anne", mail="anne@example.com")
    assert moved(Directory([ANNA, BEN]), Directory([renamed, BEN])) == set()


def test_whoever_comes_goes_or_moves_has_the_old_and_the_new_lamps_set() -> None:
    after = Directory([replace(ANNA, extension="1009")])
    lanes = tuple(WHERE)
    assert moved(Directory([ANNA]), after) == {
        (lane, Lamp(ANNA.id, number)) for lane in lanes for number in ("1001", "1009")
    }
    assert moved(Directory(), Directory([ANNA])) == {(lane, Lamp(ANNA.id, "1001")) for lane in lanes}
    assert moved(Directory([ANNA]), Directory()) == {(lane, Lamp(ANNA.id, "1001")) for lane in lanes}


def test_a_trunk_or_a_number_taken_from_a_user_is_among_those_to_be_told() -> None:
    before, after = Directory([ANNA], {"4001": ANNA.id}), Directory([replace(ANNA, lamps=("none",))])
    assert {("trunk pbx", Lamp(ANNA.id, "1001")), (EDGE, Lamp(ANNA.id, "4001"))} <= moved(before, after)
    assert after.owner("trunk pbx", "1001", WHERE) is None and after.owner(EDGE, "4001", WHERE) is None


def test_a_number_that_passes_to_another_is_told_with_its_new_owner() -> None:
    before, after = (
        Directory([ANNA, BEN]),
        Directory([replace(ANNA, extension="1009"), replace(BEN, extension="1001")]),
    )
    assert (EDGE, Lamp(BEN.id, "1001")) in moved(before, after)
    assert (EDGE, Lamp(ANNA.id, "1001")) not in moved(before, after)
