"""The commands about users and messages, on a real store."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner

from sip import wav
from store.model import Message, User
from store.postgres import PostgresStore
from tests.fakes.cli import CommandLine
from tests.fakes.store_contract import message
from voicemail import pins
from voicemail.cli.app import tree
from voicemail.config import load
from voicemail.secrets import Membership, NodeFiles, member_of

T = TypeVar("T")
GOOD, TRIVIAL = "839204", "123456"
SOUND = wav.file_pcm16(b"\0\1" * 8000)


@pytest.fixture
def voicemail(
    tmp_path: Path, store_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    path = tmp_path / "node.toml"
    path.write_text(
        f'[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "{tmp_path}"\n'
        f'[store]\ndsn = "{store_dsn}"\n[[trunk]]\nname = "pbx"\naddresses = ["127.0.0.1"]\n'
    )
    config = load(path)
    NodeFiles(config).write_membership(Membership(1, (member_of(config, 1),)))
    return CommandLine(path, monkeypatch, capsys)


@pytest.fixture
def on_store(store_dsn: str) -> Callable[[Callable[[PostgresStore], Awaitable[Any]]], Any]:
    """Do something on the store that the commands work on."""

    def do(work: Callable[[PostgresStore], Awaitable[T]]) -> T:
        async def run() -> T:
            async with PostgresStore.open(store_dsn, replicated=False) as store:
                return await work(store)

        return asyncio.run(run())

    return do


OnStore = Callable[[Callable[[PostgresStore], Awaitable[Any]]], Any]


def user_in(on_store: OnStore, extension: str = "1001") -> User:
    user = on_store(lambda store: store.users.by_extension(extension))
    assert isinstance(user, User)
    return user


def accepts(user: User, pin: str) -> bool:
    return pins.is_right(user.pin_hash, pin)


def left(on_store: OnStore, user: User) -> Message:
    on_store(lambda store: store.messages.deposit(message(user.id), SOUND))
    [listed] = on_store(lambda store: store.messages.listing(user.id))
    assert isinstance(listed, Message)
    return listed


def test_a_user_is_added_with_a_made_up_pin_shown_once(voicemail: CommandLine, on_store: OnStore) -> None:
    [row] = json.loads(voicemail.good("user", "add", "1001", "--name", "Anna", "--lamp", "pbx", "--json"))
    assert (row["Extension"], row["Name"], row["Lamps"]) == ("1001", "Anna", "pbx")
    assert accepts(user_in(on_store), row["PIN"])
    assert row["PIN"] not in voicemail.good("user", "show", "1001")
    assert row["PIN"] not in voicemail.good("user", "list")


def test_a_pin_that_is_given_is_not_printed(voicemail: CommandLine, on_store: OnStore) -> None:
    assert GOOD not in voicemail.good("user", "add", "1001", "--pin", GOOD)
    assert accepts(user_in(on_store), GOOD)
    other = "738194"
    assert other not in voicemail.good("user", "set-pin", "1001", "--pin", other)
    assert accepts(user_in(on_store), other)


def test_a_pin_is_asked_for_unseen_and_twice(voicemail: CommandLine, on_store: OnStore) -> None:
    voicemail.good("user", "add", "1001")
    words = ["user", "set-pin", "1001", "--pin", "-", "--config", str(voicemail.config)]
    result = CliRunner().invoke(tree(), words, input=f"{GOOD}\n{GOOD}\n")
    assert result.exit_code == 0 and GOOD not in result.output
    assert accepts(user_in(on_store), GOOD)


@pytest.mark.parametrize("pin", [TRIVIAL, "1234", "100188", "abcdef"])
def test_a_trivial_pin_is_refused_and_not_repeated(
    pin: str, voicemail: CommandLine, on_store: OnStore
) -> None:
    assert voicemail.refused("user", "add", "1001", "--pin", pin).startswith("this PIN is refused: ")
    voicemail.good("user", "add", "1001", "--pin", GOOD)
    assert pin not in voicemail.refused("user", "set-pin", "1001", "--pin", pin)
    assert accepts(user_in(on_store), GOOD)


def test_users_are_listed_and_shown(voicemail: CommandLine, on_store: OnStore) -> None:
    for extension in ("1002", "1001"):
        voicemail.good("user", "add", extension, "--mail", f"{extension}@example.org")
    left(on_store, user_in(on_store))
    assert [row["Extension"] for row in json.loads(voicemail.good("user", "list", "--json"))] == [
        "1001",
        "1002",
    ]
    [row] = json.loads(voicemail.good("user", "show", "1001", "--json"))
    assert (row["Mail"], row["New"], row["Saved"], row["Locked until"]) == ("1001@example.org", 1, 0, None)
    assert voicemail.good("user", "list").splitlines()[0].split() == list(row)[:5]


def test_what_cannot_be_is_refused(voicemail: CommandLine) -> None:
    voicemail.good("user", "add", "1001")
    assert "digits only" in voicemail.refused("user", "add", "10a1")
    assert "1001" in voicemail.refused("user", "add", "1001")
    assert voicemail.refused("user", "add", "1002", "--lamp", "desk").startswith("no trunk is named 'desk'")
    for command in (["show"], ["remove"], ["set-pin"]):
        assert voicemail.refused("user", *command, "1009") == "no user has extension 1009"


def test_a_removed_user_is_gone(voicemail: CommandLine, on_store: OnStore) -> None:
    voicemail.good("user", "add", "1001")
    voicemail.good("user", "remove", "1001")
    assert voicemail.good("user", "list") == ""
    assert on_store(lambda store: store.users.by_extension("1001")) is None


def test_a_greeting_is_set_and_taken_away(voicemail: CommandLine, on_store: OnStore, tmp_path: Path) -> None:
    voicemail.good("user", "add", "1001")
    anna, file = user_in(on_store), tmp_path / "greeting.wav"
    file.write_bytes(SOUND)
    voicemail.good("greeting", "record", "1001", "standard", str(file))
    assert on_store(lambda store: store.users.greeting(anna.id)) == SOUND
    file.write_bytes(b"not a sound")
    assert "not a WAV file" in voicemail.refused("greeting", "record", "1001", "standard", str(file))
    assert (
        voicemail.refused("greeting", "record", "1001", "standard", "/no/file")
        == "/no/file: No such file or directory"
    )
    assert on_store(lambda store: store.users.greeting(anna.id)) == SOUND
    voicemail.good("greeting", "record", "1001", "standard", "-")
    assert on_store(lambda store: store.users.greeting(anna.id)) is None


def test_messages_are_listed(voicemail: CommandLine, on_store: OnStore) -> None:
    for extension in ("1001", "1002"):
        voicemail.good("user", "add", extension)
    kept = left(on_store, user_in(on_store))
    for words in (["message", "list", "--json"], ["message", "list", "1001", "--json"]):
        [row] = json.loads(voicemail.good(*words))
        assert (row["Mailbox"], row["Id"], row["Folder"]) == ("1001", str(kept.id), "new")
    assert json.loads(voicemail.good("message", "list", "1002", "--json")) == []
    assert str(kept.id) in voicemail.good("message", "list")
    assert voicemail.refused("message", "list", "1009") == "no user has extension 1009"


def test_an_exported_message_can_be_played_and_overwrites_nothing(
    voicemail: CommandLine, on_store: OnStore, tmp_path: Path
) -> None:
    voicemail.good("user", "add", "1001")
    kept, file = left(on_store, user_in(on_store)), tmp_path / "message.wav"
    voicemail.good("message", "export", str(kept.id), str(file))
    assert wav.parse(file.read_bytes()).samples == 8000
    file.write_bytes(b"mine")
    assert voicemail.refused("message", "export", str(kept.id), str(file)) == f"{file}: File exists"
    assert file.read_bytes() == b"mine"
    unknown = "00000000-0000-7000-8000-000000000000"
    assert unknown in voicemail.refused("message", "export", unknown, str(tmp_path / "none.wav"))
    assert not (tmp_path / "none.wav").exists()


def test_a_store_that_is_away_is_told_in_one_line(voicemail: CommandLine) -> None:
    text = voicemail.config.read_text()
    start = text.index("dsn = ")
    away = 'dsn = "host=127.0.0.1 port=1 dbname=vm user=vm password=secret-word"'
    voicemail.config.write_text(text[:start] + away + text[text.index("\n", start) :])
    assert "secret-word" not in voicemail.refused("user", "list")
