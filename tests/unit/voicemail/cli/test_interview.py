"""`voicemail interview`: made, recorded, shown, refused."""

import json
from pathlib import Path

import pytest

from sip import wav
from tests.fakes.cli import CommandLine


@pytest.fixture
def claims(voicemail: CommandLine, tmp_path: Path) -> Path:
    """An interview of two questions; the file to record one with."""
    voicemail.good("interview", "set", "claims", "extension=701", "questions=60, 30", "after_message=hang-up")
    sound = tmp_path / "question.wav"
    sound.write_bytes(wav.file_ulaw(b"\x55" * wav.RATE))
    return sound


def test_questions_are_recorded_and_taken_away(voicemail: CommandLine, claims: Path) -> None:
    assert "question 2 set" in voicemail.good("interview", "record", "claims", "2", str(claims))
    shown = json.loads(voicemail.good("interview", "questions", "claims", "--json"))
    assert [(row["Seconds"], row["Recording"]) for row in shown] == [(60.0, False), (30.0, True)]
    assert "taken away" in voicemail.good("interview", "record", "claims", "2", "-")
    assert '"Recording": true' not in voicemail.good("interview", "questions", "claims", "--json")


def test_removing_one_takes_its_recordings_along(voicemail: CommandLine, claims: Path) -> None:
    voicemail.good("interview", "record", "claims", "1", str(claims))
    voicemail.good("interview", "remove", "claims")
    voicemail.good("interview", "set", "claims", "questions=60")
    assert '"Recording": true' not in voicemail.good("interview", "questions", "claims", "--json")


def test_what_is_wrong_is_refused(voicemail: CommandLine, claims: Path) -> None:
    refused = voicemail.refused
    assert "questions.1" in refused("interview", "set", "claims", "questions=60,301")
    assert "questions" in refused("interview", "set", "claims", "questions=" + ",".join(["9"] * 21))
    assert "it has 2 questions" in refused("interview", "record", "claims", "3", str(claims))
    assert "not a WAV" in refused("interview", "record", "claims", "1", __file__)
    assert "no interview named 'none'" in refused("interview", "record", "none", "1", str(claims))
    assert "701 leads to interview 'claims'" in refused("handler", "set", "shop", "extension=701")
    assert "no interview named 'none'" in refused("handler", "set", "shop", "keys.1=interview:none")
    assert "needs a target" in refused("handler", "set", "shop", "keys.1=interview")


def test_one_that_a_key_leads_to_is_not_removed(voicemail: CommandLine, claims: Path) -> None:
    voicemail.good("handler", "set", "shop", "keys.1=interview:claims")
    assert "needed by handler 'shop' (keys.1)" in voicemail.refused("interview", "remove", "claims")
