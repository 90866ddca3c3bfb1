import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemail.primary.feed import News, read


def test_a_line_is_read() -> None:
    line = b'{"duty": true, "epoch": 7, "at": 8123.25, "peer_edge": "192.0.2.12:5060", "more": 1}\n'
    assert read(line) == News(True, 7, 8123.25, "192.0.2.12:5060")


def test_what_may_be_missing_is_the_time_and_the_peer() -> None:
    assert read(b'{"duty": false, "epoch": 0, "peer_edge": null}') == News(False, 0)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"nonsense",
        b"7",
        b"[]",
        b"null",
        b"{}",
        b'{"duty": true}',
        b'{"duty": 1, "epoch": 1}',
        b'{"duty": true, "epoch": "1"}',
        b'{"duty": true, "epoch": true}',
        b'{"duty": true, "epoch": 1, "at": "now"}',
        b'{"duty": true, "epoch": 1, "peer_edge": 5}',
        b"\xff\xfe",
    ],
)
def test_a_line_that_makes_no_sense_says_nothing(line: bytes) -> None:
    assert read(line) is None


@given(st.binary())
def test_no_line_raises(line: bytes) -> None:
    read(line)


@given(
    st.dictionaries(st.sampled_from(["duty", "epoch", "at", "peer_edge", "resync"]), st.none() | st.text())
)
def test_no_object_raises(told: dict[str, str | None]) -> None:
    assert read(json.dumps(told).encode()) is None
