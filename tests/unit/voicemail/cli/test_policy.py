"""Policies at the command line: each change is checked whole, then made."""

import json
from typing import Any
from uuid import uuid4

import pytest

from store.memory import MemoryStore
from store.model import Setting, User
from tests.fakes.cli import CommandLine


def as_json(voicemail: CommandLine, *words: str) -> Any:
    return json.loads(voicemail.good(*words, "--json"))


@pytest.mark.parametrize(
    ("noun", "supplied"),
    [
        ("cos", ["default"]),
        ("handler", ["goodbye", "opening-greeting", "operator"]),
        ("list", []),
        ("schedule", ["always", "weekdays"]),
        ("holidays", []),
        (
            "restriction",
            [
                "default_alternate_extensions",
                "default_dial_out",
                "default_fax",
                "default_system_transfer",
                "default_transfer",
            ],
        ),
        ("pin-rules", ["default"]),
    ],
)
def test_what_is_supplied_is_listed(voicemail: CommandLine, noun: str, supplied: list[str]) -> None:
    assert [row["name"] for row in as_json(voicemail, noun, "list")] == supplied
    assert [line.split()[0] for line in voicemail.good(noun, "list").splitlines()[1:]] == supplied


def test_rules_are_listed_as_they_are_tried(voicemail: CommandLine) -> None:
    voicemail.good(
        "rule", "set", "sales", "table=direct", "order=10", "dialled=4100-4199", "action=directory"
    )
    names = [row["name"] for row in as_json(voicemail, "rule", "list")]
    assert (names[0], names[-1]) == ("sales", "opening-greeting-forwarded")


def test_a_policy_is_made_changed_shown_and_removed(voicemail: CommandLine) -> None:
    assert voicemail.good("schedule", "set", "shop", "blocks=mon-sat 9:00-20:00") == "schedule 'shop': made\n"
    assert voicemail.good("schedule", "set", "shop", "blocks=mon-sat 9:00-20:00").endswith(": as it was\n")
    voicemail.good("holidays", "set", "de", "days=2026-12-25..2026-12-26")
    assert voicemail.good("schedule", "set", "shop", "holidays=de") == "schedule 'shop': changed\n"
    shown = as_json(voicemail, "schedule", "show", "shop")
    assert shown == [{"name": "shop", "blocks": "mon-sat 09:00-20:00", "holidays": "de"}]
    assert "mon-sat 09:00-20:00" in voicemail.good("schedule", "show", "shop")
    assert (
        voicemail.refused("holidays", "remove", "de")
        == "holidays 'de' is needed by schedule 'shop' (holidays)"
    )
    assert voicemail.good("schedule", "remove", "shop") == "schedule 'shop': removed\n"
    assert voicemail.refused("schedule", "show", "shop") == "there is no schedule named 'shop'"
    assert voicemail.good("holidays", "remove", "de") == "holidays 'de': removed\n"


def test_what_is_supplied_can_be_changed_and_had_back_but_is_never_missing(voicemail: CommandLine) -> None:
    voicemail.good("cos", "set", "default", "may_broadcast=yes")
    assert voicemail.good("cos", "remove", "default") == "cos 'default': as it was supplied\n"
    assert as_json(voicemail, "cos", "show", "default")[0]["may_broadcast"] == "no"
    told = voicemail.refused("cos", "remove", "default")
    assert told == "cos 'default' is as it was supplied, and always there"


def test_single_keys_of_a_handler_wait_as_long_as_is_set(voicemail: CommandLine) -> None:
    voicemail.good("handler", "set", "shop", "wait_for_digits_after.5=3", "wait_for_digits_after.2=0")
    voicemail.good("handler", "set", "shop", "locked_keys=2", "wait_for_digits=1")
    (shop,) = as_json(voicemail, "handler", "show", "shop")
    waits = {key: value for key, value in shop.items() if key.startswith("wait_for_digits")}
    assert waits == {
        "wait_for_digits": "1",
        "wait_for_digits_after.2": "0",
        "wait_for_digits_after.5": "3",
    }
    voicemail.good("handler", "set", "shop", "wait_for_digits_after.5=-", "wait_for_digits_after.2=-")
    assert as_json(voicemail, "handler", "show", "shop")[0]["wait_for_digits_after"] == "-"


def test_there_is_one_rule_for_aging(voicemail: CommandLine) -> None:
    voicemail.good("aging", "set", "deleted_to_gone=30")
    assert as_json(voicemail, "aging", "show")[0]["deleted_to_gone"] == "30"
    voicemail.good("aging", "set", "mail_before=3")
    assert as_json(voicemail, "aging", "show")[0]["mail_before"] == "3"
    voicemail.good("aging", "reset")
    assert as_json(voicemail, "aging", "show")[0]["deleted_to_gone"] == "14"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("cos set x pin_rules=no", "cos 'x': pin_rules: there is no pin-rules named 'no'"),
        ("cos set x quota.warn=20M", "cos 'x': quota: warn, no_send and no_receive do not rise"),
        ("cos set x quota.warn=-1", "cos 'x': quota: less than nothing"),
        ("cos set x y=1", "y: there is no such key; known: pin_rules"),
        ("cos set a/b keep_deleted=no", "'a/b' is no name: use letters, digits, _, - and ."),
        ("handler set x schedule=no", "handler 'x': schedule: there is no schedule named 'no'"),
        ("handler set x keys.1=handler:no", "handler 'x': keys.1: there is no handler named 'no'"),
        ("handler set x keys.1=user:9999", "handler 'x': keys.1: no user has extension 9999"),
        ("handler set x keys.1=transfer:*72", "handler 'x': keys.1: '*72' is no number"),
        ("handler set x prepend_digits=3*", "handler 'x': prepend_digits: '3*' is none (digits only)"),
        (
            "handler set x wait_for_digits_after.*=3",
            "handler 'x': wait_for_digits_after.*: no extension begins with *",
        ),
        (
            "handler set x locked_keys=25 wait_for_digits_after.5=3",
            "handler 'x': wait_for_digits_after.5: locked_keys says that 5 acts at once",
        ),
        ("handler set x transfer.number=*72", "handler 'x': transfer.number: '*72' is no number"),
        (
            "handler set x closed_transfer.number=900",
            "handler 'x': closed_transfer.number: 900 is refused by restriction 'default_transfer'",
        ),
        ("handler set x messages_to=list:no", "handler 'x': messages_to: there is no list named 'no'"),
        ("handler set x extension=4001", "handler 'x': extension: 4001 is the number of Anna"),
        ("handler set x extension=4x", "handler 'x': extension: '4x' is none (digits only)"),
        ("rule set x table=direct action=ignore calling=4,_,<x", "rule 'x': calling: '<x': give a number"),
        ("rule set x action=ignore", "table: field required"),
        ("list set x members=list:x2", "list 'x': members: there is no list named 'x2'"),
        ("list set x members=list:x", "list 'x': members: lists within lists are deeper than 20, or"),
        ("list remove x", "there is no list named 'x'"),
        ("list add-members x 1", "there is no list named 'x'"),
        ("undeliverable set members=list:x", "undeliverable 'default': members: there is no list named 'x'"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(
    voicemail: CommandLine, store: MemoryStore, words: str, told: str
) -> None:
    user = User(uuid4(), "4001", "Anna")
    store.state.users[user.id] = user
    assert voicemail.refused(*words.split()).startswith(told)
    assert not store.state.settings


def test_a_list_has_members_added_and_removed(voicemail: CommandLine, store: MemoryStore) -> None:
    user = User(uuid4(), "4001", "Anna")
    store.state.users[user.id] = user
    said = voicemail.good("list", "set", "all", "display_name=All of us", "members=4001, 4002")
    assert said == "note: members: no user has extension 4002\nlist 'all': made\n"
    voicemail.good("list", "remove-members", "all", "4002")
    voicemail.good("list", "set", "more", "extension=4900")
    voicemail.good("list", "add-members", "all", "list:more", "4001")
    assert as_json(voicemail, "list", "show", "all")[0]["members"] == "4001, list:more"
    assert voicemail.refused("list", "remove-members", "all", "4001", "7") == "list 'all': 7 is no member"
    assert voicemail.refused("list", "remove", "more") == "list 'more' is needed by list 'all' (members)"
    taken = voicemail.refused("handler", "set", "x", "extension=4900")
    assert taken == "handler 'x': extension: 4900 leads to list 'more'"


def test_lists_lie_within_one_another_twenty_deep_and_never_in_themselves(
    voicemail: CommandLine, store: MemoryStore
) -> None:
    for number in range(1, 20):
        body = json.dumps({"members": [f"list:l{number - 1}"] if number > 1 else []})
        setting = Setting("list", f"l{number}", body)
        store.state.settings[setting.id] = setting
    voicemail.good("list", "set", "l20", "members=list:l19")
    deep = "members: lists within lists are deeper than 20, or come back to themselves"
    assert voicemail.refused("list", "set", "l21", "members=list:l20") == f"list 'l21': {deep}"
    assert voicemail.refused("list", "set", "l2", "members=list:l20") == f"list 'l2': {deep}"


def test_a_damaged_setting_is_told_and_not_overwritten(voicemail: CommandLine, store: MemoryStore) -> None:
    voicemail.good("cos", "set", "x", "keep_deleted=no")
    (setting,) = store.state.settings.values()
    object.__setattr__(setting, "body", '{"quota": 7}')
    assert "cos 'x' is damaged in the store: remove it" in voicemail("cos", "set", "x", "keep_deleted=no").err
    assert setting in store.state.settings.values()
    voicemail.good("cos", "remove", "x")
    assert not store.state.settings


def test_while_the_store_is_away_nothing_is_shown_or_set(voicemail: CommandLine, store: MemoryStore) -> None:
    store.state.away = True
    for words in (["cos", "list"], ["cos", "set", "x", "keep_deleted=no"], ["aging", "reset"]):
        assert voicemail(*words).code == 1
