"""Transfer encodings undone in portions: the same as all at once, whatever is cut where."""

import base64
import binascii
import quopri
import random
from mmap import ACCESS_READ, mmap
from pathlib import Path

import pytest

from voicemail.vpim import transfer
from voicemail.vpim.model import Unreadable
from voicemail.vpim.transfer import Source, content, find

BODY = random.Random(1).randbytes(3000)
TEXT = quopri.encodestring(BODY, quotetabs=True)
BROKEN = b"a=" + base64.b64encode(BODY)[:-3] + b"\r\n=\n!!\xff"
LONG = b"=41" * 900 + b"=4"
"""Codes without any line end, cut in the last."""


@pytest.fixture(params=["bytes", "mmap"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def source(kind: str, data: bytes, folder: Path) -> Source:
    if kind == "bytes":
        return data
    path = folder / "mail"
    path.write_bytes(data)
    with open(path, "rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ)


@pytest.mark.parametrize("portion", [1000, 1001, 4096, 10**6])
def test_however_it_is_cut_the_same_comes_out(
    kind: str, portion: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PORTION", portion)

    def said(data: bytes, encoding: str) -> bytes:
        return content(source(kind, b"<" + data + b">", tmp_path), 1, len(data) + 1, encoding)

    assert said(base64.encodebytes(BODY), "base64") == BODY
    letters = BROKEN.translate(None, transfer.NOT_BASE64)
    assert said(BROKEN, "base64") == binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
    assert said(b"QUJDR", "base64") == b"ABC", "one letter too many"
    assert said(TEXT, "quoted-printable") == BODY
    assert said(LONG, "quoted-printable") == binascii.a2b_qp(LONG)
    assert said(BODY, "8bit") == BODY and said(b"", "base64") == b""


def test_no_more_is_undone_than_is_asked_for() -> None:
    assert content(base64.encodebytes(BODY), 0, 4000, "base64", 10) == BODY[:10]
    assert content(BODY, 0, 3000, "", 3000) == BODY


def test_an_encoding_that_is_not_known_is_told() -> None:
    with pytest.raises(Unreadable, match="x-uuencode") as told:
        content(BODY, 0, 10, "x-uuencode")
    assert told.value.code == "5.6.1"


def test_a_mark_is_found_also_where_portions_meet(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PORTION", 16)
    data = b"x" * 14 + b"--b" + b"y" * 30 + b"--b"
    there = source(kind, data, tmp_path)
    assert find(there, b"--b", 0, len(data)) == 14
    assert find(there, b"--b", 15, len(data)) == 47
    assert find(there, b"--b", 15, len(data) - 1) == -1
