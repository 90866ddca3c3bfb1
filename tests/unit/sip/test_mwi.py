import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.errors import BadMessage
from sip.mwi import Summary, build, parse

COUNT = st.integers(0, 10_000)


def test_a_body_as_pbxs_want_it() -> None:
    assert build(Summary(2, 5, 1, 0, "sip:1001@vm.example")) == (
        "Messages-Waiting: yes\r\nMessage-Account: sip:1001@vm.example\r\nVoice-Message: 2/5 (1/0)\r\n"
    )


def test_an_empty_mailbox_says_so_with_its_counts() -> None:
    assert build(Summary(0, 3)) == "Messages-Waiting: no\r\nVoice-Message: 0/3 (0/0)\r\n"


@given(st.builds(Summary, COUNT, COUNT, COUNT, COUNT, st.sampled_from(["", "sip:1001@vm"])))
def test_what_is_built_reads_back(summary: Summary) -> None:
    assert parse(build(summary)) == summary


@pytest.mark.parametrize(
    ("body", "new", "old"),
    [
        ("Messages-Waiting: yes\nVoice-Message: 4/8\n", 4, 8),
        ("messages-waiting:YES\r\nvoice-message: 1 / 2 ( 0 / 1 )\r\n\r\n", 1, 2),
        ("Messages-Waiting: yes", 1, 0),
        ("Messages-Waiting: no\r\n\r\n", 0, 0),
    ],
)
def test_other_peoples_bodies_are_read(body: str, new: int, old: int) -> None:
    assert (parse(body).new, parse(body).old) == (new, old)


@pytest.mark.parametrize("body", ["", "Voice-Message: 1/0", "Messages-Waiting: perhaps"])
def test_a_body_that_says_nothing_of_the_lamp_is_refused(body: str) -> None:
    with pytest.raises(BadMessage):
        parse(body)


@given(st.text(max_size=80))
def test_junk_is_refused_or_read(body: str) -> None:
    try:
        parse("Messages-Waiting: yes\n" + body)
    except BadMessage:
        raise AssertionError("the first line is good") from None
