"""Commands that need neither node nor store."""

import json
from pathlib import Path

import pytest

from tests.fakes.cli import CommandLine
from voicemail.cluster.roles import RULES, SERVICES
from voicemail.config import EXAMPLE


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "node.toml"


@pytest.fixture
def voicemail(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    return CommandLine(config, monkeypatch, capsys)


def small(directory: Path, more: str = "") -> str:
    return f'[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "{directory}"\n{more}'


def test_the_example_is_a_good_file(voicemail: CommandLine, config: Path) -> None:
    config.write_text(voicemail.good("config", "example"))
    assert config.read_text() == EXAMPLE.rstrip() + "\n"
    assert voicemail.good("config", "check") == f"{config}: good\n"


def test_the_example_is_written_to_a_new_file_only(voicemail: CommandLine, config: Path) -> None:
    voicemail.good("config", "example", "--out", str(config))
    assert config.read_text() == EXAMPLE
    config.write_text("mine")
    assert voicemail.refused("config", "example", "--out", str(config)) == f"{config}: File exists"
    assert config.read_text() == "mine"


def test_a_mistake_in_the_file_is_told_with_its_line(
    voicemail: CommandLine, config: Path, tmp_path: Path
) -> None:
    config.write_text(small(tmp_path, "[sip]\nport = 5060\npilto = '5'\n"))
    assert voicemail.refused("config", "check") == f"{config}, line 7: sip.pilto: there is no such key"


def test_several_mistakes_are_told_one_a_line(voicemail: CommandLine, config: Path, tmp_path: Path) -> None:
    config.write_text(small(tmp_path, "[sip]\nport = 0\npilto = '5'\n"))
    result = voicemail("config", "check")
    assert result.code == 1
    assert [", line 6: sip.port" in result.err, ", line 7: sip.pilto" in result.err] == [True, True]


@pytest.mark.parametrize(
    "command",
    [["config", "check"], ["cluster", "status"], ["user", "list"], ["message", "list"], ["node"]],
    ids=" ".join,
)
def test_a_missing_file_is_told(command: list[str], voicemail: CommandLine, config: Path) -> None:
    assert voicemail.refused(*command) == f"{config}: No such file or directory"


@pytest.mark.parametrize(
    "command",
    [["cluster", "status"], ["cluster", "history"], ["cluster", "make-primary"], ["cluster", "take-calls"]],
    ids=" ".join,
)
def test_a_node_that_does_not_run_is_told(
    command: list[str], voicemail: CommandLine, config: Path, tmp_path: Path
) -> None:
    config.write_text(small(tmp_path))
    assert voicemail.refused(*command).startswith("the node vm1 does not answer at ")


@pytest.mark.parametrize(
    "command", [["user", "list"], ["message", "list"], ["cluster", "secret"], ["node"]], ids=" ".join
)
def test_a_node_that_was_not_made_is_told(
    command: list[str], voicemail: CommandLine, config: Path, tmp_path: Path
) -> None:
    config.write_text(small(tmp_path))
    assert "make this node with `voicemail cluster init`" in voicemail.refused(*command)


def test_a_cluster_is_made_once(voicemail: CommandLine, config: Path, tmp_path: Path) -> None:
    config.write_text(small(tmp_path / "vm1", '[store]\ndsn = "host=nowhere"\n'))
    secret = voicemail.good("cluster", "init").splitlines()[-1]
    assert voicemail.good("cluster", "secret").strip() == secret
    assert voicemail.refused("cluster", "init") == f"{tmp_path / 'vm1'} belongs to a cluster already"
    assert voicemail.good("cluster", "secret").strip() == secret


def test_a_missing_system_user_is_told_before_anything_is_made(
    voicemail: CommandLine, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    config.write_text(small(tmp_path / "vm1", 'user = "no-such-user"\n'))
    assert "there is no system user 'no-such-user'" in voicemail.refused("cluster", "init")
    assert not (tmp_path / "vm1").exists()


def test_a_directory_that_cannot_be_made_is_told(
    voicemail: CommandLine, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    config.write_text(small(tmp_path / "file" / "vm1", '[store]\ndsn = "host=nowhere"\n'))
    assert "Not a directory" in voicemail.refused("cluster", "init")


def test_joining_without_its_secret_file_is_told(
    voicemail: CommandLine, config: Path, tmp_path: Path
) -> None:
    config.write_text(small(tmp_path))
    words = ["cluster", "join", "--publisher", "127.0.0.1", "--secret-file", "/nowhere/secret"]
    assert voicemail.refused(*words) == "/nowhere/secret: No such file or directory"


def test_rules_and_services_are_shown_as_tables_and_as_json(voicemail: CommandLine) -> None:
    rules, services = voicemail.good("cluster", "rules").split("\n\n")
    assert len(rules.splitlines()) == len(RULES) + 1
    assert len(services.splitlines()) == len(SERVICES) + 1
    [shown] = json.loads(voicemail.good("cluster", "rules", "--json"))
    assert [row["Because"] for row in shown["rules"]] == [rule.because for rule in RULES]


def test_a_misused_command_is_told_without_a_traceback(voicemail: CommandLine) -> None:
    result = voicemail("message", "export", "not-an-id", "x.wav")
    assert result.code == 2 and "Traceback" not in result.err
