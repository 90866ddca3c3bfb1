from sip.keys import MOST_EARLY, Keys


def pressed(keys: str) -> Keys:
    stream = Keys()
    for key in keys:
        stream.press(key)
    return stream


def test_keys_come_in_the_order_they_were_pressed() -> None:
    stream = pressed("1*#")
    assert [stream.take() for _ in range(4)] == ["1", "*", "#", ""]


def test_the_first_wanted_key_drops_those_before_it_and_keeps_those_after_it() -> None:
    stream = pressed("57#9")
    assert stream.first_of("#*") == "#"
    assert stream.take() == "9"


def test_wanting_nothing_keeps_every_key() -> None:
    stream = pressed("12")
    assert stream.first_of("") == ""
    assert stream.take() == "1"


def test_unwanted_keys_are_used_up() -> None:
    stream = pressed("12")
    assert stream.first_of("#") == ""
    assert not stream


def test_a_flood_is_bounded_and_nonsense_ignored() -> None:
    stream = pressed("x 1" * 1000)
    taken = 0
    while stream.take():
        taken += 1
    assert taken == MOST_EARLY
