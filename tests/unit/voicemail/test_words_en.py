from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemail import prompts
from voicemail.words import en as speech

TEXTS = prompts.texts()
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
UNITS = {"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
UNITS |= {"nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15}
UNITS |= {"sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30}
UNITS |= {"forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
ORDINALS = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
ORDINALS |= {"twentieth": 20, "thirtieth": 30}


def spoken(names: speech.Names) -> str:
    """What a listener hears: the words of the prompts' texts, not their names."""
    return " ".join(TEXTS[name].rstrip(".").replace("-", " ").lower() for name in names)


def understood(words: str) -> int:
    """An independent reader of English numbers, from words alone."""
    total = group = 0
    for word in words.split():
        if word == "thousand":
            total, group = group * 1000, 0
        else:
            group = group * 100 if word == "hundred" else group + UNITS[word]
    return total + group


def understood_ordinal(words: str) -> int:
    *tens, last = words.split()
    unit = ORDINALS.get(last) or UNITS[last.removesuffix("th")]
    return unit + sum(UNITS[word] for word in tens)


@given(st.integers(0, speech.LARGEST))
def test_a_number_is_understood_as_itself(value: int):
    assert understood(spoken(speech.number(value))) == value


def test_every_number_below_two_thousand_is_understood_as_itself():
    assert [understood(spoken(speech.number(value))) for value in range(2000)] == list(range(2000))


@pytest.mark.parametrize("value", [-1, speech.LARGEST + 1])
def test_a_number_that_cannot_be_said_is_an_error(value: int):
    with pytest.raises(ValueError):
        speech.number(value)


def test_numbers_read_as_english_says_them():
    assert spoken(speech.number(120_345)) == "one hundred twenty thousand three hundred forty five"
    assert speech.number(7) == ("n_7",)
    assert speech.number(400) == ("n_400",)


@given(st.text("0123456789"))
def test_digits_are_said_one_by_one(text: str):
    assert [understood(TEXTS[name].rstrip(".").lower()) for name in speech.digits(text)] == [*map(int, text)]


def test_a_phone_number_says_its_plus_and_not_its_separators():
    assert spoken(speech.phone_number("+49 (30) 55-5")) == "plus four nine three zero five five five"


@pytest.mark.parametrize("text", ["", "anonymous", "alice1001", "1001;phone", "١٢٣"])
def test_what_is_no_phone_number_is_not_said_at_all(text: str):
    assert speech.phone_number(text) == ()


@pytest.mark.parametrize(
    "value, words", [(0, "no new messages"), (1, "one new message"), (21, "twenty one new messages")]
)
def test_a_count_agrees_with_its_noun(value: int, words: str):
    assert spoken(speech.count("new_message", value)) == words


@pytest.mark.parametrize("noun", ["new_message", "urgent_new_message", "saved_message", "new_receipt"])
def test_every_noun_has_both_its_forms(noun: str):
    assert {name for value in (0, 1, 2) for name in speech.count(noun, value)} <= TEXTS.keys()


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0.2, "one second"),
        (12.4, "twelve seconds"),
        (59.6, "one minute"),
        (61, "one minute and one second"),
        (150, "two minutes and thirty seconds"),
        (7200, "one hundred twenty minutes"),
    ],
)
def test_a_duration_reads_as_english_says_it(seconds: float, words: str):
    assert spoken(speech.duration(seconds)) == words


@given(st.floats(1, 6000))
def test_a_duration_is_understood_to_the_second(seconds: float):
    parts = {part.split()[-1].rstrip("s"): part for part in spoken(speech.duration(seconds)).split(" and ")}
    heard = {unit: understood(part.rsplit(" ", 1)[0]) for unit, part in parts.items()}
    assert heard.get("minute", 0) * 60 + heard.get("second", 0) == round(seconds)


@pytest.mark.parametrize(
    "when, words",
    [
        (datetime(2026, 11, 24, 15, 0), "today at three p.m"),
        (datetime(2026, 11, 24, 0, 5), "today at twelve oh five a.m"),
        (datetime(2026, 11, 23, 12, 45), "yesterday at twelve forty five p.m"),
        (datetime(2026, 11, 22, 11, 59), "sunday november twenty second at eleven fifty nine a.m"),
        (datetime(2025, 12, 31, 9, 30), "december thirty first twenty twenty five at nine thirty a.m"),
        (datetime(2005, 5, 3, 21, 10), "may third two thousand five at nine ten p.m"),
    ],
)
def test_a_moment_reads_as_english_says_it(when: datetime, words: str):
    assert spoken(speech.moment(when.replace(tzinfo=UTC), NOW)) == words


def test_a_moment_is_told_in_the_time_zone_of_the_listener():
    tokyo = timezone(timedelta(hours=9))
    assert spoken(speech.moment(NOW, NOW.astimezone(tokyo))) == "today at twelve a.m"
    assert spoken(speech.moment(NOW - timedelta(hours=1), NOW.astimezone(tokyo))) == "yesterday at eleven p.m"


def understood_moment(words: str) -> tuple[int, int, int, int]:
    """Month, day, hour, minute of a date within the year, from words alone."""
    date, time = words.split(" at ")
    _weekday, month, ordinal = date.split(" ", 2)
    hour, *minute, half = time.replace(" oh ", " ").split()
    hours = UNITS[hour] % 12 + (12 if half == "p.m" else 0)
    return speech.MONTHS.index(month) + 1, understood_ordinal(ordinal), hours, understood(" ".join(minute))


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 11, 22, 23, 59), timezones=st.just(UTC)))
def test_a_moment_is_understood_to_the_minute(when: datetime):
    heard = understood_moment(spoken(speech.moment(when, NOW)))
    assert heard == (when.month, when.day, when.hour, when.minute)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 11, 22), timezones=st.just(UTC)))
def test_the_weekday_said_is_that_of_the_date(when: datetime):
    assert spoken(speech.moment(when, NOW)).startswith(when.strftime("%A").lower() + " ")
