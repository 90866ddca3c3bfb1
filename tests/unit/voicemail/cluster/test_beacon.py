"""Which datagrams count, by times of the test's own."""

import hmac
import json
from dataclasses import replace

import pytest

from voicemail.cluster.beacon import LONGEST, ROUND, TAG, UNPROVEN, Beacon, Beacons, Voice, key_of
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status

KEY = key_of("a secret")
PEER = KeepAlive(2, Status.SECONDARY, 3, run="peer", beat=7)
SENT = Beacons("mine").sends(1, 10.0).sends(2, 10.1)


def beacon(beat: int, echo: int = 0, run: str = "peer", of: str = "mine") -> Beacon:
    return Beacon(replace(PEER, run=run, beat=beat), (of, echo))


def tagged(body: bytes) -> bytes:
    return hmac.digest(KEY, body, "sha256") + body


# ---- the datagram


def test_a_beacon_is_read_as_it_was_said() -> None:
    said = Beacon(PEER, ("mine", 2))
    assert Beacon.read(said.datagram(KEY), KEY) == said


def test_all_that_a_node_says_fits_in_one_packet() -> None:
    most = replace(
        PEER, status=Status.SPLIT_BRAIN_RECOVERY, epoch=2**62, because="x" * 200, since=1e9 + 1 / 3,
        lag=2**62, single_copies=2**40, clock=1e9 + 1 / 3, awake=1e9 + 1 / 3, delivered_ago=1e9 + 1 / 3,
        run="f" * 16, beat=2**40,
    )  # fmt: skip
    assert len(Beacon(most, ("f" * 16, 2**40)).datagram(KEY)) < LONGEST


@pytest.mark.parametrize("place", [0, TAG - 1, TAG, -1])
def test_a_beacon_that_was_changed_on_its_way_is_refused(place: int) -> None:
    changed = bytearray(Beacon(PEER).datagram(KEY))
    changed[place] ^= 1
    with pytest.raises(ValueError, match="not of this cluster"):
        Beacon.read(bytes(changed), KEY)


def test_so_is_one_of_another_cluster() -> None:
    with pytest.raises(ValueError, match="not of this cluster"):
        Beacon.read(Beacon(PEER).datagram(key_of("another")), KEY)


@pytest.mark.parametrize("length", [0, 1, TAG, LONGEST + 1, 65507])
def test_what_cannot_be_a_beacon_by_its_length_is_not_looked_into(length: int) -> None:
    with pytest.raises(ValueError, match="length"):
        Beacon.read(b"\0" * length, KEY)


@pytest.mark.parametrize(
    "first", [b"", b"7", b"[]", b"{}", b'{"echo": 7}', b'{"echo": ["a"]}', b'{"echo": ["a", null]}',
              b'{"echo": ["a", [1]]}', b"\xff", b"[" * 1000],
)  # fmt: skip
def test_nonsense_under_the_right_tag_is_a_value_error(first: bytes) -> None:
    for body in (first, first + b"\n" + PEER.line()):
        with pytest.raises(ValueError):
            Beacon.read(tagged(body), KEY)


def test_a_newer_node_may_say_more() -> None:
    body = json.dumps({"echo": ["mine", 2], "moon": "full"}).encode() + b"\n" + PEER.line()
    assert Beacon.read(tagged(body), KEY) == Beacon(PEER, ("mine", 2))


# ---- which counts


def test_what_echoes_ours_proves_when_that_was_sent() -> None:
    beacons, proof = SENT.hears(beacon(1, 2), 10.2)
    assert (proof, beacons.echo) == (10.1, ("peer", 1))
    assert beacons.hears(beacon(2, 1), 10.3)[1] == 10.0


@pytest.mark.parametrize("echo", [beacon(1), beacon(1, 3), beacon(1, 2, of="former"), beacon(1, 0, of="")])
def test_what_echoes_nothing_of_ours_proves_nothing_and_is_echoed(echo: Beacon) -> None:
    beacons, proof = SENT.hears(echo, 10.2)
    assert (proof, beacons.echo) == (None, ("peer", 1))


def test_nor_does_an_echo_that_took_long() -> None:
    assert SENT.hears(beacon(1, 2), 10.0 + ROUND)[1] == 10.1
    assert SENT.hears(beacon(1, 2), 10.2 + ROUND)[1] is None


def test_a_beacon_counts_once_and_not_after_a_later_one() -> None:
    beacons, _ = SENT.hears(beacon(5, 2), 10.2)
    for beat in (5, 4):
        assert beacons.hears(beacon(beat, 2), 10.3) == (beacons, None)


def test_a_recording_of_a_former_process_takes_no_echo_away_from_one_that_is_heard() -> None:
    beacons, _ = SENT.hears(beacon(5, 2), 10.2)
    assert beacons.hears(beacon(900, 2, "former", "old"), 10.3) == (beacons, None)


def test_a_process_that_starts_is_echoed_and_then_counts() -> None:
    beacons, _ = SENT.hears(beacon(5, 2), 10.2)
    beacons, proof = beacons.hears(beacon(1, run="new", of=""), 10.3 + UNPROVEN)
    assert (proof, beacons.echo) == (None, ("new", 1))
    beacons = beacons.sends(3, 10.9)
    assert beacons.hears(beacon(2, 3, "new"), 11.0)[1] == 10.9


def test_a_process_that_starts_and_knows_ours_counts_at_once() -> None:
    beacons, _ = SENT.hears(beacon(5, 2), 10.2)
    assert beacons.hears(beacon(1, 2, "new"), 10.3)[1] == 10.1


def test_what_was_sent_is_remembered_as_long_as_it_can_prove_something() -> None:
    beacons = Beacons("mine")
    for beat in range(1000):
        beacons = beacons.sends(beat, 10.0 + beat * 0.05)
    assert len(beacons.sent) <= ROUND / 0.05 + 2


def test_what_a_process_says_is_numbered_whoever_asks() -> None:
    voice = Voice(lambda: KeepAlive(1, Status.PRIMARY, 1))
    said = [voice() for _ in range(3)]
    assert [one.beat for one in said] == [1, 2, 3] and {one.run for one in said} == {voice.run}
    assert Voice(voice.say).run != voice.run
