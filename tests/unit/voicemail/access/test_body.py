import pytest

from voicemail.access.body import LONGEST_LINE, MOST_HOPS, Body


def body(*lines: bytes, largest: int = 10_000) -> tuple[Body, bytes]:
    made = Body(largest)
    return made, b"".join(made.feed(line) for line in lines)


MAIL = b"From: x\r\n\r\n..\r\n.a\r\na.\r\n\r\n.\r\nQUIT\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 100])
def test_the_end_is_found_and_dots_are_taken_away_however_it_is_cut(size: int) -> None:
    made, kept, at = Body(10_000), b"", 0
    while made.rest is None:
        kept += made.feed(MAIL[at : at + size])
        at += size
    assert kept == b"From: x\r\n\r\n.\r\na\r\na.\r\n\r\n" and made.fault == ""
    assert (made.rest + MAIL[at:], made.size) == (b"QUIT\r\n", len(kept) + 2)


def test_an_empty_mail_ends_at_once() -> None:
    made, kept = body(b".\r\n")
    assert (made.rest, kept, made.fault) == (b"", b"", "")


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    "lines",
    [b"a\nb\r\n", b"\n\r\n", b"a\rb\r\n", b"\r\r\n", b".\n\r\n", b"\r.\r\n", b"a\n.\r\n", b"a\n.\n\r\n"],
)
def test_a_cr_or_lf_alone_refuses_the_mail_and_ends_nothing(lines: bytes, size: int) -> None:
    whole = b"\r\n" + lines + b"more\r\n"
    made, _ = body(*(whole[at : at + size] for at in range(0, len(whole), size)))
    assert made.fault.startswith("550 5.5.2") and made.rest is None


def test_size_is_counted_and_the_first_fault_stays() -> None:
    made, _ = body(b"\r\n", b"x" * 98 + b"\r\n", largest=101)
    assert made.size == 102 and made.fault.startswith("552 5.3.4")
    made.feed(b"a\rb\r\n")
    assert made.fault.startswith("552 5.3.4")


@pytest.mark.parametrize("size", [1000, 4000, 70_000])
def test_a_line_may_not_be_endless_and_does_not_hide_the_end(size: int) -> None:
    line = b"x" * (3 * LONGEST_LINE)
    made, _ = body(*(line[at : at + size] for at in range(0, len(line), size)), largest=10**6)
    assert made.fault.startswith("554 5.6.0") and made.rest is None
    made.feed(b".\r\n")
    assert made.rest is None, "that was the end of the long line"
    made.feed(b".\r\n")
    assert made.rest == b"" and made.size == len(line) + 3


def test_hops_are_counted_in_the_header_only() -> None:
    hop = b"received: from a by b\r\n"
    made, _ = body(hop * 3, *[hop] * (MOST_HOPS - 3), b"\r\n", *[hop] * 5)
    assert (made.hops, made.fault) == (MOST_HOPS, "")
    assert body(hop * MOST_HOPS + b"\r\n" + hop)[0].hops == MOST_HOPS
    assert body(hop * (MOST_HOPS + 1))[0].fault.startswith("554 5.4.6")
