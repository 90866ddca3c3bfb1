"""German: what a listener hears, as text."""

from datetime import UTC, datetime, timedelta

import pytest

from voicemail import prompts
from voicemail.words import de

TEXTS = prompts.texts("de")
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)


def spoken(names: de.Names) -> str:
    return " ".join(TEXTS[name].rstrip(".") for name in names)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "Null"),
        (21, "Einundzwanzig"),
        (30, "Dreißig"),
        (77, "Siebenundsiebzig"),
        (316, "Dreihundert Sechzehn"),
        (2026, "Zwei Tausend Sechsundzwanzig"),
    ],
)
def test_numbers(value: int, said: str) -> None:
    assert spoken(de.number(value)) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "Keine neuen Nachrichten"), (1, "Eine Neue Nachricht"), (2, "Zwei Neue Nachrichten")],
)
def test_counts_agree_with_their_noun(value: int, said: str) -> None:
    assert spoken(de.count("new_message", value)) == said


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (NOW, "Heute Um Fünfzehn Uhr"),
        (NOW - timedelta(hours=14), "Heute Um Ein Uhr"),
        (NOW - timedelta(days=1, minutes=-5), "Gestern Um Fünfzehn Uhr Fünf"),
        (NOW - timedelta(days=21), "Dienstag Dritter November Um Fünfzehn Uhr"),
        (
            NOW - timedelta(days=365),
            "Vierundzwanzigster November Zwei Tausend Fünfundzwanzig Um Fünfzehn Uhr",
        ),
    ],
)
def test_moments(when: datetime, said: str) -> None:
    assert spoken(de.moment(when, NOW)) == said


def test_durations() -> None:
    assert spoken(de.duration(72)) == "Eine Minute Und Zwölf Sekunden"
    assert spoken(de.duration(0.2)) == "Eine Sekunde"


def test_all_that_can_be_counted_has_its_none() -> None:
    nouns = {name for name in TEXTS if f"{name}s" in TEXTS and name != "end_of_message"}
    assert nouns and not [noun for noun in nouns if f"none_{noun}s" not in TEXTS]
