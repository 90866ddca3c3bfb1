"""`cluster status` as a person sees it."""

from dataclasses import asdict
from typing import Any

from voicemail.cli.operator import table
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status

PRIMARY = asdict(
    KeepAlive(1, Status.PRIMARY, 3, because="it is the publisher", since=1.7e9, busy=2, ports=64)
)


def shown(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    nodes = [{"name": "vm1", "here": True, **mine}, {"name": "vm2", "here": False, **other}]
    return {row["Server"]: (row["vm1 (here)"], row["vm2"]) for row in table(nodes)}


def test_each_server_has_a_column() -> None:
    rows = shown(PRIMARY, asdict(KeepAlive(2, Status.SECONDARY, 2, busy=0, ports=64, schema=2)))
    assert rows["Member"] == ("Publisher", "Subscriber")
    assert rows["Status"] == ("Primary", "Secondary")
    assert rows["Because"] == ("it is the publisher", "")
    assert rows["Calls"] == ("2 of 64 ports", "0 of 64 ports")
    assert rows["Schema"] == (1, 2)


def test_a_silent_server_is_shown_with_what_is_known_of_it() -> None:
    rows = shown(PRIMARY, {"number": 2, "status": "Silent"})
    assert rows["Status"] == ("Primary", "Silent")
    assert rows["Calls"] == ("2 of 64 ports", None)


def test_who_stopped_a_server_from_taking_calls_is_told() -> None:
    drained = PRIMARY | {"taking_calls": False}
    off = asdict(KeepAlive(2, Status.DEACTIVATED, 2))
    assert shown(drained, off)["Taking calls"] == ("no (operator)", "no")
    assert shown(PRIMARY, off | {"taking_calls": False})["Taking calls"] == ("yes", "no (operator)")


def test_lines_without_news_are_left_out() -> None:
    details = {"programs": {"edge": True, "workers": False, "primary": False}, "replication": {"lost": True}}
    rows = shown(PRIMARY | details, {"number": 2, "status": "Silent"})
    assert rows["Not running"] == ("workers, primary", "")
    assert rows["Slot"] == ("lost: what it missed is copied", None)
    calm = shown(PRIMARY, PRIMARY | {"number": 2})
    assert not {"Not running", "Slot", "Conflicts"} & calm.keys()


def test_of_each_server_is_told_whether_it_keeps_what_the_other_misses() -> None:
    def replicating(**what: object) -> dict[str, object]:
        return PRIMARY | {"replication": {"lost": False, **what}}

    rows = shown(replicating(retained=56, room=100), replicating(retained=None, room=None) | {"number": 2})
    assert rows["Slot"] == ("kept", "none")
    assert rows["Kept for the other (bytes)"] == ("56 of 156", None)
