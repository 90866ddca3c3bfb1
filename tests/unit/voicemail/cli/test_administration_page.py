"""What the administrator's page tells is so: its examples run in their order, its table is the commands."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from sip import wav
from tests.fakes.cli import CommandLine
from voicemail.cli.app import tree
from voicemail.policy.model import Go

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/administration.md").read_text()
EXAMPLES = [
    shlex.split(line, comments=True)[1:] for line in re.findall(r"^    (voicemail .*)$", PAGE, re.MULTILINE)
]
TREE: Any = typer.main.get_command(tree())


def commands() -> dict[str, set[str]]:
    """Each command with its verbs, none where it has none."""
    return {name: set(getattr(each, "commands", ())) for name, each in TREE.commands.items()}


def test_its_examples_work_in_their_order(
    voicemail: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text(
        "extension,name,cos\n4001,Anna Adler,staff\n4002,Ben Berg,\n4003,Dora,directors\n"
    )
    for sound in ("shop.wav", "carla.wav", "question.wav"):
        Path(sound).write_bytes(wav.file_ulaw(b"\x55" * wav.RATE))
    assert len(EXAMPLES) > 20
    for words in EXAMPLES:
        voicemail.good(*words)


def test_its_table_has_every_verb_of_every_command_and_no_other() -> None:
    there = commands()
    rows = dict(re.findall(r"^\| `voicemail ([\w-]+)` \|.*\| ([\w -]+) \|$", PAGE, re.MULTILINE))
    assert {name: set(verbs.split()) for name, verbs in rows.items()} == {name: there[name] for name in rows}
    told_elsewhere = {"cluster", "message", "config", "deploy", "node"}
    assert there.keys() - told_elsewhere == rows.keys()


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(f"docs/{each.name}" for each in (ROOT / "docs").glob("*.md"))]
)
def test_every_command_that_a_page_names_is_there(page: str) -> None:
    there = commands()
    for name, verb in re.findall(r"`voicemail ([a-z-]+)(?: ([a-z-]+))?", (ROOT / page).read_text()):
        assert name in there, f"{page}: voicemail {name}"
        assert not verb or not there[name] or verb in there[name], f"{page}: voicemail {name} {verb}"


def test_every_action_is_told() -> None:
    told = set(re.findall(r"`([a-z-]+)(?::\w+)?`", PAGE))
    assert {str(go) for go in Go} - told == {"attempt-sign-in", "attempt-forward"}, "of supplied rules only"
