"""What is kept for users, one by one and by CSV file: first told, then done; nothing by halves."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from store.ids import uuid7
from store.memory import MemoryStore
from store.model import Setting, User
from tests.fakes.cli import CommandLine
from voicemail import pins
from voicemail.policy.book import OPTIONS
from voicemail.policy.model import UserOptions
from voicemail.policy.people import COLUMNS

ANNA, BEN = User(uuid7(), "4001", "Anna Berg", "anna@example.com"), User(uuid7(), "4002", "Ben")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.state.users |= {ANNA.id: ANNA, BEN.id: BEN}
    return store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def options(store: MemoryStore, user: User) -> UserOptions:
    found = [each for each in store.state.settings.values() if (each.owner, each.name) == (user.id, OPTIONS)]
    return UserOptions.model_validate_json(found[0].body) if found else UserOptions()


def shown(voicemail: CommandLine, extension: str) -> dict[str, str]:
    [row] = json.loads(voicemail.good("user", "options", extension, "--json"))
    return dict(row)


def users(store: MemoryStore) -> dict[str, User]:
    return {user.extension: user for user in store.state.users.values()}


# ---- one by one


def test_what_is_kept_for_a_user_is_shown_and_changed(voicemail: CommandLine, store: MemoryStore) -> None:
    before = shown(voicemail, "4001")
    assert list(before)[:3] == ["extension", "name", "mail"] and "pin_changed" not in before
    voicemail.good("user", "options", "4001", "menu_style=brief", "name=Anna B.", "keys.5=user:4002")
    after = shown(voicemail, "4001")
    assert (after["menu_style"], after["name"], after["keys.5"]) == ("brief", "Anna B.", "user:4002")
    assert {key for key in before if before[key] != after.get(key)} == {"menu_style", "name"}
    assert after["keys.*"] == "sign-in", "keys that were not named stay as they are by default"
    voicemail.good("user", "options", "4001", "mail=-")
    assert users(store)["4001"].mail == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("options 4009", "no user has extension 4009"),
        ("options 4001 cos=no", "user 4001: cos: there is no cos named 'no'"),
        ("options 4001 keys.5=user:4009", "user 4001: keys.5: no user has extension 4009"),
        ("options 4001 time_zone=Mars", "user 4001: time_zone: 'Mars' is none (such as Europe/Berlin)"),
        ("options 4001 language=xx", "user 4001: language: 'xx' is not spoken here; known: de, en"),
        ("options 4001 lamps=pbx", "user 4001: lamps: no trunk is named 'pbx'"),
        ("options 4001 lamps=pbx:2001", "user 4001: lamps: no trunk is named 'pbx'"),
        ("options 4001 mail=anna", "user 4001: mail: 'anna' is no mail address"),
        ("options 4001 pin_changed=-", "pin_changed: this is not set by hand"),
        ("options 4001 transfer.number=900", "user 4001: transfer.number: 900 is refused by restriction"),
        (
            "options 4001 alternate_transfer.number=900",
            "user 4001: alternate_transfer.number: 900 is refused by restriction",
        ),
        ("options 4001 keys.5=transfer:900", "user 4001: keys.5: 900 is refused by restriction"),
        ("options 4001 closed_transfer.on_busy=x", "closed_transfer.on_busy: input should be 'greeting'"),
        ("options 4001 colour=red", "colour: there is no such key"),
        ("options 4001 colour", "'colour': give key=value"),
        ("extension add 4001 4002", "user 4001: 4002 is the number of Ben"),
        ("extension add 4001 4001", "user 4001: 4001 is the number of Anna Berg"),
        ("extension add 4001 x", "user 4001: alternate_extensions: 'x' is none (digits only)"),
        ("extension remove 4001 4444", "user 4001: 4444 is none of the further numbers"),
        ("sip-password 4009", "no user has extension 4009"),
        ("sip-password 4001 --password short", "this password is refused: it has fewer than 12 characters"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(
    voicemail: CommandLine, store: MemoryStore, words: str, told: str
) -> None:
    before = dict(store.state.users), dict(store.state.settings)
    assert voicemail.refused("user", *words.split()).startswith(told)
    assert before == (store.state.users, store.state.settings)


async def leads_to(store: MemoryStore, number: str) -> str:
    found = await store.users.by_extension(number)
    return found.extension if found else ""


async def test_further_numbers_lead_to_a_user(store: MemoryStore) -> None:
    await store.settings.put(Setting("alternate_extension", "4444", json.dumps({"user": str(ANNA.id)})))
    assert await leads_to(store, "4444") == "4001"


def test_further_numbers_are_given_and_taken_nine_at_most(voicemail: CommandLine) -> None:
    for number in range(4440, 4449):
        voicemail.good("user", "extension", "add", "4001", str(number))
    told = voicemail.refused("user", "extension", "add", "4001", "4449")
    assert told == "user 4001: alternate_extensions: more than 9"
    voicemail.good("user", "extension", "remove", "4001", "4440")
    assert "4440" not in shown(voicemail, "4001")["alternate_extensions"]
    assert voicemail.refused("user", "extension", "add", "4002", "4441").endswith(
        "is the number of Anna Berg"
    )


def own(store: MemoryStore) -> dict[str, str]:
    """Numbers that users gave themselves, with whose they are."""
    extensions = {str(user.id): user.extension for user in store.state.users.values()}
    found = [s for s in store.state.settings.values() if s.kind == "alternate_extension"]
    bodies = {each.name: json.loads(each.body) for each in found}
    return {name: extensions[body["user"]] for name, body in bodies.items() if body.get("own")}


def test_a_users_own_numbers_are_kept_apart_and_ten_at_most(
    voicemail: CommandLine, store: MemoryStore
) -> None:
    for number in range(493040, 493050):
        voicemail.good("user", "extension", "add", "4001", str(number), "--own")
    voicemail.good("user", "extension", "add", "4001", "4440")
    assert set(own(store).values()) == {"4001"} and "4440" not in own(store)
    told = voicemail.refused("user", "extension", "add", "4001", "493050", "--own")
    assert told == "user 4001: own_extensions: more than 10"
    row = shown(voicemail, "4001")
    assert row["alternate_extensions"] == "4440" and row["own_extensions"].startswith("493040, 493041")
    voicemail.good("user", "extension", "remove", "4001", "493040")
    assert "493040" not in own(store)
    assert not [s for s in store.state.settings.values() if s.name == "493040"], "nothing is left of it"


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("4002", "user 4001: 4002 is the number of Ben"),
        ("4050", "user 4001: own_extensions: 4050 is refused by restriction 'default_alternate_extensions'"),
        ("700700", "user 4001: 700700 leads to handler 'shop'"),
        ("701701", "user 4001: 701701 leads to interview 'claims'"),
        ("49171", "user 4001: own_extensions: 49171 is refused by restriction"),
        ("493041", "user 4001: 493041 is one of the further numbers already"),
        ("12x456", "user 4001: own_extensions: '12x456' is none (digits only)"),
        ("5000", "user 4001: 5000 is the pilot's number"),
    ],
)
def test_a_users_own_number_is_refused_in_a_sentence(
    voicemail: CommandLine, store: MemoryStore, number: str, told: str
) -> None:
    voicemail.good("handler", "set", "shop", "extension=700700")
    voicemail.good("interview", "set", "claims", "extension=701701")
    voicemail.good("user", "extension", "add", "4001", "493041", "--own")
    config = voicemail.config
    config.write_text(config.read_text() + '[sip]\npilot = "5000"\n')
    before = dict(store.state.settings)
    assert voicemail.refused("user", "extension", "add", "4001", number, "--own").startswith(told)
    assert store.state.settings == before


def test_a_class_says_which_and_how_many_own_numbers_its_users_may_have(voicemail: CommandLine) -> None:
    voicemail.good("restriction", "set", "mobile", "rows=allow 49171*")
    voicemail.good("cos", "set", "default", "alternate_table=mobile", "own_extensions=1")
    assert "refused by" in voicemail.refused("user", "extension", "add", "4001", "49172999", "--own")
    voicemail.good("user", "extension", "add", "4001", "49171999", "--own")
    assert "more than 1" in voicemail.refused("user", "extension", "add", "4001", "49171998", "--own")
    assert "needed by cos 'default' (alternate_table)" in voicemail.refused("restriction", "remove", "mobile")
    voicemail.good("user", "options", "4001", "menu_style=brief")


def test_nobody_is_made_with_a_number_that_leads_somewhere(voicemail: CommandLine) -> None:
    voicemail.good("user", "extension", "add", "4001", "493041", "--own")
    voicemail.good("handler", "set", "shop", "extension=700")
    assert voicemail.refused("user", "add", "493041") == "493041 is the number of Anna Berg"
    assert voicemail.refused("user", "add", "700") == "700 leads to handler 'shop'"


def test_a_phones_password_is_made_up_and_shown_once(voicemail: CommandLine, store: MemoryStore) -> None:
    [row] = json.loads(voicemail.good("user", "sip-password", "4001", "--json"))
    [kept] = store.state.settings.values()
    assert (kept.kind, kept.name, kept.owner) == ("sip_account", "4001", ANNA.id)
    assert row["Password"] not in kept.body and len(row["Password"]) >= 20
    told = voicemail.good("user", "sip-password", "4001", "--password", "correct horse battery")
    assert "horse" not in told
    voicemail.good("user", "sip-password", "4001", "--remove")
    assert not store.state.settings


# ---- by file


def test_a_file_is_told_first_and_done_then(voicemail: CommandLine, store: MemoryStore, file: Path) -> None:
    file.write_text("extension,name,menu_style\n4001,Anna Berg,brief\n4002,,\n4003,Carla,\n")
    told = voicemail.good("user", "import", str(file))
    assert "menu_style: full -> brief" in told and "4003" in told
    assert told.endswith("1 to add, 1 to change, 1 as they are, 0 wrong; nothing done yet: --apply does it\n")
    assert "4003" not in users(store) and not store.state.settings
    assert voicemail.good("user", "import", str(file), "--apply").endswith("0 wrong; done\n")
    assert users(store)["4003"].name == "Carla" and options(store, ANNA).menu_style == "brief"
    again = voicemail.good("user", "import", str(file))
    assert again.startswith("0 to add, 0 to change, 3 as they are")


def test_new_users_get_pins_that_only_the_file_for_them_tells(
    voicemail: CommandLine, store: MemoryStore, file: Path
) -> None:
    file.write_text("extension,pin\n4003,\n4004,739104\n")
    told = voicemail.good("user", "import", str(file), "--apply")
    made = file.with_name("people.csv.pins.csv")
    head, row = csv.reader(made.open())
    assert head == ["extension", "pin"]
    assert row[0] == "4003" and row[1].isdigit() and len(row[1]) >= 6
    assert made.stat().st_mode & 0o777 == 0o600
    assert row[1] not in told and "739104" not in told
    carla = users(store)["4003"]
    assert carla.pin_hash and row[1] not in carla.pin_hash
    assert options(store, carla).must_change_pin


def test_wrong_lines_are_left_out_and_can_be_put_right(
    voicemail: CommandLine, store: MemoryStore, file: Path
) -> None:
    file.write_text(
        "extension;name;cos;pin\n4003;Carla;default;\n40x;Dora;;\n4004;Emil;no;\n4003;Again;;\n4005;Fritz;;123456\n4006;Gus\n"
    )
    result = voicemail("user", "import", str(file), "--apply")
    assert result.code == 1 and "5 lines are wrong; see " in result.err
    assert users(store).keys() == {"4001", "4002", "4003"}
    wrong = file.with_name("people.csv.wrong.csv")
    rows = list(csv.reader(wrong.open(), delimiter=";"))
    assert rows[0] == ["reason", "extension", "name", "cos", "pin"]
    assert [row[0].split(":")[0] for row in rows[1:]] == ["line 3", "line 4", "line 5", "line 6", "line 7"]
    reasons = [
        "is none (digits only)",
        "no cos named",
        "line 2 already",
        "pin: refused",
        "2 cells, but 4 columns",
    ]
    assert [reason in row[0] for reason, row in zip(reasons, rows[1:], strict=True)] == [True] * 5
    right = [rows[0], ["", "4004", "Emil", "default", ""]]
    file.write_text("\n".join(";".join(row) for row in right))
    assert voicemail.good("user", "import", str(file), "--apply").endswith("0 wrong; done\n")
    assert users(store)["4004"].name == "Emil"


def test_what_is_exported_can_be_imported_and_changes_nothing(
    voicemail: CommandLine, store: MemoryStore, file: Path
) -> None:
    voicemail.good("user", "options", "4001", "keys.5=user:4002", "schedule=weekdays")
    voicemail.good("user", "extension", "add", "4002", "4444")
    voicemail.good("user", "export", str(file))
    before = dict(store.state.users), dict(store.state.settings)
    told = voicemail.good("user", "import", str(file), "--apply")
    assert told == "0 to add, 0 to change, 2 as they are, 0 wrong; done\n"
    assert before == (store.state.users, store.state.settings)
    assert "exists" in voicemail.refused("user", "export", str(file))
    assert list(csv.reader(file.open()))[0][: len(COLUMNS)] == list(COLUMNS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("name\nAnna\n", "line 1: the header row has no column extension"),
        ("extension,colour\n1,red\n", "line 1: column 'colour': there is no such; known: extension, name"),
        ("extension,name,name\n", "line 1: column 'name' is there twice"),
        ('extension,name\n4003,"Anna\n', "line 2: "),
        ("extension,name\n4003,M\udce4\n", "not utf-8"),
    ],
)
def test_a_file_that_is_none_is_refused(voicemail: CommandLine, file: Path, text: str, told: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert told in voicemail.refused("user", "import", str(file))


def test_a_number_that_somebody_takes_meanwhile_is_told_as_a_wrong_line(
    voicemail: CommandLine, store: MemoryStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("extension\n4003\n")
    add = store.users.add

    async def late(user: User) -> None:
        store.state.users |= {(other := User(uuid7(), "4003")).id: other}
        await add(user)

    monkeypatch.setattr(store.users, "add", late)
    result = voicemail("user", "import", str(file), "--apply")
    assert (result.code, "extension 4003 is in use" in result.out) == (1, True)


# ---- what administrators stumble over


def test_pins_of_users_who_are_there_are_told_as_not_read(
    voicemail: CommandLine, store: MemoryStore, file: Path
) -> None:
    file.write_text("extension,pin\n4001,739104\n4002,\n")
    before = users(store)["4001"].pin_hash
    result = voicemail("user", "import", str(file), "--apply")
    assert result.code == 0 and "1 PINs are of users who are there already" in result.err
    assert users(store)["4001"].pin_hash == before


def test_what_a_spreadsheet_writes_is_read(voicemail: CommandLine, store: MemoryStore, file: Path) -> None:
    file.write_bytes(
        b'\xef\xbb\xbfExtension;Name\r\n4003;"M\xc3\xbcller; Karl"\r\n\r\n4004;"Zo\xc3\xab ""Z"""\r\n'
    )
    voicemail.good("user", "import", str(file), "--apply")
    assert [users(store)[each].name for each in ("4003", "4004")] == ["Müller; Karl", 'Zoë "Z"']


def test_another_encoding_is_told_with_its_line_and_can_be_named(
    voicemail: CommandLine, store: MemoryStore, file: Path
) -> None:
    file.write_bytes(b"extension;name\r\n" + b"4003;Anna\r\n" * 2000 + b"4004;M\xfcller\r\n")
    assert ", line 2002: not utf-8 (" in voicemail.refused("user", "import", str(file))
    file.write_bytes(b"extension;name\r\n4004;M\xfcller\r\n")
    voicemail.good("user", "import", str(file), "--encoding", "cp1252", "--apply")
    assert users(store)["4004"].name == "Müller"
    assert "'klingon' is none" in voicemail.refused("user", "import", str(file), "--encoding", "klingon")


def test_wrong_lines_are_told_with_their_extension(voicemail: CommandLine, file: Path) -> None:
    file.write_text("name,extension\nCarl,40x\nDora\n")
    rows = json.loads(voicemail("user", "import", str(file), "--json").out)
    assert [(row["Line"], row["Extension"]) for row in rows] == [(2, "40x"), (3, "")]


def test_a_large_file_is_told_in_a_few_lines(voicemail: CommandLine, file: Path) -> None:
    lines = [f"{50000 + n},User {n},u{n}@example.com,{900000 + n}" for n in range(1000)]
    file.write_text("\n".join(["extension,name,mail,alternate_extensions", *lines, lines[0]]))
    result = voicemail("user", "import", str(file))
    assert "1000 to add, 0 to change, 0 as they are, 1 wrong" in result.out
    assert "50000 stands in line 2 already" in result.out and result.out.count("\n") < 40


def test_a_pin_by_an_administrator_has_to_be_changed_and_the_old_one_is_remembered(
    voicemail: CommandLine, store: MemoryStore
) -> None:
    voicemail.good("user", "options", "4001", "enrolled=yes", "must_change_pin=no")
    store.state.users[ANNA.id] = replace(ANNA, pin_hash="the old hash")
    [row] = json.loads(voicemail.good("user", "set-pin", "4001", "--json"))
    kept = options(store, ANNA)
    assert kept.must_change_pin and kept.pin_changed and kept.old_pins == ("the old hash",)
    assert pins.is_right(store.state.users[ANNA.id].pin_hash, row["PIN"])


def test_a_pin_by_an_administrator_obeys_the_rules_of_the_users_class(voicemail: CommandLine) -> None:
    voicemail.good("pin-rules", "set", "long", "shortest=9")
    voicemail.good("cos", "set", "careful", "pin_rules=long")
    voicemail.good("user", "options", "4001", "cos=careful")
    assert "at least 9 digits" in voicemail.refused("user", "set-pin", "4001", "--pin", "739104")
    [row] = json.loads(voicemail.good("user", "set-pin", "4001", "--json"))
    assert len(row["PIN"]) == 9


def test_who_is_removed_and_still_named_is_told(voicemail: CommandLine) -> None:
    voicemail.good("list", "set", "sales", "members=4001,4002")
    assert voicemail.good("user", "remove", "4002") == (
        "note: still named by list 'sales' (members)\n4002: removed\n"
    )
