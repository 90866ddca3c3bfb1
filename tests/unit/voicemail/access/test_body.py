import pytest

from voicemail.access.body import LONGEST_LINE, MOST_HOPS, Body


def body(*lines: bytes, largest: int = 10_000) -> tuple[Body, bytes]:
    made = Body(largest)
    return made, b"".join(made.line(line) for line in lines)


def test_a_dot_in_front_is_taken_away_once() -> None:
    made, kept = body(b"From: x\r\n", b"\r\n", b"..\r\n", b".a\r\n", b"a.\r\n")
    assert kept == b"From: x\r\n\r\n.\r\na\r\na.\r\n" and made.fault == ""


@pytest.mark.parametrize("line", [b"a\nb\r\n", b"\n\r\n", b"a\rb\r\n", b"\r\r\n", b".\n\r\n", b"\r.\r\n"])
def test_a_cr_or_lf_alone_refuses_the_mail(line: bytes) -> None:
    assert body(b"\r\n", line, b"more\r\n")[0].fault.startswith("550 5.5.2")


def test_size_is_counted_and_the_first_fault_stays() -> None:
    made, _ = body(b"\r\n", b"x" * 98 + b"\r\n", largest=101)
    assert made.size == 102 and made.fault.startswith("552 5.3.4")
    made.line(b"a\rb\r\n")
    assert made.fault.startswith("552 5.3.4")


def test_a_line_may_not_be_endless() -> None:
    assert body(b"x" * LONGEST_LINE + b"\r\n", largest=10**6)[0].fault.startswith("554 5.6.0")
    made = Body(10**6)
    made.too_long(70_000)
    assert made.size == 70_000 and made.fault.startswith("554 5.6.0")


def test_hops_are_counted_in_the_header_only() -> None:
    hop = b"received: from a by b\r\n"
    made, _ = body(*[hop] * MOST_HOPS, b"\r\n", *[hop] * 5)
    assert (made.hops, made.fault) == (MOST_HOPS, "")
    assert body(*[hop] * (MOST_HOPS + 1))[0].fault.startswith("554 5.4.6")
