from uuid import UUID

from voicemail.recipients import Expanded, Plan, expand, plan

A, B = UUID(int=1), UUID(int=2)


def test_lists_within_lists_are_opened_and_nobody_is_named_twice() -> None:
    lists = {"all": ("list:sales", "1003", "1001"), "sales": ("1001", "1002"), "operator": ("1009",)}
    assert expand(("1002", "list:all", "operator"), lists).extensions == ("1002", "1003", "1001", "1009")


def test_lists_that_come_back_to_themselves_end() -> None:
    lists = {"a": ("1001", "list:b"), "b": ("list:a", "1002", "list:b")}
    assert expand(("list:a",), lists) == Expanded(("1001", "1002"), ())


def test_twenty_lists_deep_is_reached_and_no_deeper() -> None:
    lists = {str(n): (f"list:{n + 1}", str(1000 + n)) for n in range(1, 25)}
    assert expand(("list:1",), lists).extensions == tuple(str(1000 + n) for n in range(1, 21))


def test_addressees_that_are_not_there_are_reported() -> None:
    expanded = expand(("1001", "1002", "list:no", "undeliverable"), {})
    assert plan(expanded, {"1001": A, "1002": None}) == Plan((A,), ("1002", "list:no", "undeliverable"))


def test_two_numbers_of_one_user_are_one_mailbox() -> None:
    assert plan(Expanded(("1001", "2001", "1002"), ()), {"1001": A, "2001": A, "1002": B}).mailboxes == (A, B)
