import json

import pytest

from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status

SAID = KeepAlive(2, Status.REPLICATING_DATA, 6, False, True, False, True, "silence", 12.5, 3, 4, 5, 99, 1)


def test_a_keep_alive_is_read_as_it_was_said() -> None:
    assert KeepAlive.read(SAID.line()) == SAID
    assert SAID.line().endswith(b"}\n") and SAID.line().count(b"\n") == 1


def test_what_a_newer_node_says_besides_is_left_out() -> None:
    line = json.dumps({**json.loads(SAID.line()), "moon": "full"}).encode()
    assert KeepAlive.read(line) == SAID


def test_what_an_older_node_does_not_say_is_as_by_default() -> None:
    read = KeepAlive.read(b'{"number": 1, "status": "Primary", "epoch": 3}')
    assert read == KeepAlive(1, Status.PRIMARY, 3)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\xff\xfe", b"{", b"[]", b"7", b"null", b'"x"', b"{}", b'{"status": "Primary"}',
        b'{"number": 1, "status": "Emperor", "epoch": 1}', b'{"number": 1, "status": [], "epoch": 1}',
        b'{"number": 1, "status": "Primary", "epoch": "9"}', b"[" * 50000,
        b'{"number": 1, "status": "Primary", "epoch": 1, "beat": "9"}',
    ],
)  # fmt: skip
def test_anything_else_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        KeepAlive.read(line)
