from sip.keys import ECHO, MOST_EARLY, Keys


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


def told(*presses: tuple[str, str, float]) -> str:
    """What arrives of keys told in ways at moments."""
    stream = Keys()
    for key, way, now in presses:
        stream.press(key, way, now)
    return "".join(iter(stream.take, ""))


def test_a_press_that_is_told_two_ways_counts_once() -> None:
    both = [(key, way, at / 10) for at, key in enumerate("1123#") for way in ("0", "1")]
    assert told(*both) == "1123#"
    in_stream, by_info = both[::2], [(key, way, at + 0.35) for key, way, at in both[1::2]]
    assert told(*sorted((*in_stream, *by_info), key=lambda press: press[2])) == "1123#"


def test_fast_presses_told_one_way_all_count() -> None:
    for way in ("0", "1", ""):
        assert told(*(("5", way, at / 100) for at in range(9))) == "5" * 9


def test_a_telephone_that_changes_its_way_loses_no_key() -> None:
    assert told(("1", "0", 0.0), ("2", "0", 1.0), ("3", "1", 2.0), ("1", "1", 9.0)) == "1231"
    assert told(("1", "0", 0.0), ("1", "1", ECHO), ("1", "1", ECHO + 0.1)) == "11"
