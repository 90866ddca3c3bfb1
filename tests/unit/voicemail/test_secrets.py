import json
from pathlib import Path

import pytest

from voicemail.config import Config, parse
from voicemail.errors import ClusterError
from voicemail.secrets import (
    Member,
    Membership,
    NodeFiles,
    Orders,
    Secrets,
    app_conninfo,
    member_of,
    write_private,
)


def config(folder: Path, more: str = "") -> Config:
    return parse(f'[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "{folder}"\n{more}')


def member(number: int, name: str = "") -> Member:
    return Member(number, name or f"vm{number}", "127.0.0.1", 5065, 5432, 5060)


def test_a_private_file_is_the_owners_alone_whatever_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "below" / "secret"
    write_private(path, b"one")
    path.chmod(0o644)
    write_private(path, b"two")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o600)
    assert list(path.parent.iterdir()) == [path]


def test_what_a_crash_left_half_written_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret.part").write_bytes(b"a longer half of something")
    write_private(tmp_path / "secret", b"whole")
    assert (tmp_path / "secret").read_bytes() == b"whole"


def test_secrets_differ_and_do_not_show_in_logs() -> None:
    secrets = Secrets.make()
    texts = [secrets.postgres, secrets.vm, secrets.vmrepl, secrets.edge, secrets.cluster]
    assert len(set(texts)) == 5 and all(len(text) >= 32 for text in texts)
    assert not any(text in repr(secrets) for text in texts)
    assert secrets != Secrets.make()


def test_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    files, secrets = NodeFiles(config(tmp_path)), Secrets.make()
    assert not files.exists and files.epoch() == 0
    membership = Membership(2, (member(1), member(2)))
    files.write_secrets(secrets)
    files.write_membership(membership)
    files.write_epoch(7)
    assert (files.secrets(), files.membership(), files.epoch(), files.exists) == (
        secrets,
        membership,
        7,
        True,
    )


@pytest.mark.parametrize("name", ["secrets.json", "cluster.json"])
def test_a_missing_or_broken_file_is_told_by_its_path(name: str, tmp_path: Path) -> None:
    files = NodeFiles(config(tmp_path))
    read = files.secrets if name == "secrets.json" else files.membership
    with pytest.raises(ClusterError, match=f"{name} is missing"):
        read()
    for broken in ("{", "[]", "{}", json.dumps({"number": 1, "members": [{"x": 1}]}), "\0"):
        (tmp_path / name).write_text(broken)
        with pytest.raises(ClusterError, match=name):
            read()


@pytest.mark.parametrize("broken", ["", "{", "[]", "{}", '{"epoch": "x"}'])
def test_a_broken_epoch_file_is_told_by_its_path(broken: str, tmp_path: Path) -> None:
    (tmp_path / "epoch.json").write_text(broken)
    with pytest.raises(ClusterError, match=r"epoch\.json"):
        NodeFiles(config(tmp_path)).epoch()


def test_a_member_takes_the_place_of_whoever_had_its_number() -> None:
    alone = Membership(1, (member(1),))
    assert alone.peer is None and alone.publisher
    both = alone.with_member(member(2, "old")).with_member(member(2, "new"))
    assert [m.name for m in both.members] == ["vm1", "new"]
    assert both.me == member(1) and both.peer == member(2, "new")
    assert not Membership(2, both.members).publisher


def test_a_node_presents_itself_as_it_is_configured(tmp_path: Path) -> None:
    made = member_of(config(tmp_path, "[sip]\nport = 5070\n"), 2)
    assert made == Member(2, "vm1", "127.0.0.1", 5065, 5432, 5070) and made.edge == "127.0.0.1:5070"


def test_an_external_store_is_reached_by_its_own_string(tmp_path: Path) -> None:
    assert app_conninfo(config(tmp_path, '[store]\ndsn = "host=db"\n')) == "host=db"
    NodeFiles(config(tmp_path)).write_secrets(Secrets("a", "b", "c", "d", "e"))
    own = app_conninfo(config(tmp_path))
    assert f"host={tmp_path}/sockets" in own and "password=b" in own


def test_an_operators_orders_are_there_after_a_restart(tmp_path: Path) -> None:
    files = NodeFiles(config(tmp_path))
    assert files.orders() == Orders(deactivated=False, taking_calls=True)
    files.write_orders(Orders(deactivated=True, taking_calls=False))
    assert files.orders() == Orders(deactivated=True, taking_calls=False)
    (tmp_path / "orders.json").write_text('{"taking_calls": false, "of a newer version": 1}')
    assert files.orders() == Orders(taking_calls=False)


def test_orders_that_cannot_be_read_stop_the_node_from_starting(tmp_path: Path) -> None:
    """A node that was deactivated must not take calls because a file is damaged."""
    (tmp_path / "orders.json").write_text("{")
    with pytest.raises(ClusterError, match="orders.json"):
        NodeFiles(config(tmp_path)).orders()
